//! What the gate reads of header fields: those that are passed on, those that tell where the body ends, and those that say
//! what becomes of the connection.

use super::super::body::Framing;
use super::{PASSED_ON, Refusal};
use crate::api::BODY_LEN_MAX;
use crate::cookie::RefreshCookie;
use crate::site;

/// Where these are in [`PASSED_ON`].
pub(super) const HOST: usize = 0;
pub(super) const ORIGIN: usize = 4;
const USER_AGENT: usize = PASSED_ON.len() - 1;

/// What the gate reads of the header fields.
pub(super) struct Fields<'a> {
    pub(super) passed_on: [Option<&'a [u8]>; PASSED_ON.len()],
    pub(super) refresh_cookie: Option<&'a str>,
    pub(super) forwarded_for: Vec<&'a [u8]>,
    pub(super) is_forwarded: bool,
    pub(super) keeps_alive: Option<bool>,
    pub(super) expects_continue: bool,
    pub(super) framing: Framing,
}

impl<'a> Fields<'a> {
    pub(super) fn read(fields: &[httparse::Header<'a>], cookie: &RefreshCookie) -> Result<Self, Refusal> {
        let mut read = Self {
            passed_on: [None; PASSED_ON.len()],
            refresh_cookie: None,
            forwarded_for: Vec::new(),
            is_forwarded: false,
            keeps_alive: None,
            expects_continue: false,
            framing: Framing::Length(0),
        };
        let (mut content_length, mut codings) = (None, Codings::default());
        for field in fields {
            let (name, value) = (field.name, field.value);
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            if let Some(index) = PASSED_ON.iter().position(|known| is(known)) {
                // Names of browsers and their makers come in any encoding, and only a label is made of them.
                if !value.is_ascii() && index != USER_AGENT {
                    return Err(Refusal::Malformed("a header field is not ASCII"));
                }
                if read.passed_on[index].replace(value).is_some() {
                    return Err(Refusal::Malformed("a header field is there twice"));
                }
            } else if is("cookie") {
                let found = cookie.find([value]);
                let found = found.map_err(|_| Refusal::Malformed("the refresh cookie is there twice"))?;
                if found.is_some() && std::mem::replace(&mut read.refresh_cookie, found).is_some() {
                    return Err(Refusal::Malformed("the refresh cookie is there twice"));
                }
            } else if is("content-length") {
                if content_length.replace(value).is_some() {
                    return Err(Refusal::Malformed("the Content-Length is there twice"));
                }
            } else if is("transfer-encoding") {
                codings.note(value);
            } else if is("connection") {
                read.note_connection(value);
            } else if is("expect") {
                // One list, however many fields (RFC 9110 §10.1.1).
                if !elements(value).all(|expected| expected.eq_ignore_ascii_case(b"100-continue")) {
                    return Err(Refusal::Expectation);
                }
                read.expects_continue = true;
            } else if ["forwarded", "via", "x-real-ip"].iter().any(|known| is(known))
                || name.get(..12).is_some_and(|start| start.eq_ignore_ascii_case("x-forwarded-"))
            {
                read.is_forwarded = true;
                if is("x-forwarded-for") {
                    read.forwarded_for.push(value);
                }
            }
        }
        read.framing = match (content_length, codings.count) {
            (Some(_), 1..) => return Err(Refusal::Malformed("the length of the body is told in two ways")),
            (None, 1..) => codings.framing()?,
            (Some(length), 0) => Framing::Length(content_length_of(length)?),
            (None, 0) => Framing::Length(0),
        };
        Ok(read)
    }

    /// The value of the Host field (RFC 9112 §3.2).
    pub(super) fn host(&self) -> Result<Option<&'a str>, Refusal> {
        let host = self.passed_on[HOST].map(|host| str::from_utf8(host).unwrap_or_default());
        match host {
            Some(host) if !site::is_authority(host) => {
                Err(Refusal::Malformed("the Host field names no host"))
            }
            host => Ok(host),
        }
    }

    /// The options of a Connection field; `close` is stronger (RFC 9112 §9.3).
    fn note_connection(&mut self, value: &[u8]) {
        for option in elements(value) {
            if option.eq_ignore_ascii_case(b"close") {
                self.keeps_alive = Some(false);
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keeps_alive.get_or_insert(true);
            }
        }
    }
}

/// The elements of a list (RFC 9110 §5.6.1).
fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

/// The transfer codings of a request, of all its fields.
#[derive(Default)]
struct Codings {
    count: usize,
    chunked: usize,
    ends_with_chunked: bool,
}

impl Codings {
    fn note(&mut self, value: &[u8]) {
        for coding in elements(value) {
            self.ends_with_chunked = coding.eq_ignore_ascii_case(b"chunked");
            self.count += 1;
            self.chunked += usize::from(self.ends_with_chunked);
        }
    }

    /// RFC 9112 §6.1 and §6.3: chunked is applied once and last, or the end of the body cannot be known.
    fn framing(&self) -> Result<Framing, Refusal> {
        match self {
            Self { chunked: 1, ends_with_chunked: true, count: 1 } => Ok(Framing::Chunks),
            Self { chunked: 1, ends_with_chunked: true, .. } => Err(Refusal::Coding),
            _ => {
                Err(Refusal::Malformed("the transfer coding chunked has to be the last one, and there once"))
            }
        }
    }
}

/// A Content-Length: digits and nothing else (RFC 9110 §8.6), so no sign, no list.
fn content_length_of(value: &[u8]) -> Result<usize, Refusal> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(Refusal::Malformed("the Content-Length is no number"));
    }
    let length = value
        .iter()
        .fold(0_usize, |length, digit| length.saturating_mul(10).saturating_add(usize::from(digit - b'0')));
    if length > BODY_LEN_MAX { Err(Refusal::BodyTooLarge) } else { Ok(length) }
}
