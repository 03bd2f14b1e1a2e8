//! A request on its way from the gate to its lane: one spelling for each meaning, written here and read back here.
//!
//! It is a frame: the number of its ticket in eight bytes, the length of the rest in four, and then a line with method,
//! target and who sent it, a line for each field, an empty line, and the client's own body.

use std::net::IpAddr;

use super::parse::{HEAD_LEN_MAX, PASSED_ON, Request};
use super::wiped::Wiped;
use crate::api::BODY_LEN_MAX;
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
    fn to_text(self) -> String {
        format!("{} {}", self.address, if self.is_forwarded { "forwarded" } else { "direct" })
    }

    fn from_text(text: &str) -> Option<Self> {
        let (address, way) = text.split_once(' ')?;
        let is_forwarded = match way {
            "forwarded" => true,
            "direct" => false,
            _ => return None,
        };
        Some(Self { address: address.parse().ok()?, is_forwarded })
    }
}

/// Bytes of a frame before the request: the number of its ticket, and its length.
const FRAME_HEAD_LEN: usize = 8 + 4;

/// Bytes that a request may grow by: the head of the frame, the sender with the longest address, and little else.
const ADDED_LEN: usize = 128;

/// A frame is never longer.
pub(super) const FRAME_LEN_MAX: usize = HEAD_LEN_MAX + BODY_LEN_MAX + ADDED_LEN;

/// Appends `request`, in its one spelling, to `out`.
pub fn write(request: &Request<'_>, number: u64, sender: Sender, cookie: &RefreshCookie, out: &mut Wiped) {
    out.reserve(request.len + ADDED_LEN);
    let start = out.len();
    let mut put = |parts: &[&[u8]]| parts.iter().for_each(|part| out.extend(part));
    put(&[&number.to_be_bytes(), &[0; 4]]);
    put(&[request.method.as_bytes(), b" ", request.target.as_bytes(), b" "]);
    put(&[sender.to_text().as_bytes(), b"\n"]);
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
    put(&[b"\n"]);
    request.body.pieces().for_each(|piece| put(&[piece]));
    let len = out.len() - start - FRAME_HEAD_LEN;
    let len = u32::try_from(len).expect("a request within the limits has fewer than 2^32 bytes");
    out.as_mut_slice()[start + 8..start + FRAME_HEAD_LEN].copy_from_slice(&len.to_be_bytes());
}

/// What is no ASCII as question marks: a field is text.
fn in_ascii(value: &[u8]) -> Vec<u8> {
    value.iter().map(|&byte| if byte.is_ascii() { byte } else { b'?' }).collect()
}

/// A request as it arrives in a lane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Arrived<'a> {
    /// The number of its ticket, which its answer has to carry.
    pub number: u64,
    /// The method.
    pub method: &'a str,
    /// Path and query.
    pub target: &'a str,
    /// Who sent it.
    pub sender: Sender,
    /// The fields, names in lower case.
    pub fields: Vec<(&'a str, &'a str)>,
    /// The client's body.
    pub body: &'a [u8],
}

/// What [`write()`] did not write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unreadable;

/// Takes the first request off `frames`; `None` at their end.
///
/// # Errors
/// When this is no frame, which would be a bug.
pub fn next<'a>(frames: &mut &'a [u8]) -> Result<Option<Arrived<'a>>, Unreadable> {
    if frames.is_empty() {
        return Ok(None);
    }
    let (number, rest) = frames.split_first_chunk().ok_or(Unreadable)?;
    let (len, rest) = rest.split_first_chunk().ok_or(Unreadable)?;
    let (request, rest) = rest.split_at_checked(u32::from_be_bytes(*len) as usize).ok_or(Unreadable)?;
    *frames = rest;
    read(u64::from_be_bytes(*number), request).map(Some).ok_or(Unreadable)
}

fn read(number: u64, request: &[u8]) -> Option<Arrived<'_>> {
    let (line, mut rest) = split_line(request)?;
    let (method, line) = line.split_once(' ')?;
    let (target, sender) = line.split_once(' ')?;
    let sender = Sender::from_text(sender)?;
    let mut fields = Vec::with_capacity(PASSED_ON.len());
    loop {
        let (line, after) = split_line(rest)?;
        rest = after;
        if line.is_empty() {
            return Some(Arrived { number, method, target, sender, fields, body: rest });
        }
        let (name, value) = line.split_at(memchr::memchr(b':', line.as_bytes())?);
        fields.push((name, value.strip_prefix(": ")?));
    }
}

fn split_line(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let at = memchr::memchr(b'\n', bytes)?;
    Some((str::from_utf8(&bytes[..at]).ok()?, &bytes[at + 1..]))
}

/// The number of the request that a pipe begins with, which no ticket has.
pub(super) const PROBE_NUMBER: u64 = 0;

/// A request of the gate's own that is answered quickly, for a pipe to begin with.
pub fn probe() -> Wiped {
    let request = b"HEAD /healthz 0.0.0.0 forwarded\n\n";
    let mut message = Wiped::default();
    let open = super::message::Open::begin(super::message::Content::Ordinary, &mut message);
    for part in [&PROBE_NUMBER.to_be_bytes()[..], &(request.len() as u32).to_be_bytes(), request] {
        message.extend(part);
    }
    open.seal(&mut message);
    message
}

#[cfg(test)]
mod tests {
    use super::super::parse::{Parsed, parse};
    use super::*;
    use crate::site::PublicUrl;

    fn cookie() -> RefreshCookie {
        RefreshCookie::new(&PublicUrl::parse("https://auth.example.com").unwrap())
    }

    /// The frame of a request, behind one of another.
    fn frames(bytes: &str) -> Vec<u8> {
        let mut out = Wiped::default();
        for bytes in ["GET /first HTTP/1.1\r\nHost: b\r\n\r\n", bytes] {
            let Parsed::Complete(request) = parse(bytes.as_bytes(), &cookie()) else { panic!("{bytes}") };
            let sender = Sender { address: [203, 0, 113, 7].into(), is_forwarded: request.is_forwarded };
            let number = if request.target == "/first" { 1 } else { 2 };
            write(&request, number, sender, &cookie(), &mut out);
        }
        out.to_vec()
    }

    /// Reads the second of these.
    fn second(mut frames: &[u8]) -> Arrived<'_> {
        let first = next(&mut frames).unwrap().unwrap();
        assert_eq!((first.number, first.target, first.fields), (1, "/first", vec![("host", "b")]));
        let second = next(&mut frames).unwrap().unwrap();
        assert_eq!(next(&mut frames), Ok(None));
        second
    }

    #[test]
    fn what_is_not_listed_stays_outside_and_the_rest_gets_one_spelling() {
        let frames = frames(
            "POST /api/auth/refresh?x HTTP/1.0\r\nHOST: a\r\nConnection: close\r\nAccept: */*\r\n\
             Cookie: a=b; __Host-latchkey=T; c=d\r\nUser-Agent: \u{e4}\r\nContent-Length: 002\r\n\
             X-Forwarded-Proto: https\r\n\r\n{}",
        );
        let arrived = second(&frames);
        assert_eq!((arrived.number, arrived.method, arrived.target), (2, "POST", "/api/auth/refresh?x"));
        assert_eq!(arrived.sender, Sender { address: [203, 0, 113, 7].into(), is_forwarded: true });
        assert_eq!(arrived.fields, [("host", "a"), ("user-agent", "??"), ("cookie", "__Host-latchkey=T")]);
        assert_eq!(arrived.body, b"{}");
    }

    #[test]
    fn a_body_may_look_like_fields_and_stays_a_body() {
        let body = "\n1.2.3.4 direct\nauthorization: x\n\n";
        let len = body.len();
        let frames = frames(&format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n{body}"));
        let arrived = second(&frames);
        assert_eq!((arrived.fields, arrived.body), (vec![("host", "a")], body.as_bytes()));
        assert!(!arrived.sender.is_forwarded);
    }

    #[test]
    fn chunks_arrive_as_one_body() {
        let frames = frames(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1;x\r\n}\r\n0\r\nX: y\r\n\r\n",
        );
        assert_eq!(second(&frames).body, b"{}");
    }

    #[test]
    fn a_sender_reads_back_and_nothing_else_does() {
        for sender in [
            Sender { address: [203, 0, 113, 7].into(), is_forwarded: true },
            Sender { address: "2001:db8::5".parse().unwrap(), is_forwarded: false },
        ] {
            assert_eq!(Sender::from_text(&sender.to_text()), Some(sender));
        }
        for bad in ["", "203.0.113.7", "203.0.113.7 ", "203.0.113.7 Direct", "x direct"] {
            assert_eq!(Sender::from_text(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_the_gate_did_not_write_is_not_read() {
        let whole = frames("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut rest = &whole[..];
        next(&mut rest).unwrap();
        for cut in 1..whole.len() - rest.len() {
            assert_eq!(next(&mut &whole[..cut]), Err(Unreadable), "{cut}");
        }
        for bad in [
            "",
            "\n\n",
            "GET / 1.2.3.4 direct",
            "GET / 1.2.3.4\n\n",
            "GET 1.2.3.4 direct\n\n",
            "GET / 1.2.3.4 direct\nhost\n\n",
        ] {
            assert_eq!(read(1, bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn a_request_at_its_largest_is_no_longer_than_a_frame_may_be() {
        let host = "h".repeat(200);
        let body = "x".repeat(BODY_LEN_MAX);
        let head =
            format!("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: {BODY_LEN_MAX}\r\nUser-Agent: ");
        let filling = "x".repeat(HEAD_LEN_MAX - head.len() - 4);
        let bytes = format!("{head}{filling}\r\n\r\n{body}");
        let Parsed::Complete(request) = parse(bytes.as_bytes(), &cookie()) else { panic!("it is whole") };
        let address = "2001:db8:1111:1111:1111:1111:1111:1111".parse().unwrap();
        let mut out = Wiped::default();
        write(&request, u64::MAX, Sender { address, is_forwarded: true }, &cookie(), &mut out);
        assert!(out.len() <= FRAME_LEN_MAX, "{}", out.len());
    }
}
