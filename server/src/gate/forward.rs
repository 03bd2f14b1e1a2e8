//! A request as the gate passes it on: one spelling for each meaning, and who sent it in a field only the gate writes.

use std::net::IpAddr;

use super::parse::{PASSED_ON, Request};
use crate::cookie::RefreshCookie;

/// The field that tells the server who sent a request. It is not among [`PASSED_ON`], so no client can write it.
pub const CLIENT_FIELD: &str = "latchkey-client";

/// Who sent a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sender {
    /// The client's address, seen through trusted proxies.
    pub address: IpAddr,
    /// Whether a proxy, trusted or not, stands between.
    pub is_forwarded: bool,
}

impl Sender {
    /// The sender as the value of [`CLIENT_FIELD`].
    fn to_field(self) -> String {
        format!("{} {}", self.address, if self.is_forwarded { "forwarded" } else { "direct" })
    }

    /// Reads the value of [`CLIENT_FIELD`] back.
    pub fn from_field(value: &str) -> Option<Self> {
        let (address, way) = value.split_once(' ')?;
        let is_forwarded = match way {
            "forwarded" => true,
            "direct" => false,
            _ => return None,
        };
        Some(Self { address: address.parse().ok()?, is_forwarded })
    }
}

/// Bytes that a request may grow by: the sender with the longest address, and little else.
const ADDED_LEN: usize = 96;

/// Appends `request` to `out` in its one spelling.
pub fn write(request: &Request<'_>, sender: Sender, cookie: &RefreshCookie, out: &mut Vec<u8>) {
    out.reserve(request.len + ADDED_LEN);
    let mut put = |parts: &[&[u8]]| parts.iter().for_each(|part| out.extend_from_slice(part));
    put(&[request.method.as_bytes(), b" ", request.target.as_bytes(), b" HTTP/1.1\r\n"]);
    put(&[CLIENT_FIELD.as_bytes(), b": ", sender.to_field().as_bytes(), b"\r\n"]);
    for (name, value) in PASSED_ON.iter().zip(&request.fields) {
        match value {
            Some(value) if value.is_ascii() => put(&[name.as_bytes(), b": ", value, b"\r\n"]),
            Some(value) => put(&[name.as_bytes(), b": ", &in_ascii(value), b"\r\n"]),
            None => {}
        }
    }
    if let Some(value) = request.refresh_cookie {
        put(&[b"cookie: ", cookie.sent(value).as_bytes(), b"\r\n"]);
    }
    if !request.body.is_empty() {
        put(&[b"content-length: ", request.body.len().to_string().as_bytes(), b"\r\n"]);
    }
    put(&[b"\r\n", request.body]);
}

/// What is no ASCII as question marks; tiny_http takes nothing else in a head.
fn in_ascii(value: &[u8]) -> Vec<u8> {
    value.iter().map(|&byte| if byte.is_ascii() { byte } else { b'?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::parse::{Parsed, parse};
    use super::*;
    use crate::site::PublicUrl;

    fn cookie() -> RefreshCookie {
        RefreshCookie::new(&PublicUrl::parse("https://auth.example.com").unwrap())
    }

    fn forwarded(bytes: &str) -> String {
        let Parsed::Complete(request) = parse(bytes.as_bytes(), &cookie()) else { panic!("{bytes}") };
        let sender = Sender { address: [203, 0, 113, 7].into(), is_forwarded: request.is_forwarded };
        let mut out = Vec::new();
        write(&request, sender, &cookie(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_is_not_listed_stays_outside_and_the_rest_gets_one_spelling() {
        let request = "POST /api/auth/refresh?x HTTP/1.0\r\nHOST: a\r\nConnection: close\r\nAccept: */*\r\n\
                       Latchkey-Client: 127.0.0.1 direct\r\nCookie: a=b; __Host-latchkey=T; c=d\r\n\
                       User-Agent: \u{e4}\r\nContent-Length: 002\r\nX-Forwarded-Proto: https\r\n\r\n{}";
        let expected = "POST /api/auth/refresh?x HTTP/1.1\r\nlatchkey-client: 203.0.113.7 forwarded\r\nhost: a\r\n\
                        user-agent: ??\r\ncookie: __Host-latchkey=T\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(forwarded(request), expected);
    }

    #[test]
    fn what_was_forwarded_once_is_forwarded_the_same_again() {
        let once = forwarded("GET /a HTTP/1.1\r\nhost: a\r\nauthorization: Bearer x\r\norigin: null\r\n\r\n");
        let again = forwarded(&once);
        assert_eq!(once, again);
    }

    #[test]
    fn a_sender_reads_back_and_nothing_else_does() {
        for sender in [
            Sender { address: [203, 0, 113, 7].into(), is_forwarded: true },
            Sender { address: "2001:db8::5".parse().unwrap(), is_forwarded: false },
        ] {
            assert_eq!(Sender::from_field(&sender.to_field()), Some(sender));
        }
        for bad in ["", "203.0.113.7", "203.0.113.7 ", "203.0.113.7 Direct", "x direct"] {
            assert_eq!(Sender::from_field(bad), None, "{bad}");
        }
    }
}
