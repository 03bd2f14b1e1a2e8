//! The pure half of the gate: what a client has sent so far in, a whole request fit to be passed on, or the reason to
//! refuse it, out.
//!
//! Stricter than RFC 9112 asks: whatever two readers could read differently is refused, so that the request that is
//! passed on means the same to everybody behind the gate.

mod fields;

use std::borrow::Cow;

use memchr::memmem;

use super::body::{Body, Framing};
use crate::cookie::RefreshCookie;
use crate::problem::{Code, Problem};
use crate::site;
use fields::{Fields, ORIGIN};

/// Largest head of a request in bytes, the request line and the empty line included. Ours need one kilobyte; the rest is
/// for the cookies of other applications on the same host, which browsers send along. Node takes as much.
pub const HEAD_LEN_MAX: usize = 16 << 10;

/// Most fields of a request; browsers send about twenty.
pub const FIELDS_MAX: usize = 64;

/// Longest target in bytes.
pub const TARGET_LEN_MAX: usize = 2 << 10;

/// Longest method in bytes; the longest registered one has 17.
const METHOD_LEN_MAX: usize = 20;

/// The fields that are passed on as they are, in lower case. One that is there twice is refused.
///
/// What is not listed here, nor read by the gate itself, stops here: hop-by-hop fields, encodings, other cookies.
pub const PASSED_ON: [&str; 10] = [
    "host",
    "authorization",
    "content-type",
    "idempotency-key",
    "origin",
    "sec-fetch-site",
    "sec-fetch-mode",
    "sec-fetch-dest",
    "if-none-match",
    "user-agent",
];
const _: () = assert!(TARGET_LEN_MAX < HEAD_LEN_MAX);

/// What the bytes of a client amount to.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly every value is a request, and none is kept")]
pub enum Parsed<'a> {
    /// The request is not there whole.
    NeedMore {
        /// The head is, and the client waits for 100 (Continue) before it sends the body (RFC 9110 §10.1.1).
        expects_continue: bool,
    },
    /// The request is refused, and so is what may follow it: where that starts cannot be known.
    Reject(Refusal),
    /// The request is whole and can be passed on.
    Complete(Request<'a>),
}

/// A request that is whole and within the limits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request<'a> {
    /// The method, a token.
    pub method: &'a str,
    /// Path and query, visible ASCII, beginning with `/`; or `*` of an OPTIONS (RFC 9112 §3.2.4).
    pub target: Cow<'a, str>,
    /// The values of [`PASSED_ON`], in its order.
    pub fields: [Option<&'a [u8]>; PASSED_ON.len()],
    /// The refresh cookie's value. Other cookies are not for us.
    pub refresh_cookie: Option<&'a str>,
    /// The `X-Forwarded-For` fields, which are one list (RFC 9110 §5.3).
    pub forwarded_for: Vec<&'a [u8]>,
    /// Whether a proxy says it has forwarded the request.
    pub is_forwarded: bool,
    /// Whether the client can send another request on this connection (RFC 9112 §9.3).
    pub keeps_alive: bool,
    /// Whether the client speaks HTTP/1.0, which has to be told that the connection stays.
    pub is_http_1_0: bool,
    /// The body.
    pub body: Body<'a>,
    /// Bytes of the client's that the request takes up, head and body.
    pub len: usize,
}

impl<'a> Request<'a> {
    /// The value of the Origin field.
    pub(super) fn origin(&self) -> Option<&'a str> {
        str::from_utf8(self.fields[ORIGIN]?).ok()
    }
}

/// Why a request is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// It is not HTTP/1.1 as the RFCs have it, or could be read in two ways.
    Malformed(&'static str),
    /// It did not arrive in time.
    TooSlow,
    /// Its body is in a transfer coding that is not spoken here.
    Coding,
    /// Its body is larger than [`BODY_LEN_MAX`](crate::api::BODY_LEN_MAX), or in chunks and larger than
    /// [`CHUNKED_LEN_MAX`](super::body::CHUNKED_LEN_MAX).
    BodyTooLarge,
    /// Its target is longer than [`TARGET_LEN_MAX`].
    TargetTooLong,
    /// It expects something other than 100 (Continue).
    Expectation,
    /// Its head is larger than [`HEAD_LEN_MAX`].
    HeadTooLarge,
    /// It has more than [`FIELDS_MAX`] fields.
    TooManyFields,
    /// It is of another version than HTTP/1.0 and HTTP/1.1.
    Version,
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Malformed(detail) => Self::bad_request(detail),
            Refusal::TooSlow => Code::RequestTimeout.into(),
            Refusal::Coding => {
                Self::new(Code::NotImplemented, "the only transfer coding spoken here is chunked")
            }
            Refusal::BodyTooLarge => Code::BodyTooLarge.into(),
            Refusal::TargetTooLong => Code::TargetTooLong.into(),
            Refusal::Expectation => Code::ExpectationFailed.into(),
            Refusal::HeadTooLarge => Self::new(
                Code::HeadTooLarge,
                format!(
                    "the head is larger than {HEAD_LEN_MAX} bytes; a browser sends the cookies of all applications on \
                     this host"
                ),
            ),
            Refusal::TooManyFields => {
                Self::new(Code::HeadTooLarge, format!("there are more than {FIELDS_MAX} header fields"))
            }
            Refusal::Version => Code::UnsupportedVersion.into(),
        }
    }
}

/// Reads the request that `bytes` begin with; `cookie` is the one that is passed on.
pub fn parse<'a>(bytes: &'a [u8], cookie: &RefreshCookie) -> Parsed<'a> {
    match read(bytes, cookie) {
        Ok(Some(request)) => Parsed::Complete(request),
        Ok(None) => Parsed::NeedMore { expects_continue: false },
        Err(Stop::AwaitsContinue) => Parsed::NeedMore { expects_continue: true },
        Err(Stop::Refused(refusal)) => Parsed::Reject(refusal),
    }
}

/// Why reading ended without a request, other than for want of bytes.
enum Stop {
    AwaitsContinue,
    Refused(Refusal),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

fn read<'a>(bytes: &'a [u8], cookie: &RefreshCookie) -> Result<Option<Request<'a>>, Stop> {
    if bytes.first().is_some_and(|first| matches!(first, b'\r' | b'\n')) {
        return Err(Refusal::Malformed("there is no request line").into());
    }
    let within_limit = &bytes[..bytes.len().min(HEAD_LEN_MAX)];
    let Some(head_len) = memmem::find(within_limit, b"\r\n\r\n").map(|at| at + 4) else {
        return Err(match refuse_early(within_limit) {
            Some(refusal) => refusal.into(),
            None if bytes.len() >= HEAD_LEN_MAX => Refusal::HeadTooLarge.into(),
            None => return Ok(None),
        });
    };
    let head = &bytes[..head_len];
    check_lines(head)?;
    let mut room = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut parsed = httparse::Request::new(&mut room);
    match parsed.parse(head) {
        Ok(httparse::Status::Complete(len)) if len == head_len => {}
        Ok(_) => return Err(Refusal::Malformed("the head is not one request's").into()),
        Err(error) => return Err(refusal_of(error).into()),
    }
    let line = Line::read(&parsed)?;
    let fields = Fields::read(parsed.headers, cookie)?;
    let host = fields.host()?;
    if host.is_none() && !line.is_http_1_0 {
        return Err(Refusal::Malformed("the Host field is missing").into());
    }
    if fields.framing == Framing::Chunks && line.is_http_1_0 {
        return Err(Refusal::Malformed("HTTP/1.0 has no chunks").into());
    }
    let target = line.origin_form(host)?;
    let Some(body) = Body::read(&bytes[head_len..], fields.framing)? else {
        // HTTP/1.0 has no such expectation (RFC 9110 §10.1.1).
        let waits = fields.expects_continue && !line.is_http_1_0 && bytes.len() == head_len;
        return if waits { Err(Stop::AwaitsContinue) } else { Ok(None) };
    };
    Ok(Some(Request {
        method: line.method,
        target,
        fields: fields.passed_on,
        refresh_cookie: fields.refresh_cookie,
        forwarded_for: fields.forwarded_for,
        is_forwarded: fields.is_forwarded,
        keeps_alive: fields.keeps_alive.unwrap_or(!line.is_http_1_0),
        is_http_1_0: line.is_http_1_0,
        body,
        len: head_len + body.raw_len(),
    }))
}

/// What can be refused before the head is whole, so that nobody waits for the rest of something that is no HTTP.
fn refuse_early(bytes: &[u8]) -> Option<Refusal> {
    let line_len = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
    // The method, the version and three separators besides the target.
    if line_len > TARGET_LEN_MAX + METHOD_LEN_MAX + 11 {
        return Some(Refusal::TargetTooLong);
    }
    let mut room = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let parsed = httparse::Request::new(&mut room).parse(bytes);
    parsed.err().map(refusal_of).or_else(|| check_lines(bytes).err())
}

fn refusal_of(error: httparse::Error) -> Refusal {
    match error {
        httparse::Error::TooManyHeaders => Refusal::TooManyFields,
        httparse::Error::Version => Refusal::Version,
        httparse::Error::Token => Refusal::Malformed("the request line is malformed"),
        _ => Refusal::Malformed("a header field is malformed"),
    }
}

/// Refuses what the grammar's reader would forgive: a line that ends in a bare LF, a CR elsewhere, a NUL, a folded line.
pub(super) fn check_lines(head: &[u8]) -> Result<(), Refusal> {
    let mut rest = head;
    while let Some(at) = memchr::memchr3(b'\r', b'\n', 0, rest) {
        if rest[at..] == *b"\r" {
            break; // its LF may be on the way
        }
        if rest[at..].first_chunk() != Some(b"\r\n") {
            return Err(Refusal::Malformed("a line of the head does not end with CR LF"));
        }
        rest = &rest[at + 2..];
        if rest.first().is_some_and(|next| matches!(next, b' ' | b'\t')) {
            return Err(Refusal::Malformed("a header field is folded"));
        }
    }
    Ok(())
}

/// The request line.
struct Line<'a> {
    method: &'a str,
    target: &'a str,
    is_http_1_0: bool,
}

impl<'a> Line<'a> {
    fn read(parsed: &httparse::Request<'_, 'a>) -> Result<Self, Refusal> {
        let (method, target) = (parsed.method.unwrap_or_default(), parsed.path.unwrap_or_default());
        if method.len() > METHOD_LEN_MAX {
            return Err(Refusal::Malformed("there is no such method"));
        }
        if target.len() > TARGET_LEN_MAX {
            return Err(Refusal::TargetTooLong);
        }
        if !target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
            return Err(Refusal::Malformed("the target has characters that must be escaped"));
        }
        Ok(Self { method, target, is_http_1_0: parsed.version == Some(0) })
    }

    /// The path and query, also of a target in absolute form, whose host has to be the one of the Host field: RFC 9112
    /// §3.2.2 would ignore that field, but a proxy in front may not have.
    fn origin_form(&self, host: Option<&str>) -> Result<Cow<'a, str>, Refusal> {
        const REFUSED: Refusal = Refusal::Malformed("the target is no path of this host");
        let no_path = if self.method == "OPTIONS" { "*" } else { "/" };
        if self.target.starts_with('/') || (self.target == "*" && no_path == "*") {
            return Ok(self.target.into());
        }
        let (scheme, rest) = self.target.split_once("://").ok_or(REFUSED)?;
        let default_port = match scheme {
            scheme if scheme.eq_ignore_ascii_case("http") => 80,
            scheme if scheme.eq_ignore_ascii_case("https") => 443,
            _ => return Err(REFUSED),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let is_this_host = host.map_or_else(
            || site::is_authority(authority),
            |host| site::is_same_authority(authority, host, default_port),
        );
        match path.chars().next() {
            _ if !is_this_host => Err(REFUSED),
            Some('/') => Ok(path.into()),
            Some(_) => Ok(format!("/{path}").into()),
            None => Ok(no_path.into()),
        }
    }
}

#[cfg(test)]
mod tests;
