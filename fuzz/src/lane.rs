//! The other end of a lane: a tiny_http server that says what it has read.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{self, Receiver};
use std::sync::{LazyLock, Mutex};
use std::thread;
use std::time::Duration;

/// What follows the head of a message.
pub fn body(request: &[u8]) -> &[u8] {
    let end = request.windows(4).position(|end| end == b"\r\n\r\n").expect("a head has an end");
    &request[end + 4..]
}

/// Sends bytes to the process's one tiny_http server and returns the request it has read, written as the gate does.
/// It has to be exactly one, or this panics, now or at the next call.
#[track_caller]
pub fn tiny_http_reads(request: &[u8]) -> Vec<u8> {
    static SERVER: LazyLock<Mutex<(UnixStream, Receiver<Vec<u8>>)>> =
        LazyLock::new(|| Mutex::new(start_tiny_http()));
    let (stream, requests) = &mut *SERVER.lock().expect("a panic ends the process");
    stream.write_all(request).expect("the server reads");
    let read =
        requests.recv_timeout(Duration::from_secs(2)).expect("tiny_http takes it as one whole request");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the server answers");
        answer.extend(byte);
    }
    assert!(answer.starts_with(b"HTTP/1.1 204 "), "{}", answer.escape_ascii());
    read
}

/// Starts a tiny_http server that answers every request with 204 and hands on what it has read.
fn start_tiny_http() -> (UnixStream, Receiver<Vec<u8>>) {
    let path = std::env::temp_dir().join(format!("latchkey-fuzz-{}.sock", std::process::id()));
    let listener = UnixListener::bind(&path).expect("the temporary folder takes a socket");
    let server = tiny_http::Server::from_listener(listener, None).expect("a listener makes a server");
    let stream = UnixStream::connect(&path).expect("it listens");
    std::fs::remove_file(&path).expect("it was just made");
    let (send, requests) = mpsc::channel();
    thread::spawn(move || {
        while let Ok(mut request) = server.recv() {
            let mut read = format!("{} {} HTTP/1.1\r\n", request.method(), request.url()).into_bytes();
            for header in request.headers() {
                read.extend(format!("{}: {}\r\n", header.field, header.value).bytes());
            }
            read.extend(b"\r\n");
            request.as_reader().read_to_end(&mut read).expect("the body is there whole");
            let _ = send.send(read);
            request.respond(tiny_http::Response::empty(204)).expect("the fuzzer reads");
        }
    });
    (stream, requests)
}
