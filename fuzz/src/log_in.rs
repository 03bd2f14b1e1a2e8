//! The body of a log-in: as the server reads it, and what it has to be going by serde_json.

use std::net::{IpAddr, Ipv4Addr};

use latchkey::api::{LoginBody, Method, Request};
use serde_json::{Map, Value};

/// What the server reads; `None` when it refuses the body.
pub fn read(body: &[u8]) -> Option<LoginBody> {
    let (fields, client) = (&[("content-type", "application/json")], IpAddr::V4(Ipv4Addr::LOCALHOST));
    let path = "/api/auth/login";
    Request { id: "", method: Method::Post, path, query: "", fields, body, client, is_forwarded: false }
        .json()
        .ok()
}

/// Whether an object has the members we know and no other.
pub fn is_good(object: &Map<String, Value>) -> bool {
    let is_known = |(name, value): (&String, &Value)| match name.as_str() {
        "username" | "password" => value.is_string(),
        "delivery" => value == "cookie" || value == "body",
        _ => false,
    };
    object.iter().all(is_known) && object.contains_key("username") && object.contains_key("password")
}
