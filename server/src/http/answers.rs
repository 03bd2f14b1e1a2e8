//! Answers on their way back to the gate: made of what handlers return, and sent several at once.

use std::fmt;
use std::io::Write;
use std::panic::{self, AssertUnwindSafe};

use tiny_http::StatusCode;

use super::method_of;
use crate::api::{Response, route_of};
use crate::clock;
use crate::problem::Code;

/// Bytes after which answers are sent, so that the first of them does not wait for too many others.
const MANY_LEN: usize = 16 << 10;

/// Answers to requests that came one after another in one pipe.
///
/// Sending each by itself would wake the gate for each. tiny_http hands a writer out with each request, which may
/// write once those before it are gone; so the last one writes for all of them.
#[derive(Default)]
pub(super) struct Answers {
    bytes: Vec<u8>,
    writer: Option<Box<dyn Write + Send>>,
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").field("len", &self.bytes.len()).finish_non_exhaustive()
    }
}

impl Answers {
    /// Adds the answer that `answer` returns, or a problem document when it panics: a bug in one handler must not cost
    /// the others their thread, and no state outlives a request but the store's.
    pub(super) fn add(&mut self, incoming: tiny_http::Request, id: &str, answer: impl FnOnce() -> Response) {
        let is_head = *incoming.method() == tiny_http::Method::Head;
        let start = self.bytes.len();
        let answered = panic::catch_unwind(AssertUnwindSafe(|| {
            let response = answer();
            // What strangers write where a path or a method belongs is none of the log's business.
            log::debug!(
                "{id}: {} {} -> {}",
                method_of(incoming.method()),
                route_of(incoming.url()),
                response.status
            );
            write(&response, is_head, &mut self.bytes);
        }));
        if answered.is_err() {
            log::error!("{id}: the handler of a request panicked");
            self.bytes.truncate(start);
            write(&Response::problem(&Code::Internal.into(), id), is_head, &mut self.bytes);
        }
        self.writer = Some(incoming.into_writer());
    }

    /// Whether it is time to send them.
    pub(super) fn are_many(&self) -> bool {
        self.bytes.len() >= MANY_LEN
    }

    /// Sends what there is.
    pub(super) fn send(&mut self) {
        let Some(mut writer) = self.writer.take() else { return };
        if let Err(error) = writer.write_all(&self.bytes).and_then(|()| writer.flush()) {
            log::error!("answers did not get to the gate: {error}");
        }
        self.bytes.clear();
    }
}

/// Writes an answer as HTTP/1.1 has it (RFC 9112 §4); the gate finds its end by its Content-Length.
fn write(response: &Response, is_head: bool, out: &mut Vec<u8>) {
    out.reserve(512 + response.body.len());
    let mut put = |parts: &[&str]| parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
    let reason = StatusCode(response.status).default_reason_phrase();
    put(&["HTTP/1.1 ", &response.status.to_string(), " ", reason, "\r\nServer: latchkey\r\n"]);
    clock::with_http_date(|date| put(&["Date: ", date, "\r\n"]));
    for (name, value) in &response.fields {
        // Some values echo what strangers sent: with a line end in it, the rest would be an answer of theirs.
        assert!(
            value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()),
            "a field is one line of ASCII"
        );
        put(&[name, ": ", value, "\r\n"]);
    }
    // RFC 9110 §8.6: a 204 has no Content-Length.
    if response.status != 204 {
        put(&["Content-Length: ", &response.body.len().to_string(), "\r\n"]);
    }
    put(&["\r\n"]);
    if !is_head {
        out.extend_from_slice(&response.body);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(response: &Response, is_head: bool) -> String {
        let mut out = Vec::new();
        write(response, is_head, &mut out);
        let (head, body) = str::from_utf8(&out).unwrap().split_once("\r\n\r\n").unwrap();
        let undated: Vec<_> = head.lines().filter(|line| !line.starts_with("Date: ")).collect();
        format!("{}|{body}", undated.join("|"))
    }

    #[test]
    fn an_answer_has_its_length_and_to_head_no_body() {
        let response = Response::text("ok\n");
        let head = "HTTP/1.1 200 OK|Server: latchkey|Content-Type: text/plain; charset=utf-8|\
                    X-Content-Type-Options: nosniff|Cache-Control: no-store|Content-Length: 3|";
        assert_eq!(written(&response, false), format!("{head}ok\n"));
        assert_eq!(written(&response, true), head);
    }

    #[test]
    fn no_content_has_no_length_either() {
        let head = "HTTP/1.1 204 No Content|Server: latchkey|Cache-Control: no-store|";
        assert_eq!(written(&Response::no_content(), false), head);
    }

    #[test]
    #[should_panic(expected = "one line of ASCII")]
    fn a_field_cannot_hold_a_second_line() {
        written(&Response::no_content().with("Vary", "a\r\nSet-Cookie: b"), false);
    }
}
