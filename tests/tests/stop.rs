//! SIGTERM under load: what was acknowledged is there after the restart, and nobody can keep the server from stopping.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use latchkey_tests::http::Request;
use latchkey_tests::refresher::Refresher;
use latchkey_tests::server::{Server, Setup};

const SERVER: &str = env!("CARGO_BIN_EXE_server-under-test");
const CLIENTS: u64 = 8;
const STOPS: u32 = 3;

/// How long a stop may take, whatever clients do.
const STOP_MAX: Duration = Duration::from_secs(5);

/// Clients that do not finish what they have begun: silent, in the middle of a head, in the middle of a body, and one
/// that sends requests and takes no answers.
fn slow_clients(server: &Server) -> Vec<TcpStream> {
    let mut slow = Vec::new();
    let unfinished = "POST /api/auth/refresh HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{";
    let greedy = "GET /page.js HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1000);
    for start in ["", "GET /api/me HTT", unfinished, &greedy].repeat(5) {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.set_nonblocking(true).unwrap();
        // As much as fits.
        let _ = stream.write(start.as_bytes());
        slow.push(stream);
    }
    slow
}

#[test]
fn no_stop_loses_an_acknowledged_rotation_or_takes_longer_than_five_seconds() {
    let mut server = Setup::new(SERVER).with("GRACE_SECS", 0).with("ARGON2_PROFILE", "low-memory").start();
    server.add_user("alice");
    let stop = AtomicBool::new(false);
    let mut clients: Vec<Refresher> =
        (0..CLIENTS).map(|number| Refresher::signed_in(&server, number)).collect();
    thread::scope(|scope| {
        for client in &mut clients {
            scope.spawn(|| client.run(&stop));
        }
        for round in 0..STOPS {
            let slow = slow_clients(&server);
            thread::sleep(Duration::from_millis(300)); // load, and requests that are half there
            let begin = Instant::now();
            assert_eq!(server.stop(), Some(0), "{}", server.log());
            let took = begin.elapsed();
            println!("stop {round} took {} ms", took.as_millis());
            assert!(took < STOP_MAX, "{took:?}");
            drop(slow);
            server.start();
        }
        stop.store(true, Ordering::Relaxed);
    });
    let acknowledged: u64 = clients.iter().map(|client| client.acknowledged).sum();
    println!("{STOPS} stops, {acknowledged} acknowledged rotations, 0 lost");
    assert!(acknowledged > CLIENTS, "{acknowledged} rotations are no load");
    for client in clients {
        client.assert_alive(&server);
    }
    assert!(!server.log().contains("a spent refresh token"), "{}", server.log());
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[test]
fn a_stop_without_clients_is_immediate() {
    let mut server = Setup::new(SERVER).start();
    let begin = Instant::now();
    assert_eq!(server.stop(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
}

#[test]
fn a_stop_finishes_the_log_ins_of_clients_that_have_hung_up() {
    let mut server = Setup::new(SERVER).with("ARGON2_PROFILE", "low-memory").start();
    server.add_user("alice");
    for _ in 0..3 {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        let body = r#"{"username":"nobody","password":"wrong wrong wrong"}"#;
        let len = body.len();
        let head = format!(
            "POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {len}\r\n\r\n"
        );
        stream.write_all((head + body).as_bytes()).unwrap();
        drop(stream);
    }
    assert_eq!(server.stop(), Some(0));
    assert!(!server.log().contains("still at work"), "{}", server.log());
}

#[test]
fn a_request_that_is_half_there_may_still_be_finished() {
    let mut server = Setup::new(SERVER).start();
    let request = Request::get("/healthz").to_bytes(server.address());
    let (begun, rest) = request.split_at(20);
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(begun).unwrap();
    thread::sleep(Duration::from_millis(200)); // it has arrived
    server.terminate();
    thread::sleep(Duration::from_millis(200)); // the stop has begun
    stream.write_all(rest).unwrap();
    let answer = std::io::read_to_string(&mut stream).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("Connection: close"), "{answer}");
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    let mut server = Setup::new(SERVER).start();
    let _slow = slow_clients(&server);
    thread::sleep(Duration::from_millis(200)); // they are in
    server.terminate();
    let begin = Instant::now();
    while !server.log().contains("stopping") {
        assert!(begin.elapsed() < STOP_MAX, "the signal did not arrive");
        thread::sleep(Duration::from_millis(5));
    }
    let begin = Instant::now();
    assert_eq!(server.stop(), Some(128 + 15));
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
}
