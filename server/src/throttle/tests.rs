//! The rules of the throttle, with a clock that only these tests move, and bursts from many threads.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use super::*;

/// A throttle and its clock.
struct Scene {
    throttle: Arc<Throttle>,
    clock: Arc<AtomicU64>,
}

/// What came of an attempt with a wrong password, as whoever made it sees it.
type Seen = Result<(), Refused>;

impl Scene {
    /// Where nobody waits for others: whoever would have to is told that the server is busy.
    fn new() -> Self {
        Self::with_patience(Duration::ZERO)
    }

    fn with_patience(patience: Duration) -> Self {
        let clock = Arc::new(AtomicU64::new(1_000_000));
        let time = Arc::clone(&clock);
        let now = move || Uptime::default().plus_millis(time.load(Ordering::Relaxed));
        Self { throttle: Arc::new(Throttle::new(now, patience)), clock }
    }

    fn pass(&self, millis: u64) {
        self.clock.fetch_add(millis, Ordering::Relaxed);
    }

    fn begin(&self, by: By<'_>) -> Result<Attempt<'_>, Refused> {
        self.throttle.begin(by)
    }

    fn fail(&self, by: By<'_>) -> Seen {
        self.begin(by)?.failed().map_err(Refused::Wait)
    }

    /// Fails as often as is free, and returns how often that was and what is said then.
    fn exhaust<'a>(&self, mut by: impl FnMut(u16) -> By<'a>) -> (u16, Refused) {
        let mut failures = 0;
        loop {
            match self.fail(by(failures)) {
                Ok(()) => failures += 1,
                Err(refused) => return (failures, refused),
            }
        }
    }
}

fn place(last: u16) -> IpAddr {
    let [third, fourth] = last.to_be_bytes();
    [203, 0, third, fourth].into()
}

fn alice(last: u16) -> By<'static> {
    By::Name("alice", place(last))
}

#[test]
fn five_failures_of_an_account_are_free_wherever_they_come_from() {
    let scene = Scene::new();
    assert_eq!(scene.exhaust(alice), (FREE_PER_ACCOUNT, Refused::Wait(1)));
    assert_eq!(scene.fail(By::Name("bob", place(1))), Ok(()));
}

#[test]
fn twenty_failures_of_an_address_are_free_whatever_the_names() {
    let scene = Scene::new();
    let names: Vec<_> = (0..30).map(|n| format!("name-{n}")).collect();
    let by = |n: u16| By::Name(&names[usize::from(n)], place(1));
    assert_eq!(scene.exhaust(by), (FREE_PER_ADDRESS, Refused::Wait(1)));
    assert_eq!(scene.fail(By::Name("name-29", place(2))), Ok(()));
}

#[test]
fn two_hundred_failures_of_a_48_are_free_whatever_the_names_and_networks() {
    let scene = Scene::new();
    let address = |site: u128, network: u128| {
        IpAddr::from(Ipv6Addr::from_bits(0x2001_0db8 << 96 | site << 80 | network << 64 | 1))
    };
    let names: Vec<_> = (0..300).map(|n| format!("name-{n}")).collect();
    let by = |n: u16| By::Name(&names[usize::from(n)], address(1, n.into()));
    assert_eq!(scene.exhaust(by), (FREE_PER_SITE, Refused::Wait(1)));
    assert_eq!(scene.fail(By::Name("another", address(1, 9999))), Err(Refused::Wait(1)));
    assert_eq!(scene.fail(By::Name("another", address(2, 9999))), Ok(()));
    assert_eq!(scene.fail(By::Name("another", place(1))), Ok(()), "IPv4 has no such sites");
}

#[test]
fn codes_count_for_the_network_they_come_from_and_for_no_name() {
    let scene = Scene::new();
    let code = |last| By::Code(place(last));
    scene.exhaust(|_| By::Name("203.0.0.1", place(2)));
    scene.exhaust(|_| By::Name("", place(3)));
    assert_eq!(scene.exhaust(|_| code(1)), (FREE_PER_ACCOUNT, Refused::Wait(1)));
    assert_eq!(scene.fail(code(4)), Ok(()));
}

#[test]
fn the_wait_doubles_to_a_minute_and_never_more() {
    let scene = Scene::new();
    let bearer = By::Session(SessionId([1; 16]));
    scene.exhaust(|_| bearer);
    let mut waits = Vec::new();
    for _ in 0..9 {
        let Err(Refused::Wait(secs)) = scene.fail(bearer) else { panic!("it has to wait") };
        waits.push(secs);
        scene.pass(secs * 1000 - 1);
        assert_eq!(scene.fail(bearer), Err(Refused::Wait(1)));
        scene.pass(1);
        assert_eq!(scene.fail(bearer), Ok(()), "the wait is over");
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
}

#[test]
fn a_refused_attempt_does_not_prolong_the_wait() {
    let scene = Scene::new();
    let bearer = By::Session(SessionId([1; 16]));
    scene.exhaust(|_| bearer);
    for _ in 0..999 {
        assert_eq!(scene.fail(bearer), Err(Refused::Wait(1)));
        scene.pass(1);
    }
    scene.pass(1);
    assert_eq!(scene.fail(bearer), Ok(()));
}

#[test]
fn success_costs_nothing_and_a_quarter_of_an_hour_without_failure_forgets() {
    let scene = Scene::new();
    for _ in 0..1000 {
        scene.begin(alice(1)).expect("success costs nothing").succeeded();
    }
    assert_eq!(scene.exhaust(alice).0, FREE_PER_ACCOUNT);
    scene.pass(MEMORY_MS);
    assert_eq!(scene.exhaust(alice).0, FREE_PER_ACCOUNT);
}

#[test]
fn an_attempt_that_nobody_looked_at_is_no_failure() {
    let scene = Scene::new();
    for _ in 0..1000 {
        drop(scene.begin(alice(1)).expect("it did not fail"));
    }
}

/// The wait of a bucket was once ended by any attempt whose time was read a moment before its last failure.
#[test]
fn a_time_older_than_the_last_failure_forgets_nothing() {
    let scene = Scene::new();
    scene.exhaust(alice);
    scene.clock.fetch_sub(1, Ordering::Relaxed);
    assert_eq!(scene.fail(alice(100)), Err(Refused::Wait(2)));
    scene.clock.store(0, Ordering::Relaxed);
    assert!(matches!(scene.fail(alice(101)), Err(Refused::Wait(_))));
}

#[test]
fn as_many_may_be_under_way_as_could_fail_for_free() {
    let scene = Scene::new();
    let mut under_way: Vec<_> = (0..FREE_PER_ACCOUNT).map(|n| scene.begin(alice(n)).unwrap()).collect();
    assert_eq!(scene.begin(alice(9)).unwrap_err(), Refused::Busy, "none has failed");
    under_way.pop().unwrap().succeeded();
    let sixth = scene.begin(alice(9)).expect("one has ended well");
    sixth.failed().unwrap();
    assert_eq!(scene.begin(alice(9)).unwrap_err(), Refused::Busy);
    under_way.into_iter().for_each(|attempt| attempt.failed().unwrap());
    assert_eq!(scene.fail(alice(9)), Err(Refused::Wait(1)));
}

#[test]
fn whoever_asks_first_is_told_what_an_attempt_is_told_and_nothing_is_counted() {
    let scene = Scene::new();
    for _ in 0..100 {
        assert_eq!(scene.throttle.ask(alice(200)), Ok(()));
    }
    scene.exhaust(alice);
    assert_eq!(scene.throttle.ask(alice(200)), Ok(()), "there are second chances");
    while let Ok(attempt) = scene.begin(alice(200)) {
        let _ = attempt.failed();
    }
    for _ in 0..100 {
        assert_eq!(scene.throttle.ask(alice(200)), Err(1));
    }
    scene.pass(1000);
    assert_eq!(scene.throttle.ask(alice(200)), Ok(()));
}

#[test]
fn past_the_free_failures_each_wait_earns_one_attempt() {
    let scene = Scene::new();
    scene.exhaust(alice);
    scene.pass(1000);
    let one = scene.begin(alice(50)).expect("the wait is over");
    assert_eq!(scene.begin(alice(51)).unwrap_err(), Refused::Busy);
    one.failed().unwrap();
    assert_eq!(scene.fail(alice(52)), Err(Refused::Wait(2)));
}

#[test]
fn whoever_finds_too_many_under_way_waits_until_they_have_ended() {
    let scene = Scene::with_patience(Duration::from_secs(60));
    let under_way: Vec<_> = (0..FREE_PER_ACCOUNT).map(|n| scene.begin(alice(n)).unwrap()).collect();
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (10..20)
            .map(|n| {
                scope.spawn({
                    let scene = &scene;
                    move || scene.begin(alice(n)).map(drop)
                })
            })
            .collect();
        under_way.into_iter().for_each(Attempt::succeeded);
        for attempt in waiting {
            assert_eq!(attempt.join().unwrap(), Ok(()));
        }
    });
}

#[test]
fn while_an_account_has_to_wait_each_network_has_second_chances_that_look_like_the_wait() {
    let scene = Scene::new();
    scene.exhaust(alice);
    let mut second_chances = 0;
    while let Ok(attempt) = scene.begin(alice(200)) {
        assert!(attempt.is_second_chance());
        assert_eq!(attempt.failed(), Err(1), "as whoever has to wait is told");
        second_chances += 1;
    }
    assert_eq!(second_chances, FREE_PER_ACCOUNT);
    assert_eq!(scene.fail(alice(200)), Err(Refused::Wait(1)));
    scene.begin(alice(201)).expect("another network has its own").succeeded();
    scene.pass(1000);
    let attempt = scene.begin(alice(200)).expect("the account waits no longer");
    assert!(!attempt.is_second_chance(), "and what the second chances were does not matter then");
}

/// Or a few networks could fill the table, and forget the accounts under attack.
#[test]
fn a_network_has_twenty_second_chances_in_all() {
    let scene = Scene::new();
    let names: Vec<_> = (0..30).map(|n| format!("name-{n}")).collect();
    for (number, name) in (0..).zip(&names) {
        scene.exhaust(|n| By::Name(name, place(1000 + number * 10 + n)));
        scene.exhaust(|n| By::Name(name, place(5000 + number * 10 + n)));
    }
    let mut second_chances = 0;
    for name in names.iter().cycle().take(300) {
        if let Ok(attempt) = scene.begin(By::Name(name, place(1))) {
            assert!(attempt.is_second_chance());
            assert_eq!(attempt.failed(), Err(1));
            second_chances += 1;
        }
    }
    assert_eq!(second_chances, FREE_PER_ADDRESS);
    assert_eq!(scene.fail(By::Name("another", place(1))), Ok(()), "they were no failures of the network's");
}

#[test]
fn the_bearer_of_a_session_does_not_wait_for_what_others_did() {
    let scene = Scene::new();
    let bearer = |n| By::Session(SessionId([n; 16]));
    let names: Vec<_> = (0..30).map(|n| format!("name-{n}")).collect();
    scene.exhaust(|n| By::Name(&names[usize::from(n)], place(1)));
    scene.exhaust(alice);
    assert_eq!(scene.exhaust(|_| bearer(1)), (FREE_PER_ACCOUNT, Refused::Wait(1)));
    assert_eq!(scene.fail(bearer(2)), Ok(()));
}

#[test]
fn a_right_password_does_not_prolong_the_wait_of_others() {
    let scene = Scene::new();
    for n in 0..40 {
        let name = format!("script-{n}");
        let _ = scene.fail(By::Name(&name, place(1)));
        scene.pass(WAIT_SECS_MAX * 1000);
    }
    scene.begin(By::Name("bob", place(1))).expect("the minute is over").succeeded();
    assert_eq!(scene.fail(By::Name("carol", place(1))), Ok(()));
}

#[test]
fn a_flood_of_names_does_not_wash_out_the_account_under_attack() {
    let scene = Scene::new();
    scene.exhaust(alice);
    for n in 0..100_000_u32 {
        let [_, a, b, c] = n.to_be_bytes();
        let name = format!("name-{n}");
        let _ = scene.fail(By::Name(&name, [10, a, b, c].into()));
    }
    assert_eq!(scene.fail(alice(300)), Err(Refused::Wait(1)));
    assert_eq!(scene.throttle.table().len(), 8192, "and the table has not grown");
}

/// Bursts of 64 attempts with wrong passwords at 16 threads, each burst for a name of its own, while time goes on; returns
/// the fewest and the most that were looked at in one.
fn looked_at(bursts: u32) -> (usize, usize) {
    const THREADS: u32 = 16;
    const ATTEMPTS: u32 = 64 / THREADS;
    let scene = Scene::with_patience(Duration::from_secs(60));
    let counts: Vec<_> = (0..bursts).map(|_| AtomicUsize::new(0)).collect();
    let together = Barrier::new(THREADS as usize);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (scene, counts, together) = (&scene, &counts, &together);
            scope.spawn(move || {
                for (burst, count) in counts.iter().enumerate() {
                    if together.wait().is_leader() {
                        scene.pass(MEMORY_MS);
                    }
                    together.wait();
                    let name = format!("name-{burst}");
                    for attempt in 0..ATTEMPTS {
                        scene.pass(1);
                        let by = By::Name(&name, place((thread * ATTEMPTS + attempt) as u16));
                        let Ok(attempt) = scene.begin(by) else { continue };
                        if !attempt.is_second_chance() {
                            count.fetch_add(1, Ordering::Relaxed);
                            std::thread::yield_now();
                            attempt.failed().expect("it was no second chance");
                        }
                    }
                }
            });
        }
    });
    let counts = || counts.iter().map(|count| count.load(Ordering::Relaxed));
    (counts().min().unwrap(), counts().max().unwrap())
}

#[test]
fn a_burst_of_attempts_lets_no_more_than_the_free_ones_pass() {
    assert_eq!(looked_at(500), (5, 5));
}

#[test]
#[ignore = "some minutes, in .ci/full"]
fn a_hundred_thousand_bursts_let_no_more_than_the_free_ones_pass() {
    assert_eq!(looked_at(100_000), (5, 5));
}
