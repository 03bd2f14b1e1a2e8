//! Any text as an Idempotency-Key: a good one gets through the gate as it is, and no other turns into a good one there.

#![no_main]

use latchkey::api::is_retry_key;
use latchkey::gate::parse::{PASSED_ON, Parsed, parse};
use latchkey_fuzz::cookie;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|key: &str| {
    let visible = key.chars().filter(|character| ('!'..='~').contains(character)).count();
    assert_eq!(is_retry_key(key), visible == key.chars().count() && (16..=64).contains(&visible));

    let request = format!("POST / HTTP/1.1\r\nHost: a\r\nIdempotency-Key:{key}\r\n\r\n");
    let place = PASSED_ON.iter().position(|name| *name == "idempotency-key").expect("it is passed on");
    match parse(request.as_bytes(), &cookie()) {
        Parsed::Complete(request) if !key.contains('\r') => {
            assert_eq!(request.fields[place], Some(key.trim_matches([' ', '\t']).as_bytes()));
        }
        _ => assert!(!is_retry_key(key)),
    }
});
