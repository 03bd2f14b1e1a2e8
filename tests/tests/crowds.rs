//! Crowds at the door and in the line of log-ins: who makes room for whom.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use latchkey_tests::http::{Request, connect, loopback, statuses};
use latchkey_tests::server::{PASSWORD, Server, Setup, Tokens};
use serde_json::json;

const SERVER: &str = env!("CARGO_BIN_EXE_server-under-test");

/// An answer has to come within this.
const PATIENCE: Duration = Duration::from_secs(20);

/// Reads one answer without content, or with the `ok` of /healthz.
fn read_answer(stream: &mut TcpStream) -> u16 {
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"\r\n\r\n") {
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "the connection was cut off");
        answer.push(byte[0]);
    }
    let answer = String::from_utf8(answer).unwrap();
    if answer.contains("Content-Length: 3\r\n") {
        stream.read_exact(&mut [0; 3]).unwrap();
    }
    statuses(&answer)[0]
}

#[test]
fn eleven_hundred_silent_connections_cut_nobody_off_in_an_office_of_ten() {
    let server = Setup::new(SERVER).start();
    let whole = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    let (begun, rest) = ("POST /api/auth/logout HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r", "\n\r\n");
    let mut office: Vec<_> = (0..10).map(|_| connect(loopback(20, 1), server.address()).unwrap()).collect();
    for stream in &mut office {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(whole.as_bytes()).unwrap();
        assert_eq!(read_answer(stream), 200);
    }
    let begin = Instant::now();
    for stream in &mut office[..5] {
        stream.write_all(begun.as_bytes()).unwrap();
    }
    let silent: Vec<_> =
        (0..1100).map(|number| connect(loopback(21, number), server.address()).unwrap()).collect();
    // The last of them is in: whoever had to make room has.
    let mut last = connect(loopback(22, 1), server.address()).unwrap();
    last.set_read_timeout(Some(PATIENCE)).unwrap();
    last.write_all(whole.as_bytes()).unwrap();
    assert_eq!(read_answer(&mut last), 200);
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "a request may take no longer, which is not what this is about"
    );
    for (number, stream) in office.iter_mut().enumerate() {
        let (bytes, status) = if number < 5 { (rest, 204) } else { (whole, 200) };
        stream.write_all(bytes.as_bytes()).unwrap();
        assert_eq!(read_answer(stream), status, "{number}");
    }
    let metrics = server.send(Request::get("/metrics")).body;
    assert!(number_of(&metrics, "evicted") >= 80, "the crowd was none: {metrics}");
    drop(silent);
}

/// A counter of /metrics whose name has this word in it.
fn number_of(metrics: &str, word: &str) -> u64 {
    let line = metrics.lines().find(|line| !line.starts_with('#') && line.contains(word));
    line.unwrap_or_else(|| panic!("{word} is not in {metrics}")).rsplit_once(' ').unwrap().1.parse().unwrap()
}

/// Tells the attackers that it is over, also when the test has failed.
struct Siege<'a>(&'a AtomicBool);

impl Drop for Siege<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A server with one place for log-ins and a line of four.
fn server_with_a_short_line() -> Server {
    let server = Setup::new(SERVER).with("ARGON2_SLOTS", 1).start();
    server.add_user("alice");
    server
}

/// Sixteen clients of one address send `attack` for as long as log-ins of others go on; how many of those were served.
fn served_beside(server: &Server, attack: impl Fn(u16) -> Request + Sync) -> (usize, usize) {
    const LOG_INS: u16 = 30;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _siege = Siege(&is_over);
        for number in 0..16 {
            let (attack, is_over) = (&attack, &is_over);
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    attack(number).from(loopback(30, 1)).send(server.address());
                }
            });
        }
        let statuses: Vec<_> = (0..LOG_INS)
            .map(|number| server.send(Request::login("alice", PASSWORD).from(loopback(31, number))).status)
            .collect();
        (statuses.iter().filter(|status| **status == 200).count(), statuses.len())
    })
}

#[test]
fn changes_of_passwords_without_a_token_keep_nobody_out() {
    let server = server_with_a_short_line();
    let (served, of) = served_beside(&server, |_| {
        Request::post("/api/auth/password")
            .json(&json!({"current": "x", "new": "a new password of some length"}))
    });
    println!("{served} of {of} log-ins were served");
    assert!(served * 10 >= of * 9, "{served} of {of}");
}

#[test]
fn sixteen_clients_of_one_address_that_fill_the_line_keep_nobody_out() {
    let server = server_with_a_short_line();
    // Signed in, so that each request needs its password hashed, and right ones, which are not throttled.
    let tokens = Tokens::from(&server.send(Request::login("alice", PASSWORD).from(loopback(30, 1))));
    let (served, of) = served_beside(&server, |_| {
        let body = json!({"current": PASSWORD, "new": "short"});
        Request::post("/api/auth/password").bearer(&tokens.access).json(&body)
    });
    println!("{served} of {of} log-ins were served");
    assert!(served * 10 >= of * 9, "{served} of {of}");
}

#[test]
fn what_needs_no_hash_is_refused_before_those_in_line_are_answered() {
    let server = server_with_a_short_line();
    let malformed = || Request::post("/api/auth/login").body("application/json", "{");
    let without_token = || Request::post("/api/admin/users").json(&json!({"username": "bob"}));
    let text = || Request::post("/api/auth/reset").body("text/plain", "{}");
    let foreign = || Request::login("alice", PASSWORD).field("Sec-Fetch-Site", "cross-site");
    let refused: [(&dyn Fn() -> Request, u16); 4] =
        [(&malformed, 400), (&without_token, 401), (&text, 415), (&foreign, 403)];
    for (request, status) in refused {
        // Where others take the processor, the four in line may be quicker; not always.
        let is_first = |round: u16| {
            let log_ins: Vec<_> = (0..4).map(|number| begin_log_in(&server, 4 * round + number)).collect();
            let answer = server.send(request());
            assert_eq!(answer.status, status, "{answer:?}");
            let last = log_ins.last().expect("there are four");
            last.set_nonblocking(true).unwrap();
            let is_first = last.peek(&mut [0]).is_err();
            for mut stream in log_ins {
                stream.set_nonblocking(false).unwrap();
                assert_eq!(read_status(&mut stream), 401);
            }
            is_first
        };
        assert!((0..20).any(is_first), "{status} came after the log-ins in line, twenty times");
    }
}

/// Sends a log-in from an address of its own and does not wait for its answer.
fn begin_log_in(server: &Server, number: u16) -> TcpStream {
    let mut stream = connect(loopback(40, number), server.address()).unwrap();
    let request = Request::login(&format!("nobody-{number}"), "wrong wrong wrong wrong");
    stream.write_all(&request.field("Connection", "close").to_bytes(server.address())).unwrap();
    stream
}

fn read_status(stream: &mut TcpStream) -> u16 {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    statuses(&answer)[0]
}

/// A connection on which a log-in was sent, and perhaps the end of what is sent.
fn log_in_and_stop_sending(server: &Server, mut stream: TcpStream, number: usize) -> TcpStream {
    let request = Request::login(&format!("nobody-{number}"), "wrong wrong wrong wrong");
    stream.write_all(&request.field("Connection", "close").to_bytes(server.address())).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    stream
}

fn ten_connections(server: &Server) -> Vec<TcpStream> {
    (0..10).map(|number| connect(loopback(50, number), server.address()).unwrap()).collect()
}

#[test]
fn log_ins_whose_sender_has_stopped_sending_do_not_wait_in_line() {
    let server = server_with_a_short_line();
    let streams = ten_connections(&server).into_iter().enumerate();
    let streams: Vec<_> =
        streams.map(|(number, stream)| log_in_and_stop_sending(&server, stream, number)).collect();
    let answered: Vec<_> = streams
        .into_iter()
        .map(|mut stream| {
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            let status = statuses(&answer)[0];
            assert!(status == 401 || answer.contains("stopped sending"), "{answer}");
            status
        })
        .collect();
    assert!(answered.contains(&503), "ten at once have no line: {answered:?}");
    assert!(answered.contains(&401), "and one alone is answered: {answered:?}");
    let hashed = answered.iter().filter(|status| **status == 401).count() as u64;
    assert_eq!(number_of(&server.send(Request::get("/metrics")).body, "log_ins_refused"), hashed);
}

#[test]
fn log_ins_whose_sender_has_gone_are_not_hashed() {
    let server = server_with_a_short_line();
    let streams = ten_connections(&server).into_iter().enumerate();
    streams.for_each(|(number, stream)| drop(log_in_and_stop_sending(&server, stream, number)));
    // Whoever stays is served, and those in front have been, if they were to be.
    let answer = server.send(Request::login("alice", PASSWORD).from(IpAddr::from([127, 60, 0, 1])));
    assert_eq!(answer.status, 200, "{answer:?}");
    let hashed = number_of(&server.send(Request::get("/metrics")).body, "log_ins_refused");
    println!("{hashed} of 10 were hashed");
    assert!(hashed < 10, "{hashed}");
}
