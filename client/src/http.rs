//! HTTP/1.1 in fixed buffers, as much of it as a device needs: a request is written, an answer is read, and what is not
//! plain is refused.
//!
//! No I/O, no heap. One request a connection (`Connection: close`), bodies with a `Content-Length`, no chunks, no
//! continuations, no redirects. It is what the `embassy-net` adapter speaks, and serves any other transport as well.
//!
//! ```
//! use latchkey_client::http::{Answer, Parsed, Request};
//!
//! let mut buffer = [0; 256];
//! let request = Request { access_token: Some("eyJ"), ..Request::get("127.0.0.1:8080", "/api/me") };
//! assert!(request.write(&mut buffer).unwrap().starts_with(b"GET /api/me HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n"));
//!
//! let came = b"HTTP/1.1 401 Unauthorized\r\nContent-Type: application/problem+json\r\nContent-Length: 57\r\n\r\n\
//!     {\"type\":\"urn:latchkey:invalid_token\",\"action\":\"refresh\"}  ";
//! assert!(matches!(Answer::parse(&came[..100]), Ok(Parsed::Unfinished)));
//! let Ok(Parsed::Whole(answer)) = Answer::parse(came) else { panic!("it is whole") };
//! assert_eq!((answer.status, answer.problem().unwrap().code), (401, "invalid_token"));
//! ```

use core::fmt;

use crate::Advice;

mod json;

pub use self::json::{Value, member};

/// The longest head of an answer that is read, in bytes.
pub const HEAD_LEN_MAX: usize = 1024;

/// The longest body of an answer that is read, in bytes.
pub const BODY_LEN_MAX: usize = 1 << 20;

const PROBLEM_TYPE_PREFIX: &str = "urn:latchkey:";

/// Longer codes are not ours.
const CODE_LEN_MAX: usize = 64;

/// A request, to be written into a buffer.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// `GET` or `POST`.
    pub method: &'a str,
    /// The server's name and port.
    pub host: &'a str,
    /// From the first slash.
    pub path: &'a str,
    /// For `Authorization: Bearer`.
    pub access_token: Option<&'a str>,
    /// For `Idempotency-Key`.
    pub retry_key: Option<&'a str>,
    /// The media type of the body, and the body.
    pub body: Option<(&'a str, &'a [u8])>,
}

/// The request does not fit the buffer, or has characters in it that a head cannot have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotWritten {
    /// The buffer is too short.
    TooLong,
    /// A space, a control character or something that is not ASCII.
    BadCharacter,
}

/// What has been read so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// More has to come.
    Unfinished,
    /// The answer is here. What comes after it is not looked at.
    Whole(Answer<'a>),
}

/// An answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The status code: 200 to 599.
    pub status: u16,
    /// The media type as sent, empty if none was.
    pub content_type: &'a str,
    /// `Retry-After`, if it was sent in seconds.
    pub retry_after_secs: Option<u32>,
    /// The body.
    pub body: &'a [u8],
}

/// What a problem document of Latchkey's says (RFC 9457).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem<'a> {
    /// The end of its `type`, `urn:latchkey:CODE`.
    pub code: &'a str,
    /// Its `action`, if it is one that is known.
    pub advice: Option<Advice>,
}

/// Why an answer is refused. Whoever wrote it, it was not our server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadAnswer {
    /// Not a status line of HTTP/1.0 or 1.1, or one of an informational answer.
    BadStatusLine,
    /// Not a field: no colon, a space before it, a control character.
    BadField,
    /// No length, two of them, or one that is no number; a body in chunks has none.
    BadLength,
    /// The head or the body is too long.
    TooLong,
}

impl<'a> Request<'a> {
    /// A GET without a token.
    pub const fn get(host: &'a str, path: &'a str) -> Self {
        Self { method: "GET", host, path, access_token: None, retry_key: None, body: None }
    }

    /// A POST of JSON without a token.
    pub const fn post(host: &'a str, path: &'a str, json: &'a [u8]) -> Self {
        Self { method: "POST", body: Some(("application/json", json)), ..Self::get(host, path) }
    }

    /// Writes the request, and returns the part of `buffer` that it takes.
    ///
    /// # Errors
    /// [`NotWritten`]; the buffer then holds the beginning of it.
    pub fn write<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8], NotWritten> {
        let words = [Some(self.method), Some(self.host), Some(self.path), self.access_token, self.retry_key];
        if !words.into_iter().flatten().all(is_word) || !self.body.is_none_or(|(kind, _)| is_plain(kind)) {
            return Err(NotWritten::BadCharacter);
        }
        let mut out = Writer { buffer: &mut *buffer, len: 0 };
        out.put(&[
            self.method,
            " ",
            self.path,
            " HTTP/1.1\r\nHost: ",
            self.host,
            "\r\nConnection: close\r\n",
        ])?;
        if let Some(token) = self.access_token {
            out.put(&["Authorization: Bearer ", token, "\r\n"])?;
        }
        if let Some(key) = self.retry_key {
            out.put(&["Idempotency-Key: ", key, "\r\n"])?;
        }
        if let Some((kind, body)) = self.body {
            out.put(&["Content-Type: ", kind, "\r\nContent-Length: "])?;
            out.put_number(body.len())?;
            out.put(&["\r\n\r\n"])?;
            out.put_bytes(body)?;
        } else {
            out.put(&["\r\n"])?;
        }
        let len = out.len;
        Ok(&buffer[..len])
    }
}

impl<'a> Answer<'a> {
    /// Reads an answer from all the bytes that came so far.
    ///
    /// # Errors
    /// [`BadAnswer`] as soon as it is clear that no more bytes will make it better.
    pub fn parse(bytes: &'a [u8]) -> Result<Parsed<'a>, BadAnswer> {
        let head = &bytes[..bytes.len().min(HEAD_LEN_MAX)];
        let Some(head_len) = head.windows(4).position(|window| window == b"\r\n\r\n") else {
            return if bytes.len() < HEAD_LEN_MAX { Ok(Parsed::Unfinished) } else { Err(BadAnswer::TooLong) };
        };
        let mut lines = Lines(&bytes[..head_len]);
        let status = lines.next().and_then(status).ok_or(BadAnswer::BadStatusLine)?;
        let mut answer = Self { status, content_type: "", retry_after_secs: None, body: b"" };
        let mut body_len = None;
        for line in lines {
            let (name, value) = field(line).ok_or(BadAnswer::BadField)?;
            if name.eq_ignore_ascii_case("content-length") {
                let len = number(value).ok_or(BadAnswer::BadLength)?;
                if body_len.replace(len).is_some() {
                    return Err(BadAnswer::BadLength);
                }
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                return Err(BadAnswer::BadLength);
            } else if name.eq_ignore_ascii_case("content-type") {
                answer.content_type = value;
            } else if name.eq_ignore_ascii_case("retry-after") {
                answer.retry_after_secs = number(value);
            }
        }
        let has_no_body = matches!(status, 204 | 304);
        let body_len = if has_no_body { 0 } else { body_len.ok_or(BadAnswer::BadLength)? as usize };
        if body_len > BODY_LEN_MAX {
            return Err(BadAnswer::TooLong);
        }
        let Some(body) = bytes[head_len + 4..].get(..body_len) else { return Ok(Parsed::Unfinished) };
        Ok(Parsed::Whole(Self { body, ..answer }))
    }

    /// The problem document, if this is one and of Latchkey's making.
    pub fn problem(&self) -> Option<Problem<'a>> {
        const MEDIA_TYPE: &[u8] = b"application/problem+json";
        let (media_type, rest) = self.content_type.as_bytes().split_at_checked(MEDIA_TYPE.len())?;
        let is_end = matches!(rest.trim_ascii_start().first(), None | Some(b';'));
        if !is_end || !media_type.eq_ignore_ascii_case(MEDIA_TYPE) {
            return None;
        }
        let code = self.text("type")?.strip_prefix(PROBLEM_TYPE_PREFIX)?;
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let is_code = !code.is_empty() && code.len() <= CODE_LEN_MAX && code.bytes().all(plain);
        is_code.then(|| Problem { code, advice: self.text("action").and_then(Advice::parse) })
    }

    /// A member of the JSON object in the body that is a text without escapes.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        match member(self.body, name)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A member of the JSON object in the body that is a number of seconds, or any other up to 2^32.
    pub fn number(&self, name: &str) -> Option<u32> {
        match member(self.body, name)? {
            Value::Other(text) => number(text),
            _ => None,
        }
    }
}

/// The bytes of one line after another, without their ends.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let end = self.0.windows(2).position(|window| window == b"\r\n");
        let (line, rest) = end.map_or((self.0, &[][..]), |end| (&self.0[..end], &self.0[end + 2..]));
        self.0 = rest;
        Some(line)
    }
}

/// `HTTP/1.1 200 OK` (RFC 9112 §4).
fn status(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.1 ").or_else(|| line.strip_prefix(b"HTTP/1.0 "))?;
    let (digits, reason) = rest.split_at_checked(3)?;
    let plain = |byte: &u8| matches!(byte, b' '..=b'~' | 0x80..);
    if !(reason.is_empty() || reason[0] == b' ') || !reason.iter().all(plain) {
        return None;
    }
    let status = number(str::from_utf8(digits).ok()?)?;
    (200..600).contains(&status).then_some(status as u16)
}

/// `Name: value` (RFC 9112 §5); a value that is not ASCII is not one of ours.
fn field(line: &[u8]) -> Option<(&str, &str)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    let is_token =
        !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte));
    let value = str::from_utf8(value).ok().filter(|value| is_plain(value))?;
    Some((str::from_utf8(name).ok().filter(|_| is_token)?, value))
}

/// Digits and nothing else: `+1` and ` 1` are no lengths.
fn number(text: &str) -> Option<u32> {
    let digit = |number: u32, byte: u8| {
        number.checked_mul(10)?.checked_add(byte.is_ascii_digit().then(|| u32::from(byte - b'0'))?)
    };
    if text.is_empty() { None } else { text.bytes().try_fold(0, digit) }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t'))
}

struct Writer<'b> {
    buffer: &'b mut [u8],
    len: usize,
}

impl Writer<'_> {
    fn put(&mut self, texts: &[&str]) -> Result<(), NotWritten> {
        texts.iter().try_for_each(|text| self.put_bytes(text.as_bytes()))
    }

    fn put_bytes(&mut self, bytes: &[u8]) -> Result<(), NotWritten> {
        let room = self.buffer.get_mut(self.len..).and_then(|rest| rest.get_mut(..bytes.len()));
        room.ok_or(NotWritten::TooLong)?.copy_from_slice(bytes);
        self.len += bytes.len();
        Ok(())
    }

    fn put_number(&mut self, number: usize) -> Result<(), NotWritten> {
        if number >= 10 {
            self.put_number(number / 10)?;
        }
        self.put_bytes(&[b'0' + (number % 10) as u8])
    }
}

impl fmt::Debug for Answer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("content_type", &self.content_type)
            .field("body_len", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for NotWritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the request does not fit the buffer",
            Self::BadCharacter => "a character that no request can have",
        })
    }
}

impl fmt::Display for BadAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadStatusLine => "not an answer of HTTP/1.1",
            Self::BadField => "a bad field in the answer",
            Self::BadLength => "an answer of no known length",
            Self::TooLong => "an answer that is too long",
        })
    }
}

impl core::error::Error for NotWritten {}
impl core::error::Error for BadAnswer {}

#[cfg(test)]
mod tests;
