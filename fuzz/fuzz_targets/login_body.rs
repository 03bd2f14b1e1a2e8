//! Any bytes as the body of a log-in: taken if and only if it is an object of the members we know, each once.

#![no_main]

use std::net::{IpAddr, Ipv4Addr};

use latchkey::api::{LoginBody, Method, Request};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};

fn read(body: &[u8]) -> Option<LoginBody> {
    let (fields, client) = (&[("content-type", "application/json")], IpAddr::V4(Ipv4Addr::LOCALHOST));
    let path = "/api/auth/login";
    Request { id: "", method: Method::Post, path, query: "", fields, body, client, is_forwarded: false }
        .json()
        .ok()
}

fuzz_target!(|input: &[u8]| {
    // White space around a document means nothing (RFC 8259 §2).
    assert_eq!(read(&[b" \n", input, b"\t"].concat()).is_some(), read(input).is_some());
    let Ok(object) = serde_json::from_slice::<Map<String, Value>>(input) else {
        return assert!(read(input).is_none());
    };
    let is_known = |(name, value): (&String, &Value)| match name.as_str() {
        "username" | "password" => value.is_string(),
        "delivery" => value == "cookie" || value == "body",
        _ => false,
    };
    let is_good =
        object.iter().all(is_known) && object.contains_key("username") && object.contains_key("password");
    let written_again = serde_json::to_vec(&object).expect("an object is JSON");
    assert_eq!(read(&written_again).is_some(), is_good);
    // A member that is there twice, or a number that no float holds, is gone when it is written again.
    let Some(body) = read(input) else { return };
    assert!(is_good);
    assert_eq!(
        (object["username"].as_str(), object["password"].as_str().map(str::as_bytes)),
        (Some(body.username.as_str()), Some(body.password.as_bytes()))
    );
});
