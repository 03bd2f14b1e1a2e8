//! Any bytes as the body of a log-in: taken if and only if it is an object of the members we know, each once.

#![no_main]

use latchkey_fuzz::{json, log_in};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let read = log_in::read(input);
    // White space around a document means nothing (RFC 8259 §2).
    assert_eq!(log_in::read(&[b" \n", input, b"\t"].concat()).is_some(), read.is_some());
    let object = json::object(input);
    let good = object.filter(|object| log_in::is_good(object) && json::members(input) == object.len());
    assert_eq!(read.is_some(), good.is_some());
    if let (Some(body), Some(object)) = (read, good) {
        assert_eq!(object["username"], body.username);
        assert_eq!(object["password"].as_str().map(str::as_bytes), Some(body.password.as_bytes()));
    }
});
