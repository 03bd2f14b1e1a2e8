//! The attack suite: whatever strangers send, a good client from another address is served, and memory, threads and
//! descriptors come back. A bare tiny_http server under the same attacks shows that the suite can fail.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use latchkey_tests::attacks::{ATTACKS, Report, Target, table_head, table_line};
use latchkey_tests::http::{exchange, statuses};
use latchkey_tests::server::{Server, Setup};

const SERVER: &str = env!("CARGO_BIN_EXE_server-under-test");
const BARE: &str = env!("CARGO_BIN_EXE_bare-tiny-http");

/// One attack at a time: each measures the good client's answers.
static ALONE: Mutex<()> = Mutex::new(());

fn target(server: &Server) -> Target {
    Target { address: server.address(), pid: Some(server.pid()) }
}

/// Runs an attack against a server of its own with few descriptors, and asserts that nothing came of it.
fn withstands(name: &str) {
    let _alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let attack = ATTACKS.iter().find(|attack| attack.name == name).expect("the attack exists");
    let mut setup = Setup::new(SERVER);
    if name == "descriptors" {
        setup = setup.with_descriptors(100);
    }
    let server = setup.start();
    let report = attack.run(target(&server));
    println!("{}\n{}", table_head(), table_line(&report));
    assert!(report.faults().is_empty(), "{}: {:?}", attack.what, report.faults());
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

macro_rules! withstood {
    ($($name:ident)*) => {
        $(#[test] fn $name() { withstands(stringify!($name)); })*

        #[test]
        fn every_attack_has_its_test() {
            let tested = [$(stringify!($name)),*];
            assert!(ATTACKS.iter().all(|attack| tested.contains(&attack.name)));
        }
    };
}

withstood! {
    huge_length http_2 descriptors reset silent_bodies silence slow_heads slow_bodies slow_readers idle_flood churn
    endless_head noise two_lengths chunked chunks silent_crowd deaf_crowd half_open reset_after_request
}

/// A bare tiny_http server; killed on drop.
struct Bare {
    child: Child,
    target: Target,
}

impl Bare {
    fn start(descriptors: u32) -> Self {
        let script = format!("ulimit -n {descriptors}; exec \"$0\"");
        let mut child = Command::new("bash")
            .args(["-c", &script, BARE])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit_once("//").unwrap().1.parse().unwrap();
        let pid = Some(child.id());
        Self { child, target: Target { address, pid } }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn on_bare_server(name: &str, descriptors: u32) -> Report {
    let _alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let attack = ATTACKS.iter().find(|attack| attack.name == name).expect("the attack exists");
    let bare = Bare::start(descriptors);
    let report = attack.run(bare.target);
    println!("{}\n{}", table_head(), table_line(&report));
    report
}

#[test]
fn a_bare_server_is_ended_by_a_huge_length() {
    assert!(!on_bare_server("huge_length", 4096).survived);
}

#[test]
fn a_bare_server_leaks_a_thread_for_each_request_of_http_2() {
    let report = on_bare_server("http_2", 4096);
    assert!(report.after.threads > report.before.threads + 100, "{report:?}");
}

#[test]
fn a_bare_server_is_deaf_once_descriptors_have_run_out() {
    assert!(!on_bare_server("descriptors", 100).survived);
}

#[test]
fn a_bare_server_is_blocked_by_bodies_that_never_come() {
    let report = on_bare_server("silent_bodies", 4096);
    assert!(report.refused > 0, "{report:?}");
}

#[test]
fn a_bare_server_answers_requests_hidden_in_bodies() {
    for (name, heads) in [
        (
            "two_lengths",
            &["Content-Length: 5\r\nContent-Length: 0", "Transfer-Encoding: chunked", "Length: +5"][..],
        ),
        ("chunked", &["Transfer-Encoding: x"]),
    ] {
        let report = on_bare_server(name, 4096);
        let faults = report.faults().join("; ");
        for head in heads {
            assert!(faults.contains(&head.escape_debug().to_string()), "{head} is not in {faults:?}");
        }
    }
}

#[test]
fn pipelined_requests_of_all_lanes_are_answered_in_order() {
    let server = Setup::new(SERVER).start();
    let requests = [
        "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 38\r\n\r\n\
         {\"username\": \"nobody\",\"password\": \"x\"}",
        "POST /api/auth/refresh HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        "HEAD /style.css HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        "GET /icon.svg HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    ];
    let answers = exchange(server.address(), requests.concat());
    assert_eq!(statuses(&answers), [200, 401, 401, 200, 404, 200, 200], "{answers}");
    assert!(answers.contains("Connection: keep-alive") && answers.contains("Connection: close"));
}

#[test]
fn a_client_that_stops_sending_after_its_request_gets_its_answer() {
    let server = Setup::new(SERVER).start();
    let answer = exchange(server.address(), "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nok\n"), "{answer}");
}

#[test]
fn a_client_that_asks_first_is_told_to_send_its_body() {
    let server = Setup::new(SERVER).start();
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream
        .write_all(b"POST /api/auth/logout HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"{}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
}

#[test]
fn refusals_of_the_gate_are_problem_documents_too() {
    let server = Setup::new(SERVER).start();
    for (request, status, code) in [
        ("GET / HTTP/2.0\r\n\r\n", 505, "unsupported_version"),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501, "not_implemented"),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4001\r\n", 413, "body_too_large"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 16385\r\n\r\n", 413, "body_too_large"),
        ("POST / HTTP/1.1\r\nHost: a\r\nExpect: magic\r\n\r\n", 417, "expectation_failed"),
        ("GET / HTTP/1.1\r\n\r\n", 400, "bad_request"),
        (&format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(2048)), 414, "target_too_long"),
        (&format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(16384)), 431, "head_too_large"),
    ] {
        let answer = exchange(server.address(), request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains(&format!("\"type\":\"urn:latchkey:{code}\"")), "{answer}");
        assert!(
            answer.contains("Content-Type: application/problem+json\r\n")
                && answer.contains("Connection: close\r\n")
        );
    }
}

#[test]
fn a_request_that_does_not_arrive_in_time_is_told_so() {
    let server = Setup::new(SERVER).start();
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("request_timeout"), "{answer}");
}
