//! Requests the gate passes and requests it refuses, each by name.

use super::fields::HOST;
use super::*;
use crate::site::PublicUrl;

fn cookie() -> RefreshCookie {
    RefreshCookie::new(&PublicUrl::parse("https://auth.example.com").unwrap())
}

fn complete(bytes: &[u8]) -> Request<'_> {
    match parse(bytes, &cookie()) {
        Parsed::Complete(request) => request,
        other => panic!("{other:?} for {}", bytes.escape_ascii()),
    }
}

fn refusal(bytes: &[u8]) -> Refusal {
    match parse(bytes, &cookie()) {
        Parsed::Reject(refusal) => refusal,
        other => panic!("{other:?} for {}", bytes.escape_ascii()),
    }
}

#[track_caller]
fn assert_malformed(bytes: impl AsRef<[u8]>) {
    let refusal = refusal(bytes.as_ref());
    assert!(matches!(refusal, Refusal::Malformed(_)), "{refusal:?}");
}

/// A request with these header lines, each without its line end.
fn with_lines(lines: &[&str]) -> String {
    format!("POST /a HTTP/1.1\r\nHost: a\r\n{}\r\n\r\n", lines.join("\r\n"))
}

/// A GET whose head has exactly `len` bytes.
fn head_of(len: usize) -> String {
    let start = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
    format!("{start}{}\r\n\r\n", "x".repeat(len - start.len() - 4))
}

#[test]
fn a_browsers_refresh_passes_with_what_the_server_reads() {
    let bytes = b"POST /api/auth/refresh HTTP/1.1\r\nHost: auth.example.com\r\nOrigin: https://auth.example.com\r\n\
                  Accept: */*\r\nCookie: theme=dark; __Host-latchkey=TOKEN\r\nContent-Length: 2\r\n\r\n{}GET /";
    let request = complete(bytes);
    assert_eq!((request.method, &*request.target), ("POST", "/api/auth/refresh"));
    assert_eq!(request.body.to_vec(), b"{}");
    assert_eq!(request.fields[HOST], Some(&b"auth.example.com"[..]));
    assert_eq!(request.refresh_cookie, Some("TOKEN"));
    assert_eq!(&bytes[request.len..], b"GET /", "what follows is the next request's");
    assert!(request.keeps_alive && !request.is_http_1_0 && !request.is_forwarded);
}

#[test]
fn every_prefix_of_a_good_request_needs_more() {
    let bytes = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    for len in 0..bytes.len() {
        assert_eq!(parse(&bytes[..len], &cookie()), Parsed::NeedMore { expects_continue: false }, "{len}");
    }
    assert_eq!(complete(bytes).len, bytes.len());
}

#[test]
fn an_empty_line_is_no_request_line() {
    // Those between two requests are skipped before.
    assert_malformed("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_malformed("\r");
    assert_malformed("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
}

#[test]
fn versions_other_than_1_0_and_1_1_are_refused() {
    assert_eq!(refusal(b"GET / HTTP/2.0\r\nHost: a\r\n\r\n"), Refusal::Version);
    assert_eq!(refusal(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Refusal::Version);
    assert_eq!(refusal(b"GET / HTTP/1.2\r\nHost: a\r\n\r\n"), Refusal::Version);
    assert_eq!(refusal(b"GET / http/1.1\r\nHost: a\r\n\r\n"), Refusal::Version);
    assert_malformed("GET /\r\n\r\n");
}

#[test]
fn tls_and_other_noise_is_refused_at_its_first_bytes() {
    assert_malformed([0x16, 0x03, 0x01, 0x02, 0x00]);
    assert_malformed("SSH-2.0 [\r\n");
    assert_malformed([0]);
    assert_malformed("GET  / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_malformed("G\u{e4}T / HTTP/1.1\r\nHost: a\r\n\r\n");
}

#[test]
fn a_refusal_says_which_part_of_the_head_is_malformed() {
    let of_line = Refusal::Malformed("the request line is malformed");
    let of_field = Refusal::Malformed("a header field is malformed");
    assert_eq!(refusal(b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n"), of_line);
    assert_eq!(refusal(b"GET / HTTP/1.1\r\nHost : a\r\n\r\n"), of_field);
}

#[test]
fn the_longest_request_line_passes_and_a_longer_one_is_refused_before_it_ends() {
    let method = "M".repeat(METHOD_LEN_MAX);
    let line = format!("{method} /{} HTTP/1.1\r", "a".repeat(TARGET_LEN_MAX - 1));
    for len in 1..=line.len() {
        let prefix = &line.as_bytes()[..len];
        assert_eq!(parse(prefix, &cookie()), Parsed::NeedMore { expects_continue: false }, "{len}");
    }
    assert_eq!(complete(format!("{line}\nHost: a\r\n\r\n").as_bytes()).method, method);
    let endless = "a".repeat(line.len());
    assert_eq!(refusal(format!("GET /{endless}").as_bytes()), Refusal::TargetTooLong);
    assert_malformed(format!("M{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
}

#[test]
fn there_is_exactly_one_host() {
    assert_malformed("GET / HTTP/1.1\r\n\r\n");
    assert_malformed("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n");
    for bad in
        ["", "a b", "a,b", "a/b", "user@a", "a\tb", "a\u{e4}", "h:80x", "[::1", ":80", "a:b:80", "a:65536"]
    {
        assert_malformed(format!("GET / HTTP/1.1\r\nHost: {bad}\r\n\r\n"));
    }
    for good in ["a", "a:", "127.0.0.1:8080", "[::1]:8080", "auth.example.com"] {
        complete(format!("GET / HTTP/1.1\r\nHost: {good}\r\n\r\n").as_bytes());
    }
    let old = complete(b"GET / HTTP/1.0\r\n\r\n");
    assert!(old.is_http_1_0 && !old.keeps_alive);
}

#[test]
fn the_length_of_the_body_is_told_once_and_in_digits() {
    for bad in ["", "+2", "-2", "2,2", "2 2", "0x2", "2.0", "\u{b2}"] {
        assert_malformed(with_lines(&[&format!("Content-Length: {bad}")]));
    }
    assert_malformed(with_lines(&["Content-Length: 2", "Content-Length: 2"]));
    assert_malformed(with_lines(&["Content-Length: 2", "content-length: 3"]));
    assert_malformed(with_lines(&["Content-Length: 2", "Transfer-Encoding: chunked"]));
    assert_malformed(with_lines(&["Transfer-Encoding: chunked", "Content-Length: 2"]));
    let request = [with_lines(&["Content-Length: 0002"]), "{}".to_owned()].concat();
    assert_eq!(complete(request.as_bytes()).body.to_vec(), b"{}");
}

#[test]
fn chunked_is_the_only_coding_and_is_there_once() {
    let with_body = |lines: &[&str]| with_lines(lines) + "2\r\n{}\r\n0\r\n\r\n";
    for good in ["Transfer-Encoding: chunked", "transfer-encoding:CHUNKED\t"] {
        let request = with_body(&[good]) + "GET /";
        let parsed = complete(request.as_bytes());
        assert_eq!((parsed.body.to_vec(), parsed.len), (b"{}".to_vec(), request.len() - 5), "{good}");
    }
    for bad in [
        &["Transfer-Encoding:"][..],
        &["Transfer-Encoding: identity"],
        &["Transfer-Encoding: gzip"],
        &["Transfer-Encoding: xchunked"],
        &["Transfer-Encoding: \u{b}chunked"],
        &["Transfer-Encoding: chunked\u{c}"],
        &["Transfer-Encoding: \u{a0}chunked"],
        &["Transfer-Encoding: chunked;a=b"],
        &["Transfer-Encoding: \"chunked\""],
        &["Transfer-Encoding: chunked,"],
        &["Transfer-Encoding: chunked, chunked"],
        &["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
        &["Transfer-Encoding: chunked, gzip"],
        &["Transfer-Encoding: chunked, gzip, chunked"],
        &["Transfer-Encoding: chunked", "Transfer-Encoding: identity"],
    ] {
        assert_malformed(with_body(bad));
    }
    for lines in [
        &["Transfer-Encoding: gzip, chunked"][..],
        &["Transfer-Encoding: gzip", "Transfer-Encoding: chunked"],
    ] {
        assert_eq!(refusal(with_body(lines).as_bytes()), Refusal::Coding);
    }
    assert_malformed("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
}

#[test]
fn a_body_over_the_limit_is_refused_before_it_comes() {
    for (length, is_refused) in
        [("16384", false), ("16385", true), ("1000000000000", true), ("99999999999999999999999999", true)]
    {
        let request = with_lines(&[&format!("Content-Length: {length}")]);
        let parsed = parse(request.as_bytes(), &cookie());
        assert_eq!(parsed == Parsed::Reject(Refusal::BodyTooLarge), is_refused, "{length}");
    }
}

#[test]
fn a_head_at_the_limit_passes_and_one_byte_more_does_not() {
    complete(head_of(HEAD_LEN_MAX).as_bytes());
    let one_more = head_of(HEAD_LEN_MAX + 1);
    assert_eq!(refusal(one_more.as_bytes()), Refusal::HeadTooLarge);
    assert_eq!(refusal(&one_more.as_bytes()[..HEAD_LEN_MAX]), Refusal::HeadTooLarge);
    let unfinished = &one_more.as_bytes()[..HEAD_LEN_MAX - 1];
    assert_eq!(parse(unfinished, &cookie()), Parsed::NeedMore { expects_continue: false });
}

#[test]
fn sixty_four_fields_pass_and_one_more_does_not() {
    let fields = |count: usize| vec!["X: y"; count - 1];
    complete(with_lines(&fields(FIELDS_MAX)).as_bytes());
    assert_eq!(refusal(with_lines(&fields(FIELDS_MAX + 1)).as_bytes()), Refusal::TooManyFields);
}

#[test]
fn a_target_at_the_limit_passes_and_a_longer_one_does_not() {
    let request = |len: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(len - 1));
    complete(request(TARGET_LEN_MAX).as_bytes());
    assert_eq!(refusal(request(TARGET_LEN_MAX + 1).as_bytes()), Refusal::TargetTooLong);
    let endless = format!("GET /{}", "a".repeat(TARGET_LEN_MAX + 100));
    assert_eq!(refusal(endless.as_bytes()), Refusal::TargetTooLong, "before its end is known");
}

#[test]
fn a_method_has_to_be_a_short_token() {
    assert_malformed(format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "M".repeat(METHOD_LEN_MAX + 1)));
    assert_eq!(complete(b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n").method, "BREW");
    assert_malformed("G(T / HTTP/1.1\r\nHost: a\r\n\r\n");
}

#[test]
fn a_target_is_a_path_of_this_host() {
    let request = |method: &str, target: &str, host: &str| {
        format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")
    };
    for (target, host, expected) in [
        ("http://a/b?c", "a", "/b?c"),
        ("HTTP://a/b", "a", "/b"),
        ("Https://a/b", "a", "/b"),
        ("http://a", "a", "/"),
        ("http://a?b", "a", "/?b"),
        ("http://A.example/", "a.EXAMPLE", "/"),
        ("http://a:80/", "a", "/"),
        ("https://a/", "a:443", "/"),
        ("http://[::1]:8080/b", "[::1]:8080", "/b"),
        ("http://a//b", "a", "//b"),
        ("//b", "a", "//b"),
    ] {
        assert_eq!(complete(request("GET", target, host).as_bytes()).target, expected, "{target} {host}");
    }
    for bad in [
        "*",
        "a",
        "http://b/",
        "ftp://a/",
        "a:80",
        "/a#b",
        "/\u{e4}",
        "/a\tb",
        "/a\u{7f}",
        "http:///a",
        "http:a/",
        "http://",
        "http://a:81/",
        "https://a:80/",
        "http://user@a/",
        "http://a.b/",
        "http:/a",
        "://a/",
        "http://a:x/",
        "http://a\\b",
    ] {
        assert_malformed(request("GET", bad, "a"));
    }
    let old = complete(b"GET HTTP://a/b HTTP/1.0\r\n\r\n");
    assert_eq!((&*old.target, old.fields[HOST]), ("/b", None));
    assert_malformed("GET http://user@a/b HTTP/1.0\r\n\r\n");
}

#[test]
fn the_server_as_a_whole_is_asked_about_with_options_only() {
    for target in ["*", "http://a"] {
        let request = format!("OPTIONS {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(complete(request.as_bytes()).target, "*");
    }
    for line in ["GET *", "POST *", "OPTIONS **", "OPTIONS *?a", "options *"] {
        assert_malformed(format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n"));
    }
}

#[test]
fn lines_end_in_cr_lf_and_hold_neither_nor_nul() {
    for bad in [
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\r\n\r\n",
    ] {
        assert_malformed(bad);
    }
}

#[test]
fn fields_are_neither_folded_nor_oddly_named() {
    for bad in [
        "X: a\r\n b",
        "X: a\r\n\tb",
        "Transfer-Encoding:\r\n chunked",
        "X : a",
        "X\u{e4}: a",
        ": a",
        " X: a",
        "X",
        "X(): a",
    ] {
        assert_malformed(with_lines(&[bad]));
    }
    assert_malformed("GET / HTTP/1.1\r\n Host: a\r\n\r\n");
}

#[test]
fn what_must_be_there_once_is_refused_when_it_is_there_twice() {
    for name in PASSED_ON {
        let line = format!("{name}: a");
        assert_malformed(with_lines(&[&line, &line.to_uppercase()]));
    }
    assert_malformed(with_lines(&["Cookie: __Host-latchkey=a; __Host-latchkey=a"]));
    assert_malformed(with_lines(&["Cookie: __Host-latchkey=a", "Cookie: x=y", "Cookie: __Host-latchkey=b"]));
    let twice = with_lines(&["Cookie: x=y", "Cookie: __Host-latchkey=a", "Accept: a", "Accept: b"]);
    assert_eq!(complete(twice.as_bytes()).refresh_cookie, Some("a"));
}

#[test]
fn only_the_user_agent_and_what_is_not_passed_on_may_be_other_than_ascii() {
    complete(with_lines(&["User-Agent: \u{e4}", "Cookie: x=\u{e4}", "X: \u{e4}"]).as_bytes());
    for name in ["Authorization", "Origin", "Content-Type", "Idempotency-Key"] {
        assert_malformed(with_lines(&[&format!("{name}: \u{e4}")]));
    }
}

#[test]
fn who_waits_for_100_is_told_to_continue_once_the_head_is_there() {
    let head = with_lines(&["Expect: 100-Continue", "Content-Length: 2"]);
    assert_eq!(parse(head.as_bytes(), &cookie()), Parsed::NeedMore { expects_continue: true });
    let begun = format!("{head}{{");
    assert_eq!(parse(begun.as_bytes(), &cookie()), Parsed::NeedMore { expects_continue: false });
    assert_eq!(complete(format!("{head}{{}}").as_bytes()).body.to_vec(), b"{}");
    let in_chunks = with_lines(&["Expect: 100-continue", "Transfer-Encoding: chunked"]);
    assert_eq!(parse(in_chunks.as_bytes(), &cookie()), Parsed::NeedMore { expects_continue: true });
    let old = head.replace("HTTP/1.1", "HTTP/1.0");
    assert_eq!(parse(old.as_bytes(), &cookie()), Parsed::NeedMore { expects_continue: false });
    complete(
        (with_lines(&["Expect: 100-continue, 100-continue", "Expect: 100-Continue", "Content-Length: 1"])
            + "x")
            .as_bytes(),
    );
    for bad in ["200-ok", "100-continue, x", "100-continue;q=1", ""] {
        assert_eq!(
            refusal(with_lines(&[&format!("Expect: {bad}")]).as_bytes()),
            Refusal::Expectation,
            "{bad}"
        );
    }
}

#[test]
fn the_connection_stays_unless_the_client_says_otherwise() {
    for (line, keeps) in [
        ("Connection: keep-alive", true),
        ("Connection: close", false),
        ("Connection: CLOSE", false),
        ("Connection: keep-alive, close", false),
        ("Connection: close, keep-alive", false),
        ("Connection: upgrade", true),
        ("Connection: closed", true),
        ("Connection: close\r\nConnection: keep-alive", false),
        ("Connection: keep-alive\r\nConnection: upgrade, close", false),
        ("Connection: keep-alive\r\nConnection:", true),
    ] {
        assert_eq!(complete(with_lines(&[line]).as_bytes()).keeps_alive, keeps, "{line}");
    }
    assert!(complete(b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").keeps_alive);
}

#[test]
fn proxies_are_noticed_and_all_that_they_say_of_the_client_is_kept() {
    let forwarded = ["X-Forwarded-For: 1.2.3.4", "x-forwarded-proto: https", "Forwarded: for=1.2.3.4"];
    for line in forwarded.into_iter().chain(["Via: 1.1 proxy", "X-Real-IP: 1.2.3.4"]) {
        assert!(complete(with_lines(&[line]).as_bytes()).is_forwarded, "{line}");
    }
    let two = with_lines(&["X-Forwarded-For: 1.1.1.1", "X-Forwarded-For: 2.2.2.2"]);
    assert_eq!(complete(two.as_bytes()).forwarded_for, [b"1.1.1.1", b"2.2.2.2"]);
}

/// Puma and services behind oauth2-proxy took an underscore for a hyphen, and so a client's field for its proxy's
/// (CVE-2024-45614, CVE-2025-64484).
#[test]
fn an_underscore_is_no_hyphen() {
    let request = with_lines(&[
        "X_Forwarded_For: 6.6.6.6",
        "X-Forwarded_For: 6.6.6.6",
        "Content_Length: 9",
        "Transfer_Encoding: chunked",
        "Idempotency_Key: a",
        "User_Agent: b",
    ]);
    let parsed = complete(request.as_bytes());
    assert!(parsed.forwarded_for.is_empty() && !parsed.is_forwarded);
    assert_eq!((parsed.body.to_vec(), parsed.len), (Vec::new(), request.len()));
    assert_eq!(parsed.fields, complete(with_lines(&[]).as_bytes()).fields);
}
