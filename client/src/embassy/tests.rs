//! What needs no network: the bodies that are written, and which answers bring tokens. The rest runs on a device, in
//! `tests/device`.

use super::*;

#[test]
fn bodies_carry_any_name_and_password() {
    let mut buffer = [0; 128];
    let body =
        write_json(&mut buffer, &[("{\"username\":\"", "ädä"), ("\",\"password\":\"", "q\"\\\u{1f}\n")]);
    assert_eq!(body.unwrap(), "{\"username\":\"ädä\",\"password\":\"q\\\"\\\\\\u001f\\u000a\"}".as_bytes());
    assert!(write_json(&mut [0; 8], &[("{\"a\":\"", "b")]).is_none());
    assert!(write_json(&mut [0; 9], &[("{\"a\":\"", "b")]).is_some());
}

#[test]
fn only_the_answer_of_a_server_of_ours_has_tokens() {
    let good = format!(
        r#"{{"access_token":"a.b.c","token_type":"Bearer","expires_in":600,"user":{{}},"refresh_token":"{}"}}"#,
        "r".repeat(72)
    );
    let read = |status: u16, body: &str| {
        let answer = Answer { status, content_type: "", retry_after_secs: None, body: body.as_bytes() };
        tokens(&answer).map(|(access, token, secs)| (access.len(), token.as_str().len(), secs))
    };
    assert_eq!(read(200, &good), Some((5, 72, 600)));
    assert_eq!(read(201, &good), None);
    for (from, to) in
        [("Bearer", "mac"), ("a.b.c", "a b"), ("a.b.c", ""), ("rrrr", "rrr"), ("600", "-1"), ("{", "<")]
    {
        assert_eq!(read(200, &good.replacen(from, to, 1)), None, "{from} → {to}");
    }
}
