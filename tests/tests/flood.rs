//! A flood of log-ins and the clients who have nothing to do with it: what strangers' passwords cost them.
//!
//! The times are printed and not judged, for the machine may be doing other things; `tests/flood` prints those of the
//! released server.

use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use latchkey_tests::attacks::Usage;
use latchkey_tests::http::{Connection, Request, loopback};
use latchkey_tests::server::{PASSWORD, Server, Setup, Tokens, program_to_measure};

const SERVER: &str = env!("CARGO_BIN_EXE_server-under-test");

/// Clients that flood: half of them from a new address and with a new name each time, so that they are not throttled.
const FLOODERS: u16 = 32;
const FLOOD: Duration = Duration::from_secs(10);

/// How long the good clients pause between two requests.
const PAUSE: Duration = Duration::from_millis(5);

/// How long somebody who was turned away waits before the next log-in.
const LOG_IN_PAUSE: Duration = Duration::from_millis(250);

const MEMORY_KIB_MAX: u64 = 64 << 10;

/// How often the flood was answered 401, 429 and 503.
#[derive(Default)]
struct Answers {
    refused: u64,
    throttled: u64,
    turned_away: u64,
}

impl Answers {
    fn plus(self, other: Self) -> Self {
        Self {
            refused: self.refused + other.refused,
            throttled: self.throttled + other.throttled,
            turned_away: self.turned_away + other.turned_away,
        }
    }
}

/// Tries passwords until it is over; every attempt has to be answered.
fn flood(number: u16, to: SocketAddr, is_over: &AtomicBool) -> Answers {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let mut answers = Answers::default();
    while !is_over.load(Ordering::Relaxed) {
        let (from, name) = if number.is_multiple_of(2) {
            let next = NEXT.fetch_add(1, Ordering::Relaxed);
            (loopback(7, next), format!("nobody-{next}"))
        } else {
            (loopback(8, number), "alice".to_owned())
        };
        let answer = Request::login(&name, "wrong wrong wrong wrong").from(from).try_send(to);
        let answer = answer.unwrap_or_else(|error| panic!("flooder {number} got no answer: {error}"));
        match answer.status {
            401 => answers.refused += 1,
            429 => answers.throttled += 1,
            503 => answers.turned_away += 1,
            _ => panic!("flooder {number} got {answer:?}"),
        }
    }
    answers
}

/// Sends what `next` makes of the last answer's tokens until it is over; every answer has to be 200. Returns how long
/// each took.
fn good_client(
    server: &Server,
    mut tokens: Tokens,
    is_over: &AtomicBool,
    next: impl Fn(&Tokens) -> Request,
) -> Vec<Duration> {
    let mut connection = Connection::new(loopback(0, 2), server.address());
    let mut times = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let request = next(&tokens);
        let begin = Instant::now();
        let answer = connection.send(&request).expect("a good client is answered");
        times.push(begin.elapsed());
        assert_eq!(answer.status, 200, "{answer:?}");
        if answer.field("set-cookie").is_some() {
            tokens = Tokens::from(&answer);
        }
        thread::sleep(PAUSE);
    }
    times
}

/// Signs in again and again, and returns how often that was answered 200 and how often 503.
fn good_log_ins(to: SocketAddr, is_over: &AtomicBool) -> (u32, u32) {
    let (mut signed_in, mut turned_away) = (0, 0);
    while !is_over.load(Ordering::Relaxed) {
        let answer = Request::login("alice", PASSWORD).from(loopback(0, 2)).try_send(to);
        match answer.expect("a good client is answered").status {
            200 => signed_in += 1,
            503 => turned_away += 1,
            status => panic!("a right password got {status}"),
        }
        thread::sleep(LOG_IN_PAUSE);
    }
    (signed_in, turned_away)
}

fn line(what: &str, mut times: Vec<Duration>, goal_millis: u32) -> String {
    times.sort();
    let millis = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    let (median, p99, slowest) = (millis(0.5), millis(0.99), millis(1.0));
    format!("{what:<16} {:>8} {median:>9.1} {p99:>9.1} {slowest:>9.1} {goal_millis:>9}", times.len())
}

/// The most memory a process has had.
fn peak_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn a_flood_of_log_ins_is_answered_and_keeps_nobody_else_out() {
    let server = Setup::new(&program_to_measure(SERVER)).with("GRACE_SECS", 0).start();
    server.add_user("alice");
    // They come from the good clients' address, where a session of alice's then lives.
    let sign_in = || Tokens::from(&server.send(Request::login("alice", PASSWORD).from(loopback(0, 2))));
    let (me_tokens, refresh_tokens) = (sign_in(), sign_in());
    let before = Usage::of(Some(server.pid()));
    let (is_over, good_over) = (AtomicBool::new(false), AtomicBool::new(false));
    let (answers, me, refresh, log_ins) = thread::scope(|scope| {
        let me = scope.spawn(|| {
            good_client(&server, me_tokens, &good_over, |tokens| {
                Request::get("/api/me").bearer(&tokens.access)
            })
        });
        let refresh = scope.spawn(|| {
            good_client(&server, refresh_tokens, &good_over, |tokens| {
                Request::post("/api/auth/refresh").field("Cookie", &server.cookie(&tokens.refresh))
            })
        });
        let log_ins = scope.spawn(|| good_log_ins(server.address(), &is_over));
        let flooders: Vec<_> = (0..FLOODERS)
            .map(|number| {
                let (to, is_over) = (server.address(), &is_over);
                scope.spawn(move || flood(number, to, is_over))
            })
            .collect();
        thread::sleep(FLOOD);
        is_over.store(true, Ordering::Relaxed);
        let answers = flooders.into_iter().map(|flooder| flooder.join().unwrap());
        let answers = answers.fold(Answers::default(), Answers::plus);
        good_over.store(true, Ordering::Relaxed);
        (answers, me.join().unwrap(), refresh.join().unwrap(), log_ins.join().unwrap())
    });
    let (peak, after) = (peak_kib(server.pid()), before.restored(Some(server.pid())));

    let Answers { refused, throttled, turned_away } = answers;
    println!(
        "{:<16} {:>8} {:>9} {:>9} {:>9} {:>9}",
        "in a flood", "requests", "median ms", "p99", "max", "goal p99"
    );
    println!("{}", line("GET /api/me", me, 50));
    println!("{}", line("refresh", refresh, 100));
    println!(
        "{FLOODERS} clients for {} s: {refused} × 401, {throttled} × 429, {turned_away} × 503",
        FLOOD.as_secs()
    );
    println!("log-ins of a good client meanwhile: {} × 200, {} × 503", log_ins.0, log_ins.1);
    println!(
        "peak {peak} KiB; threads {} → {}; descriptors {} → {}",
        before.threads, after.threads, before.descriptors, after.descriptors
    );
    assert!(refused > 0 && throttled > 0 && turned_away > 0, "the flood was none");
    assert!(peak < MEMORY_KIB_MAX, "{peak} KiB");
    assert!(
        after.threads <= before.threads + 2 && after.descriptors <= before.descriptors + 2,
        "{before:?} {after:?}"
    );
    assert!(!server.log().contains("panicked"), "{}", server.log());
}
