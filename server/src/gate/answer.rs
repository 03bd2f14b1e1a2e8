//! Answers as they go to a client: those of the lanes, taken apart and completed, and the gate's own refusals.

use memchr::memmem;

use crate::clock;
use crate::problem::Problem;

/// The answer a lane's bytes begin with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Answer<'a> {
    bytes: &'a [u8],
    /// Where the empty line stands.
    head_len: usize,
}

/// A lane's bytes are no answer of ours, which would be a bug.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Garbled;

impl<'a> Answer<'a> {
    /// Reads the answer that `bytes` begin with; `None` when it is not there whole. One to a HEAD has no body.
    pub(super) fn read(bytes: &'a [u8], is_to_head: bool) -> Result<Option<Self>, Garbled> {
        let Some(head_len) = memmem::find(bytes, b"\r\n\r\n").map(|at| at + 2) else { return Ok(None) };
        let body_len = if is_to_head { 0 } else { content_length(&bytes[..head_len])? };
        Ok(bytes.get(..head_len + 2 + body_len).map(|bytes| Self { bytes, head_len }))
    }

    /// How many bytes of the lane's it takes up.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes as they came, which is how they go to a client of HTTP/1.1 whose connection stays.
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The bytes with a field that says what becomes of the connection.
    pub(super) fn with_connection(&self, option: &str) -> Vec<u8> {
        let (head, rest) = self.bytes.split_at(self.head_len);
        [head, format!("Connection: {option}\r\n").as_bytes(), rest].concat()
    }
}

/// The Content-Length of an answer; only 204 has none (RFC 9110 §8.6).
fn content_length(head: &[u8]) -> Result<usize, Garbled> {
    if head.starts_with(b"HTTP/1.1 204 ") {
        return Ok(0);
    }
    const NAME: &[u8] = b"\r\nContent-Length: ";
    let value = memmem::rfind(head, NAME).map(|at| &head[at + NAME.len()..]).ok_or(Garbled)?;
    let digits = value.split(|&byte| byte == b'\r').next().unwrap_or_default();
    str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).ok_or(Garbled)
}

/// A refusal of the gate's own, after which the connection ends.
pub(super) fn refusal(problem: &Problem, request_id: &str) -> Vec<u8> {
    let body = problem.to_json(request_id);
    let status = problem.code.status();
    let retry_after = problem.retry_after_secs().map(|secs| format!("Retry-After: {secs}\r\n"));
    let head = format!(
        "HTTP/1.1 {status} {}\r\n\
         Server: latchkey\r\n\
         Date: {}\r\n\
         Content-Type: application/problem+json\r\n\
         X-Content-Type-Options: nosniff\r\n\
         Cache-Control: no-store\r\n\
         {}\
         Connection: close\r\n\
         Content-Length: {}\r\n\r\n",
        reason_phrase(status),
        clock::with_http_date(str::to_owned),
        retry_after.unwrap_or_default(),
        body.len(),
    );
    [head.into_bytes(), body].concat()
}

/// The words behind a status of the gate's own (RFC 9110 §15).
fn reason_phrase(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        408 => "Request Timeout",
        411 => "Length Required",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &[u8] =
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\nHTTP/1.1 204 No Content\r\n\
          Cache-Control: no-store\r\n\r\n";

    #[test]
    fn answers_are_told_apart() {
        let first = Answer::read(TWO, false).unwrap().unwrap();
        assert!(TWO[..first.len()].ends_with(b"\r\n\r\nok\n"));
        let second = Answer::read(&TWO[first.len()..], false).unwrap().unwrap();
        assert_eq!(first.len() + second.len(), TWO.len());
    }

    #[test]
    fn an_answer_to_head_has_a_length_and_no_body() {
        let answer = Answer::read(TWO, true).unwrap().unwrap();
        assert!(TWO[..answer.len()].ends_with(b"Content-Length: 3\r\n\r\n"));
    }

    #[test]
    fn any_prefix_needs_more() {
        let len = Answer::read(TWO, false).unwrap().unwrap().len();
        for cut in 0..len {
            assert_eq!(Answer::read(&TWO[..cut], false), Ok(None), "{cut}");
        }
    }

    #[test]
    fn an_answer_without_a_length_is_garbled() {
        assert_eq!(Answer::read(b"HTTP/1.1 400 Bad Request\r\n\r\n", false), Err(Garbled));
        let negative = b"HTTP/1.1 400 Bad Request\r\nContent-Length: -1\r\n\r\n";
        assert_eq!(Answer::read(negative, false), Err(Garbled));
    }

    #[test]
    fn the_connection_option_becomes_the_last_field() {
        let answer = Answer::read(TWO, false).unwrap().unwrap().with_connection("close");
        assert!(answer.ends_with(b"Content-Length: 3\r\nConnection: close\r\n\r\nok\n"));
    }
}
