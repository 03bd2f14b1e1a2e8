//! What stays of a password in the memory of a server that has had other things to do since.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use latchkey_tests::http::Request;
use latchkey_tests::server::{Server, Setup, program_to_measure};
use serde_json::json;

const SERVER: &str = env!("CARGO_BIN_EXE_server-under-test");

/// No other bytes of the process look like this.
const SECRET: &str = "quite a secret 8271 that nobody else has";

/// Bytes of a process that are looked at together.
const PIECE_LEN: usize = 1 << 20;

/// How often `text` stands in the memory of a process; `None` where that may not be looked at.
fn copies(pid: u32, text: &str) -> Option<usize> {
    let memory = File::open(Path::new("/proc").join(pid.to_string()).join("mem")).ok()?;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let mut count = 0;
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (start, end) = line.split(' ').next()?.split_once('-')?;
        let (start, end) = (u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?);
        // One piece overlaps the next, so that nothing falls between them, and nothing is counted twice.
        for at in (start..end).step_by(PIECE_LEN) {
            let mut piece = vec![0; PIECE_LEN.min((end - at) as usize) + text.len() - 1];
            let len = memory.read_at(&mut piece, at).unwrap_or_default();
            count += piece[..len].windows(text.len()).filter(|window| *window == text.as_bytes()).count();
        }
    }
    Some(count)
}

/// Signs somebody in and does other things afterwards.
fn work(server: &Server, log_in: impl Fn() -> Request) {
    for _ in 0..3 {
        assert_eq!(server.send(log_in()).status, 200);
    }
    for number in 0..300 {
        let request = match number % 3 {
            0 => Request::get("/api/me").bearer("x.y.z"),
            1 => Request::get("/session.js"),
            _ => Request::post("/api/auth/logout").json(&json!({"refresh_token": "x".repeat(number)})),
        };
        server.send(request);
    }
}

#[test]
fn no_password_stays_in_memory_once_its_log_in_is_answered() {
    let server = Setup::new(&program_to_measure(SERVER)).with("ARGON2_PROFILE", "low-memory").start();
    let added = server.run_with_input(&["user", "add", "alice", "--password-stdin"], SECRET);
    assert!(added.status.success());
    let body = json!({"username": "alice", "password": SECRET}).to_string();
    let whole = || Request::post("/api/auth/login").body("application/json", body.clone());
    let chunks = format!("9\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n", &body[..9], body.len() - 9, &body[9..]);
    let in_chunks = || whole_in_chunks(&chunks);
    if copies(server.pid(), SECRET).is_none() {
        eprintln!("SKIPPED: the memory of another process may not be looked at here");
        return;
    }
    work(&server, whole);
    let after_whole = copies(server.pid(), SECRET).unwrap();
    println!("copies of a password after log-ins: {after_whole}");
    work(&server, in_chunks);
    let after_chunks = copies(server.pid(), SECRET).unwrap();
    println!("copies of a password after log-ins in chunks: {after_chunks}");
    assert_eq!((after_whole, after_chunks), (0, 0));
    assert!(copies(server.pid(), "latchkey").unwrap() > 0, "what is looked for would be found");
}

fn whole_in_chunks(chunks: &str) -> Request {
    Request::post("/api/auth/login").body("application/json", chunks).field("Transfer-Encoding", "chunked")
}
