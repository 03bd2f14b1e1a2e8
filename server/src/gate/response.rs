//! A response as HTTP/1.1 has it (RFC 9112 §4), of a handler or of the gate itself, and which responses cannot be sent.

use crate::api::Response;
use crate::clock;

/// Fields that say where a message ends or belong to one connection (RFC 9112 §6, RFC 9110 §7.6.1), which the server
/// alone may set, and those that it sets itself.
const NOT_FOR_HANDLERS: [&str; 11] = [
    "connection",
    "content-length",
    "date",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Why a response cannot be sent: a bug of the handler.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unfit(pub &'static str);

/// Appends a response to `out`, without its content if it is one to a HEAD; returns the length of its head without the
/// empty line. What `out` holds after an error is of no use.
///
/// # Errors
/// [`Unfit`] when it would not be one answer to one request, whatever else the handler meant.
pub fn write(response: &Response, is_to_head: bool, out: &mut Vec<u8>) -> Result<usize, Unfit> {
    // 1xx is no answer: another one would have to follow (RFC 9110 §15.2).
    if !(200..=599).contains(&response.status) {
        return Err(Unfit("its status is none of an answer"));
    }
    let start = out.len();
    out.reserve(512 + response.body.len());
    let mut put = |parts: &[&str]| parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
    let status = response.status.to_string();
    put(&["HTTP/1.1 ", &status, " ", reason_phrase(response.status), "\r\nServer: latchkey\r\n"]);
    clock::with_http_date(|date| put(&["Date: ", date, "\r\n"]));
    for (name, value) in &response.fields {
        check_field(name, value)?;
        put(&[name, ": ", value, "\r\n"]);
    }
    if has_length(response.status) {
        let len = if has_content(response.status) { response.body.len() } else { 0 };
        put(&["Content-Length: ", &len.to_string(), "\r\n"]);
    }
    put(&["\r\n"]);
    let head_len = out.len() - start - 2;
    if !is_to_head && has_content(response.status) {
        out.extend_from_slice(&response.body);
    }
    Ok(head_len)
}

/// Whether an answer of this status may have content (RFC 9110 §6.4.1, §15.3.6).
pub fn has_content(status: u16) -> bool {
    !matches!(status, 204 | 205 | 304)
}

/// RFC 9110 §8.6: a 204 has no Content-Length; of a 304 it would be the one of another answer.
fn has_length(status: u16) -> bool {
    !matches!(status, 204 | 304)
}

fn check_field(name: &str, value: &str) -> Result<(), Unfit> {
    let is_token_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token_byte) {
        return Err(Unfit("the name of a header field is malformed"));
    }
    // Some values echo what strangers sent: with a line end in it, the rest would be an answer of theirs.
    if !value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        return Err(Unfit("the value of a header field is not one line of ASCII"));
    }
    if NOT_FOR_HANDLERS.iter().any(|known| name.eq_ignore_ascii_case(known)) {
        return Err(Unfit("it has a header field that the server sets"));
    }
    Ok(())
}

/// The words behind a status (RFC 9110 §15); they may be missing (RFC 9112 §4).
fn reason_phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::{Code, Problem};

    fn written(response: &Response, is_to_head: bool) -> String {
        let mut out = b"an answer before".to_vec();
        let start = out.len();
        let head_len = write(response, is_to_head, &mut out).unwrap();
        let (head, body) = str::from_utf8(&out[start..]).unwrap().split_once("\r\n\r\n").unwrap();
        assert_eq!(head_len, head.len() + 2);
        let undated: Vec<_> = head.lines().filter(|line| !line.starts_with("Date: ")).collect();
        format!("{}|{body}", undated.join("|"))
    }

    fn with_status(status: u16) -> Response {
        Response { status, ..Response::text("ok\n") }
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
    fn what_has_no_content_by_its_status_has_none_whatever_the_handler_says() {
        let head = "HTTP/1.1 204 No Content|Server: latchkey|Cache-Control: no-store|";
        assert_eq!(written(&Response::no_content(), false), head);
        for status in [204, 304] {
            let written = written(&with_status(status), false);
            assert!(written.ends_with('|') && !written.contains("Content-Length"), "{written}");
        }
        assert!(written(&with_status(205), false).ends_with("Content-Length: 0|"));
        for status in [200, 206, 303, 404, 599] {
            assert!(written(&with_status(status), false).ends_with("Content-Length: 3|ok\n"), "{status}");
        }
    }

    #[test]
    fn what_is_no_answer_by_its_status_is_unfit() {
        for status in [0, 99, 100, 101, 103, 199, 600, 1000, u16::MAX] {
            assert!(write(&with_status(status), false, &mut Vec::new()).is_err(), "{status}");
        }
    }

    #[test]
    fn a_field_cannot_hold_a_second_line_or_say_where_the_answer_ends() {
        for (name, value) in [
            ("Vary", "a\r\nSet-Cookie: b"),
            ("Vary", "a\nb"),
            ("Vary", "a\0"),
            ("Vary", "\u{e4}"),
            ("", "a"),
            ("A b", "c"),
            ("A:", "b"),
            ("A\r\nB", "c"),
            ("Content-Length", "3"),
            ("content-length", "99"),
            ("Transfer-Encoding", "chunked"),
            ("CONNECTION", "close"),
            ("Keep-Alive", "timeout=5"),
            ("Upgrade", "h2c"),
            ("Trailer", "X"),
            ("Date", "now"),
        ] {
            let response = Response::text("ok\n").with(name, value);
            assert!(write(&response, false, &mut Vec::new()).is_err(), "{name:?}: {value:?}");
        }
        written(&Response::text("ok\n").with("X-Content-Length", "any, visible ~ASCII"), false);
    }

    #[test]
    fn every_refusal_of_ours_has_its_words() {
        for code in Code::ALL {
            let refusal = Response::problem(&Problem::from(*code), "42");
            assert!(!reason_phrase(refusal.status).is_empty(), "{code:?}");
        }
    }
}
