//! How long a refused log-in takes does not tell why it was refused: a rank test over interleaved rounds finds nothing,
//! and finds what was planted.
//!
//! Every attempt comes from an address of its own and names an account of its own, so that none is throttled; those that
//! are, cost nobody anything and can be timed as often as somebody likes, are a test of their own. `.ci/full` does three
//! hundred rounds with the released server, and ten throttled ones in each.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use latchkey::clock::Clock;
use latchkey::command::{self, NewUser, SignIn, Verified};
use latchkey::hasher::{Hasher, Profile};
use latchkey::password::Password;
use latchkey::session::{Policy, SESSIONS_PER_USER_MAX, SessionId};
use latchkey::store::{self, Store, StoreError, Writes};
use latchkey::time::{Now, UnixMillis};
use latchkey::user::{Name, PasswordHash, Role, UserId};
use latchkey_tests::http::{Connection, Request, loopback};
use latchkey_tests::rules::{Z_MAX, deviate};
use latchkey_tests::server::{PASSWORD, Server, Setup, program_to_measure};

const SERVER: &str = env!("CARGO_BIN_EXE_server-under-test");

/// What is attempted, and the status it gets.
struct Kind {
    name: &'static str,
    request: fn(u16) -> Request,
    status: u16,
}

/// What nobody may tell apart.
const REFUSED: [Kind; 4] = [
    Kind { name: "unknown", request: |n| Request::login(&format!("nobody-{n}"), PASSWORD), status: 401 },
    Kind {
        name: "wrong",
        request: |n| Request::login(&format!("wrong-{n}"), "wrong wrong wrong"),
        status: 401,
    },
    Kind { name: "disabled", request: |n| Request::login(&format!("disabled-{n}"), PASSWORD), status: 401 },
    Kind { name: "empty", request: |n| Request::login(&format!("empty-{n}"), ""), status: 401 },
];

/// What is planted: accounts whose hash takes three passes instead of five, and a refusal before any hash.
const PLANTED: [Kind; 2] = [
    Kind {
        name: "three passes",
        request: |n| Request::login(&format!("weak-{n}"), "wrong wrong wrong"),
        status: 401,
    },
    Kind { name: "malformed", request: |n| Request::login(&"n".repeat(65), &n.to_string()), status: 400 },
];

/// A server into whose store `fill` has put something while it was stopped.
fn server_with(fill: impl FnOnce(&mut Writes<'_>) -> Result<(), StoreError> + Send + 'static) -> Server {
    let mut server = Setup::new(&program_to_measure(SERVER)).with("ARGON2_PROFILE", "low-memory").start();
    server.stop();
    let store = Store::open(&server.data().join(store::FILE_NAME), |_| {}).unwrap();
    store.write(fill).unwrap();
    drop(store);
    server.start();
    server
}

/// A server with `rounds` accounts of each kind.
fn server_with_accounts(rounds: u16) -> Server {
    let hash = Hasher::new(1, Profile::LowMemory).hash(&Password::new(PASSWORD.to_owned())).unwrap();
    let weak = PasswordHash(hash.0.replace(",t=5,", ",t=3,"));
    assert_ne!(weak, hash);
    server_with(move |writes| {
        let mut id = 0;
        for number in 0..rounds {
            for (kind, hash) in [("wrong", &hash), ("disabled", &hash), ("empty", &hash), ("weak", &weak)] {
                let name: Name = format!("{kind}-{number}").parse().unwrap();
                id += 1;
                let (id, now) = (UserId(id), Now::at(UnixMillis(1)));
                let new = NewUser { id, name, role: Role::User, password_hash: hash.clone() };
                command::add_user(writes, new, None, now)?;
                if kind == "disabled" {
                    let mut user = writes.user(id)?.unwrap();
                    user.disabled = true;
                    writes.put_user(id, &user)?;
                }
            }
        }
        Ok(())
    })
}

/// The status that a request gets, and the microseconds from its last byte to its answer.
fn send(request: &Request, from: IpAddr, to: SocketAddr) -> (u16, f64) {
    let mut connection = Connection::new(from, to);
    connection.open().unwrap();
    let begin = Instant::now();
    let status = connection.send(request).unwrap().status;
    (status, begin.elapsed().as_secs_f64() * 1e6)
}

/// The microseconds that a kind of request takes, which gets the answer of its kind.
fn time(kind: &Kind, number: u16, from: IpAddr, to: SocketAddr) -> f64 {
    let (status, took) = send(&(kind.request)(number), from, to);
    assert_eq!(status, kind.status, "{}", kind.name);
    took
}

/// Times of every kind, in rounds that take the kinds in another order each.
fn measure(rounds: u16) -> Vec<(&'static str, Vec<f64>)> {
    let server = server_with_accounts(rounds);
    let kinds: Vec<&Kind> = REFUSED.iter().chain(&PLANTED).collect();
    let mut times = vec![Vec::new(); kinds.len()];
    let mut random = Random(20_261_123);
    let mut place = 0;
    // The first log-in takes the memory of the pool.
    for number in 0..4 {
        time(&REFUSED[0], 10_000 + number, loopback(4, number), server.address());
    }
    for round in 0..rounds {
        for index in random.shuffled(kinds.len()) {
            times[index].push(time(kinds[index], round, loopback(5, place), server.address()));
            place += 1;
        }
    }
    kinds.iter().map(|kind| kind.name).zip(times).collect()
}

/// A fixed sequence, so that every run takes the kinds in the same order (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }

    fn shuffled(&mut self, len: usize) -> Vec<usize> {
        let mut order: Vec<_> = (0..len).collect();
        for last in (1..len).rev() {
            order.swap(last, self.below(last + 1));
        }
        order
    }
}

fn median(times: &[f64]) -> f64 {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Asserts that refused log-ins cannot be told apart in so many rounds, and that what is planted can.
fn compare(rounds: u16) {
    let begin = Instant::now();
    let times = measure(rounds);
    println!("{rounds} rounds in {:.1} s", begin.elapsed().as_secs_f64());
    println!("{:<14} {:>9}  z against each of the first four", "log-in", "median µs");
    for (name, ours) in &times {
        let against = times[..4].iter().map(|(_, theirs)| format!("{:>6.2}", deviate(ours, theirs)));
        println!("{name:<14} {:>9.0}  {}", median(ours), against.collect::<Vec<_>>().join(" "));
    }
    let (refused, planted) = times.split_at(REFUSED.len());
    for (index, (name, ours)) in refused.iter().enumerate() {
        for (other, theirs) in &refused[..index] {
            let z = deviate(ours, theirs);
            assert!(z.abs() < Z_MAX, "{name} and {other} can be told apart: z = {z:.1}");
        }
    }
    for (name, ours) in planted {
        let z = deviate(ours, &refused[1].1);
        assert!(z < -Z_MAX, "{name} was planted and not found: z = {z:.1}");
    }
}

#[test]
fn refused_log_ins_take_the_same_time() {
    compare(60);
}

#[test]
#[ignore = "half a minute, in .ci/full"]
fn refused_log_ins_take_the_same_time_in_three_hundred_rounds() {
    compare(300);
}

/// A server with one account, which has as many living sessions as one can have.
fn server_with_sessions() -> Server {
    let policy = Policy { grace_secs: 30, inactivity_secs: 3600, lifetime_secs: 3600 };
    server_with(move |writes| {
        let (user, verified, now) =
            (UserId(1), PasswordHash("none".to_owned()), Clock::starting_at(UnixMillis(0)).now());
        let name: Name = "known".parse().unwrap();
        let new = NewUser { id: user, name, role: Role::User, password_hash: verified.clone() };
        command::add_user(writes, new, None, now)?;
        for number in 0..SESSIONS_PER_USER_MAX {
            let sign_in = SignIn {
                user,
                verified: Verified { hash: verified.clone(), epoch: 0 },
                upgraded: None,
                replaces: None,
                id: SessionId::new(user, (number as u64).to_be_bytes()),
                kid: 1,
                address: [192, 0, 2, 1].into(),
                label: String::new(),
            };
            command::sign_in(writes, &sign_in, now, &policy)?.expect("it is the same password");
        }
        Ok(())
    })
}

/// Asserts that a known name and an unknown one are throttled in the same time: from a spent address; from fresh ones,
/// whose second chance costs a hash; and from one whose second chances are spent.
fn compare_throttled(rounds: u16) {
    let server = server_with_sessions();
    let names = ["known", "unknown"];
    let mut random = Random(20_261_123);
    let attempt =
        |name: &str, from: IpAddr| send(&Request::login(name, "wrong wrong wrong"), from, server.address());
    // An address from which too much has failed. The accounts have to wait after five more failures each.
    let spent = loopback(6, 0);
    for number in 0..20 {
        assert_eq!(attempt(&format!("other-{number}"), spent).0, 401);
    }
    let without_chances = loopback(6, 1);
    for (place, from, rounds) in [
        ("a spent address", Some(spent), rounds),
        ("fresh addresses", None, rounds / 5),
        ("an address without second chances", Some(without_chances), rounds),
    ] {
        let mut times = [Vec::new(), Vec::new()];
        let mut number = 0;
        while times.iter().any(|times| times.len() < usize::from(rounds)) {
            for index in random.shuffled(2) {
                number += 1;
                // What is not throttled has failed instead, and from now on is. So it is with second chances.
                if let (429, took) = attempt(names[index], from.unwrap_or(loopback(7, number))) {
                    times[index].push(took);
                }
            }
        }
        let z = deviate(&times[0], &times[1]);
        let [known, unknown] = times.map(|times| median(&times));
        println!("throttled, {place}: known {known:.0} µs, unknown {unknown:.0} µs, z = {z:.2}");
        assert!(z.abs() < Z_MAX, "who is known shows at {place}: z = {z:.1}");
    }
}

#[test]
fn throttled_log_ins_take_the_same_time() {
    compare_throttled(300);
}

#[test]
#[ignore = "a minute, in .ci/full"]
fn throttled_log_ins_take_the_same_time_in_three_thousand_rounds() {
    compare_throttled(3000);
}

#[test]
fn the_rank_test_knows_equal_from_shifted() {
    let mut random = Random(1);
    let mut noise = || (0..300).map(|_| random.below(1000) as f64).collect::<Vec<_>>();
    let (ours, theirs) = (noise(), noise());
    assert!(deviate(&ours, &theirs).abs() < Z_MAX);
    let shifted: Vec<_> = ours.iter().map(|time| time + 150.0).collect();
    assert!(deviate(&shifted, &theirs) > Z_MAX);
    assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
}
