//! What the gate itself answers: a refusal, after which the connection ends.

use super::response;
use crate::api::{self, Response};
use crate::problem::Problem;

/// What can be seen of a request that is refused, even when it is malformed or not there whole.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Glimpse<'a> {
    /// Whether its answer has no content.
    pub(super) is_head: bool,
    /// Its Origin, if it has one.
    pub(super) origin: Option<&'a str>,
}

impl<'a> Glimpse<'a> {
    /// Looks at the lines of a head that are there whole. Nothing is decided by this but the form of a refusal.
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        let mut lines =
            bytes.split_inclusive(|&byte| byte == b'\n').filter_map(|line| line.strip_suffix(b"\r\n"));
        let is_head = lines.next().is_some_and(|line| line.starts_with(b"HEAD "));
        let fields = lines.take_while(|line| !line.is_empty()).filter_map(|line| line.split_at_checked(7));
        let mut origins =
            fields.filter(|(name, _)| name.eq_ignore_ascii_case(b"origin:")).map(|(_, value)| value);
        let origin = match (origins.next(), origins.next()) {
            (Some(origin), None) => str::from_utf8(origin.trim_ascii()).ok(),
            _ => None,
        };
        Self { is_head, origin }
    }
}

/// The bytes of a refusal; a page of one of `listed_origins` may read it.
pub(super) fn write(
    problem: &Problem,
    request_id: &str,
    glimpse: Glimpse<'_>,
    listed_origins: &[String],
) -> Vec<u8> {
    let mut response = Response::problem(problem, request_id);
    if let Some(origin) = listed_origins.iter().find(|listed| Some(listed.as_str()) == glimpse.origin) {
        api::allow_origin(&mut response, origin.clone());
    }
    let mut out = Vec::new();
    let head_len = response::write(&response, glimpse.is_head, &mut out);
    let head_len = head_len.expect("a refusal of ours has a status and fields that can be sent");
    out.splice(head_len..head_len, *b"Connection: close\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Code;

    const ORIGIN: &str = "https://app.example.com";

    fn refusal(request: &str) -> String {
        let written = write(&Code::Busy.into(), "42", Glimpse::of(request.as_bytes()), &[ORIGIN.to_owned()]);
        String::from_utf8(written).unwrap()
    }

    #[test]
    fn a_refusal_is_a_problem_document_and_ends_the_connection() {
        let refusal = refusal("GET / HTTP/1.1\r\n");
        let (head, body) = refusal.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{head}");
        assert!(head.contains("\r\nRetry-After: 1\r\n") && head.ends_with("\r\nConnection: close"), "{head}");
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
        assert!(body.contains("\"request_id\":\"42\"") && !head.contains("Access-Control"), "{refusal}");
    }

    #[test]
    fn to_head_it_has_a_length_and_no_content() {
        let refusal = refusal("HEAD / HTTP/1.1\r\nHost: \r\n");
        assert!(
            refusal.ends_with("Connection: close\r\n\r\n") && !refusal.contains("Content-Length: 0"),
            "{refusal}"
        );
        assert!(!refusal_of_unfinished_line().is_head);
    }

    fn refusal_of_unfinished_line() -> Glimpse<'static> {
        Glimpse::of(b"HEAD /aaa")
    }

    #[test]
    fn a_page_of_a_listed_origin_may_read_it() {
        for line in [format!("Origin: {ORIGIN}"), format!("ORIGIN:\t{ORIGIN} ")] {
            let refusal = refusal(&format!("POST / HTTP/1.1\r\nHost: \0\r\n{line}\r\nX: unfinished"));
            for field in [
                "Access-Control-Allow-Origin: https://app.example.com",
                "Access-Control-Allow-Credentials: true",
                "Access-Control-Expose-Headers: Retry-After, WWW-Authenticate",
                "Vary: Origin",
            ] {
                assert!(refusal.contains(&format!("\r\n{field}\r\n")), "{field} is not in {refusal}");
            }
        }
    }

    #[test]
    fn no_other_page_may() {
        for lines in [
            "Origin: https://evil.example\r\n".to_owned(),
            format!("Origin: {ORIGIN}\r\nOrigin: {ORIGIN}\r\n"),
            format!("Origin: {ORIGIN}.evil.example\r\n"),
            format!("Origin: {ORIGIN}"),
            format!("\r\nOrigin: {ORIGIN}\r\n"),
            format!("X-Origin: {ORIGIN}\r\n"),
        ] {
            let refusal = refusal(&format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}"));
            assert!(!refusal.contains("Access-Control"), "{lines:?}: {refusal}");
        }
    }
}
