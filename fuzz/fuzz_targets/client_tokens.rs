//! Any bytes as the answer to a log-in: what the client takes from it can be sent in a header and printed on a terminal.

#![no_main]

use latchkey_client::RefreshToken;
use latchkey_client::fuzzing::tokens;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|input: &[u8]| {
    let Some([access, refresh, session, user]) = tokens(input) else { return };
    assert!((1..=4096).contains(&access.len()) && access.bytes().all(|byte| byte.is_ascii_graphic()));
    assert!(RefreshToken::parse(&refresh).is_ok());
    assert!(!session.chars().chain(user.chars()).any(char::is_control));
    // A number that no float holds is skipped by the client and refused by serde_json's `Value`.
    let Ok(body) = serde_json::from_slice::<Value>(input) else { return };
    // An array reads as a struct, member by member.
    if body.is_object() && body["user"].is_object() {
        assert_eq!(
            [&body["access_token"], &body["refresh_token"], &body["session"]],
            [&access, &refresh, &session]
        );
        assert_eq!(body["user"]["name"], user);
    }
});
