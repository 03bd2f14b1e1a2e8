//! A request on its way from the gate to its lane: one spelling for each meaning, written here and read back here.
//!
//! tiny_http gets method, target and a body. It reads a head byte by byte, some sixty instructions each, and a body in
//! one go; so the fields travel at the front of the body: a line that says who sent the request, a line for each field,
//! an empty line, and the client's own body.

use std::net::IpAddr;

use super::parse::{PASSED_ON, Request};
use crate::cookie::RefreshCookie;

/// Who sent a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sender {
    /// The client's address, seen through trusted proxies.
    pub address: IpAddr,
    /// Whether a proxy, trusted or not, stands between.
    pub is_forwarded: bool,
}

impl Sender {
    fn to_line(self) -> String {
        format!("{} {}\n", self.address, if self.is_forwarded { "forwarded" } else { "direct" })
    }

    fn from_line(line: &str) -> Option<Self> {
        let (address, way) = line.split_once(' ')?;
        let is_forwarded = match way {
            "forwarded" => true,
            "direct" => false,
            _ => return None,
        };
        Some(Self { address: address.parse().ok()?, is_forwarded })
    }
}

/// Room for the length of what tiny_http takes for the body: a head and a body at their longest.
const LENGTH_DIGITS: usize = 5;

/// Bytes that a request may grow by: the length, the sender with the longest address, and little else.
const ADDED_LEN: usize = 128;

/// Appends `request` to `out` in its one spelling.
pub fn write(request: &Request<'_>, sender: Sender, cookie: &RefreshCookie, out: &mut Vec<u8>) {
    out.reserve(request.len + ADDED_LEN);
    let mut put = |parts: &[&[u8]]| parts.iter().for_each(|part| out.extend_from_slice(part));
    put(&[request.method.as_bytes(), b" ", request.target.as_bytes(), b" HTTP/1.1\r\ncontent-length: "]);
    put(&[&[b'0'; LENGTH_DIGITS], b"\r\n\r\n"]);
    let start = out.len();
    let mut put = |parts: &[&[u8]]| parts.iter().for_each(|part| out.extend_from_slice(part));
    put(&[sender.to_line().as_bytes()]);
    for (name, value) in PASSED_ON.iter().zip(&request.fields) {
        match value {
            Some(value) if value.is_ascii() => put(&[name.as_bytes(), b": ", value, b"\n"]),
            Some(value) => put(&[name.as_bytes(), b": ", &in_ascii(value), b"\n"]),
            None => {}
        }
    }
    if let Some(value) = request.refresh_cookie {
        put(&[b"cookie: ", cookie.sent(value).as_bytes(), b"\n"]);
    }
    put(&[b"\n", request.body]);
    let digits_end = start - b"\r\n\r\n".len();
    let length = format!("{:0LENGTH_DIGITS$}", out.len() - start);
    out[digits_end - LENGTH_DIGITS..digits_end].copy_from_slice(length.as_bytes());
}

/// What is no ASCII as question marks: a field is text.
fn in_ascii(value: &[u8]) -> Vec<u8> {
    value.iter().map(|&byte| if byte.is_ascii() { byte } else { b'?' }).collect()
}

/// What arrives in a lane besides method and target.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Arrived<'a> {
    /// Who sent it.
    pub sender: Sender,
    /// The fields, names in lower case.
    pub fields: Vec<(&'a str, &'a str)>,
    /// The client's body.
    pub body: &'a [u8],
}

/// Reads back what [`write()`] made of sender, fields and body; `None` when it is nothing of the kind.
pub fn read(bytes: &[u8]) -> Option<Arrived<'_>> {
    let (sender, mut rest) = split_line(bytes)?;
    let sender = Sender::from_line(sender)?;
    let mut fields = Vec::with_capacity(PASSED_ON.len());
    loop {
        let (line, after) = split_line(rest)?;
        rest = after;
        if line.is_empty() {
            return Some(Arrived { sender, fields, body: rest });
        }
        let (name, value) = line.split_at(memchr::memchr(b':', line.as_bytes())?);
        fields.push((name, value.strip_prefix(": ")?));
    }
}

fn split_line(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let at = memchr::memchr(b'\n', bytes)?;
    Some((str::from_utf8(&bytes[..at]).ok()?, &bytes[at + 1..]))
}

/// A request of nobody's that is answered quickly, for a pipe to begin with.
pub fn probe() -> Vec<u8> {
    let body = "0.0.0.0 forwarded\n\n";
    format!("HEAD /healthz HTTP/1.1\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::super::parse::{Parsed, parse};
    use super::*;
    use crate::site::PublicUrl;

    fn cookie() -> RefreshCookie {
        RefreshCookie::new(&PublicUrl::parse("https://auth.example.com").unwrap())
    }

    /// The request as the lane gets it: the line and the length, and what follows.
    fn forwarded(bytes: &str) -> (String, Vec<u8>) {
        let Parsed::Complete(request) = parse(bytes.as_bytes(), &cookie()) else { panic!("{bytes}") };
        let sender = Sender { address: [203, 0, 113, 7].into(), is_forwarded: request.is_forwarded };
        let mut out = b"what was there before".to_vec();
        let start = out.len();
        write(&request, sender, &cookie(), &mut out);
        let head_len = memchr::memmem::find(&out[start..], b"\r\n\r\n").unwrap() + 4;
        let body = out.split_off(start + head_len);
        (String::from_utf8(out.split_off(start)).unwrap(), body)
    }

    #[test]
    fn what_is_not_listed_stays_outside_and_the_rest_gets_one_spelling() {
        let request = "POST /api/auth/refresh?x HTTP/1.0\r\nHOST: a\r\nConnection: close\r\nAccept: */*\r\n\
                       Cookie: a=b; __Host-latchkey=T; c=d\r\nUser-Agent: \u{e4}\r\nContent-Length: 002\r\n\
                       X-Forwarded-Proto: https\r\n\r\n{}";
        let (head, body) = forwarded(request);
        assert_eq!(head, "POST /api/auth/refresh?x HTTP/1.1\r\ncontent-length: 00074\r\n\r\n");
        assert_eq!(body.len(), 74);
        let arrived = read(&body).unwrap();
        assert_eq!(arrived.sender, Sender { address: [203, 0, 113, 7].into(), is_forwarded: true });
        assert_eq!(arrived.fields, [("host", "a"), ("user-agent", "??"), ("cookie", "__Host-latchkey=T")]);
        assert_eq!(arrived.body, b"{}");
    }

    #[test]
    fn a_body_may_look_like_fields_and_stays_a_body() {
        let body = "\n1.2.3.4 direct\nauthorization: x\n\n";
        let len = body.len();
        let (_, passed) =
            forwarded(&format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n{body}"));
        let arrived = read(&passed).unwrap();
        assert_eq!((arrived.fields, arrived.body), (vec![("host", "a")], body.as_bytes()));
        assert!(!arrived.sender.is_forwarded);
    }

    #[test]
    fn a_sender_reads_back_and_nothing_else_does() {
        for sender in [
            Sender { address: [203, 0, 113, 7].into(), is_forwarded: true },
            Sender { address: "2001:db8::5".parse().unwrap(), is_forwarded: false },
        ] {
            assert_eq!(Sender::from_line(sender.to_line().trim_end()), Some(sender));
        }
        for bad in ["", "203.0.113.7", "203.0.113.7 ", "203.0.113.7 Direct", "x direct"] {
            assert_eq!(Sender::from_line(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_the_gate_did_not_write_is_not_read() {
        for bad in ["", "\n\n", "1.2.3.4 direct", "1.2.3.4 direct\n", "1.2.3.4 direct\nhost\n\n"] {
            assert_eq!(read(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn a_request_at_its_largest_fits_its_length() {
        use super::super::parse::{HEAD_LEN_MAX, TARGET_LEN_MAX};
        assert!(HEAD_LEN_MAX + TARGET_LEN_MAX + crate::api::BODY_LEN_MAX + ADDED_LEN < 10_usize.pow(5));
        assert_eq!(LENGTH_DIGITS, 5);
    }
}
