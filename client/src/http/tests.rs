//! What is written and read, and beside each accepted form the nearest refused one.

use super::*;

fn whole(text: &str) -> Answer<'_> {
    match Answer::parse(text.as_bytes()) {
        Ok(Parsed::Whole(answer)) => answer,
        other => panic!("{text:?}: {other:?}"),
    }
}

#[test]
fn a_request_is_written_field_by_field() {
    let mut buffer = [0; 512];
    let request = Request { retry_key: Some("key"), ..Request::post("lock:80", "/api/auth/refresh", b"{}") };
    assert_eq!(
        request.write(&mut buffer).unwrap(),
        b"POST /api/auth/refresh HTTP/1.1\r\nHost: lock:80\r\nConnection: close\r\nIdempotency-Key: key\r\n\
          Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    );
    let request = Request { access_token: Some("a.b.c"), ..Request::get("lock", "/") };
    assert!(request.write(&mut buffer).unwrap().ends_with(b"Authorization: Bearer a.b.c\r\n\r\n"));
}

#[test]
fn a_request_that_does_not_fit_to_the_byte_is_not_written() {
    let request = Request::post("lock", "/", &[b'x'; 123]);
    let len = request.write(&mut [0; 512]).unwrap().len();
    assert!(request.write(&mut [0; 512][..len]).is_ok());
    for short in 0..len {
        assert_eq!(request.write(&mut [0; 512][..short]), Err(NotWritten::TooLong), "{short}");
    }
}

#[test]
fn nobody_writes_a_field_of_his_own_into_a_request() {
    let get = Request::get("lock", "/");
    for bad in [
        Request { path: "/ HTTP/1.1\r\nX: y", ..get },
        Request { path: "", ..get },
        Request { host: "lock\r\nX: y", ..get },
        Request { access_token: Some("a b"), ..get },
        Request { retry_key: Some("ü"), ..get },
        Request { body: Some(("text/plain\r\nX: y", b"")), ..get },
    ] {
        assert_eq!(bad.write(&mut [0; 512]), Err(NotWritten::BadCharacter), "{bad:?}");
    }
}

#[test]
fn an_answer_is_whole_at_its_last_byte_and_not_before() {
    let text = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\n{} \n";
    for len in 0..text.len() {
        assert_eq!(Answer::parse(&text.as_bytes()[..len]), Ok(Parsed::Unfinished), "{len}");
    }
    let answer = whole(text);
    assert_eq!((answer.status, answer.content_type, answer.body), (200, "application/json", &b"{} \n"[..]));
}

#[test]
fn answers_that_are_not_plain_are_refused() {
    for (text, expected) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", None),
        ("HTTP/1.0 200\r\ncontent-length:0\r\n\r\n", None),
        ("HTTP/1.1 204 No Content\r\n\r\n", None),
        ("HTTP/1.1 200 OK\r\n\r\n", Some(BadAnswer::BadLength)),
        ("HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n", Some(BadAnswer::BadStatusLine)),
        ("HTTP/1.1 100 Continue\r\n\r\n", Some(BadAnswer::BadStatusLine)),
        ("HTTP/1.1 600 X\r\nContent-Length: 0\r\n\r\n", Some(BadAnswer::BadStatusLine)),
        ("HTTP/1.1 2000\r\nContent-Length: 0\r\n\r\n", Some(BadAnswer::BadStatusLine)),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", Some(BadAnswer::BadLength)),
        ("HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\nx", Some(BadAnswer::BadLength)),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Some(BadAnswer::BadLength)),
        ("HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n", Some(BadAnswer::BadField)),
        ("HTTP/1.1 200 OK\r\n folded\r\nContent-Length: 0\r\n\r\n", Some(BadAnswer::BadField)),
        ("HTTP/1.1 200 OK\r\nX: a\nb: c\r\nContent-Length: 0\r\n\r\n", Some(BadAnswer::BadField)),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n", Some(BadAnswer::TooLong)),
    ] {
        assert_eq!(Answer::parse(text.as_bytes()).err(), expected, "{text:?}");
    }
    assert_eq!(Answer::parse(&[b'x'; HEAD_LEN_MAX]), Err(BadAnswer::TooLong));
}

#[test]
fn only_a_problem_document_of_ours_is_one() {
    let of = |kind: &str, body: &str| {
        let text =
            format!("HTTP/1.1 401 X\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        whole(&text).problem().map(|problem| (problem.code.to_owned(), problem.advice))
    };
    let ours = r#"{"type":"urn:latchkey:invalid_token","title":"x","action":"refresh"}"#;
    let expected = Some(("invalid_token".to_owned(), Some(Advice::Refresh)));
    assert_eq!(of("application/problem+json", ours), expected);
    assert_eq!(of("Application/Problem+JSON; charset=utf-8", ours), expected);
    for (kind, body) in [
        ("application/json", ours),
        ("application/problem+json", r#"{"type":"about:blank"}"#),
        ("application/problem+json", r#"{"type":"urn:latchkey:"}"#),
        ("application/problem+json", r#"{"type":"urn:latchkey:A"}"#),
        ("application/problem+json", r#"[{"type":"urn:latchkey:a"}]"#),
        ("application/problem+json", "<html>"),
        ("application/problem+json", ""),
    ] {
        assert_eq!(of(kind, body), None, "{kind} {body}");
    }
}

#[test]
fn members_are_found_and_what_is_nested_is_passed_over() {
    let json = br#" { "a" : "x" , "user":{"a":"no","n":[1,"]}",{}]},"n":600,"e":"\"a\":\\","rotated":true,"": null } "#;
    assert_eq!(member(json, "a"), Some(Value::Text("x")));
    assert_eq!(member(json, "user"), Some(Value::Unread));
    assert_eq!(member(json, "n"), Some(Value::Other("600")));
    assert_eq!(member(json, "e"), Some(Value::Unread));
    assert_eq!(member(json, "rotated"), Some(Value::Other("true")));
    assert_eq!(member(json, ""), Some(Value::Other("null")));
    assert_eq!(member(json, "b"), None);
    assert_eq!(member(b"{}", "a"), None);
}

#[test]
fn what_is_no_object_has_no_members() {
    for json in [
        r#"{"a":"x""#,
        r#"{"a":"x"} x"#,
        r#"{"a":"x",}"#,
        r#"{"a":"x" "b":1}"#,
        r#"{"a":"x","a":"y"}"#,
        r#"{"a":}"#,
        r#"{"a""x"}"#,
        r#"{a:"x"}"#,
        r#"["a","x"]"#,
        "{\"a\":\"x\n\"}",
        r#"{"a":"x","b":[}"#,
        "",
    ] {
        assert_eq!(member(json.as_bytes(), "a"), None, "{json}");
    }
    assert_eq!(member(b"{\"a\":\"x\",\"b\":\"\xFF\"}", "a"), None);
}
