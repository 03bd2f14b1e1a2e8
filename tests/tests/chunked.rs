//! Bodies in chunks, over the real binary: as programs send them, and in every odd frame.

use std::io::{Read, Write};
use std::net::TcpStream;

use latchkey_tests::http::{Answer, Request, exchange, statuses};
use latchkey_tests::server::{PASSWORD, Server, Setup};
use serde_json::json;

const SERVER: &str = env!("CARGO_BIN_EXE_server-under-test");

fn server_with_alice() -> Server {
    let server = Setup::new(SERVER).with("ARGON2_PROFILE", "low-memory").start();
    server.add_user("alice");
    server
}

fn chunk(content: &str) -> String {
    format!("{:x}\r\n{content}\r\n", content.len())
}

/// A log-in in chunks of so many bytes.
fn log_in(chunk_len: usize) -> Request {
    let body = json!({"username": "alice", "password": PASSWORD}).to_string();
    let chunks: String =
        body.as_bytes().chunks(chunk_len).map(|part| chunk(str::from_utf8(part).unwrap())).collect();
    Request::post("/api/auth/login")
        .body("application/json", chunks + "0\r\n\r\n")
        .field("Transfer-Encoding", "chunked")
}

#[test]
fn a_log_in_in_chunks_is_a_log_in() {
    let server = server_with_alice();
    for chunk_len in [1, 7, 1000] {
        let answer: Answer = server.send(log_in(chunk_len));
        assert_eq!(answer.status, 200, "{chunk_len}: {answer:?}");
    }
}

#[test]
fn a_log_in_that_comes_byte_by_byte_is_a_log_in_and_so_is_the_next_on_the_connection() {
    let server = server_with_alice();
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_nodelay(true).unwrap();
    let request = log_in(9).to_bytes(server.address());
    for byte in request {
        stream.write_all(&[byte]).unwrap();
    }
    stream.write_all(&log_in(9).field("Connection", "close").to_bytes(server.address())).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    assert_eq!(statuses(&answers), [200, 200]);
}

/// Sends a sign-out in chunks, and a request behind it; returns the statuses.
fn sign_out(server: &Server, chunks: &str) -> Vec<u16> {
    let head = "POST /api/auth/logout HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    let next = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    statuses(&exchange(server.address(), [head, chunks, next].concat()))
}

#[test]
fn frames_of_chunks_that_are_right_are_read_and_the_request_behind_them_is_answered() {
    let server = Setup::new(SERVER).start();
    for chunks in [
        "2\r\n{}\r\n0\r\n\r\n",
        "1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
        "0002\r\n{}\r\n0000\r\n\r\n",
        "2;name=value\r\n{}\r\n0;last\r\n\r\n",
        "2 ; name=\"quoted\"\r\n{}\r\n0\r\n\r\n",
        "2\r\n{}\r\n0\r\nTrailer: is dropped\r\n\r\n",
        "0\r\n\r\n",
    ] {
        assert_eq!(sign_out(&server, chunks), [204, 200], "{chunks:?}");
    }
}

#[test]
fn odd_frames_of_chunks_are_refused_and_what_is_behind_them_is_not_answered() {
    let server = Setup::new(SERVER).start();
    for (name, chunks) in [
        ("bare LF behind a size", "2\n{}\r\n0\r\n\r\n"),
        ("bare LF behind the content", "2\r\n{}\n0\r\n\r\n"),
        ("bare LF at the end", "2\r\n{}\r\n0\n\n"),
        ("bare CR behind a size", "2\r{}\r\n0\r\n\r\n"),
        ("bare LF in an extension", "2;a\nb\r\n{}\r\n0\r\n\r\n"),
        ("bare CR in an extension", "2;a\rb\r\n{}\r\n0\r\n\r\n"),
        ("space around a size", " 2 \r\n{}\r\n0\r\n\r\n"),
        ("a sign", "+2\r\n{}\r\n0\r\n\r\n"),
        ("a minus", "-2\r\n{}\r\n0\r\n\r\n"),
        ("a prefix", "0x2\r\n{}\r\n0\r\n\r\n"),
        ("no size", "\r\n{}\r\n0\r\n\r\n"),
        ("no hexadecimal digit", "g\r\n{}\r\n0\r\n\r\n"),
        ("too short a size", "1\r\n{}\r\n0\r\n\r\n"),
        ("too long a size", "3\r\n{}\r\n0\r\n\r\n"),
        ("a folded trailer", "0\r\nA: b\r\n c\r\n\r\n"),
        ("a trailer without a colon", "0\r\nA\r\n\r\n"),
        ("a request for a trailer", "0\r\n"),
    ] {
        assert_eq!(sign_out(&server, chunks), [400], "{name}");
    }
    let endless_extension = format!("2;{}\r\n{{}}\r\n0\r\n\r\n", "a".repeat(300));
    assert_eq!(sign_out(&server, &endless_extension), [400]);
    for (name, chunks) in [
        ("a size that wraps to 2", "10000000000000002\r\n{}\r\n0\r\n\r\n".to_owned()),
        ("a size that wraps in 32 bits", "100000002\r\n{}\r\n0\r\n\r\n".to_owned()),
        ("too many bytes", chunk(&"a".repeat(10_000)).repeat(2)),
        ("too many frames", "1\r\na\r\n".repeat(4200)),
    ] {
        assert_eq!(sign_out(&server, &chunks), [413], "{name}");
    }
}

#[test]
fn codings_other_than_one_chunked_are_refused() {
    let server = Setup::new(SERVER).start();
    let status = |fields: &str, version: &str| {
        let head = format!(
            "POST /api/auth/logout HTTP/{version}\r\nHost: a\r\nContent-Type: application/json\r\n{fields}\r\n\r\n"
        );
        statuses(&exchange(server.address(), head + "2\r\n{}\r\n0\r\n\r\n"))
    };
    assert_eq!(status("Transfer-Encoding: Chunked", "1.1"), [204]);
    assert_eq!(status("Transfer-Encoding: gzip, chunked", "1.1"), [501]);
    for fields in [
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 12",
        "Content-Length: 12\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding:",
    ] {
        assert_eq!(status(fields, "1.1"), [400], "{fields:?}");
    }
    assert_eq!(status("Transfer-Encoding: chunked", "1.0"), [400]);
}

#[test]
fn a_client_that_asks_first_is_told_to_send_its_chunks() {
    let server = server_with_alice();
    let request =
        log_in(10).field("Expect", "100-continue").field("Connection", "close").to_bytes(server.address());
    let head_len = request.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(&request[..head_len]).unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(&request[head_len..]).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(statuses(&answer), [200]);
}
