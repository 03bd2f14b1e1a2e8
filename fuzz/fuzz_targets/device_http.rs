//! Whatever comes instead of an answer, the device's reader does not panic; an answer stays the same however much follows
//! it, needs its last byte, and its members are those that serde_json finds.
#![no_main]

use latchkey_client::http::{Answer, Parsed, Value, member};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    same_members(bytes);
    let Ok(Parsed::Whole(answer)) = Answer::parse(bytes) else { return };
    let end = answer.body.as_ptr() as usize - bytes.as_ptr() as usize + answer.body.len();
    if !answer.body.is_empty() {
        assert_eq!(Answer::parse(&bytes[..end - 1]), Ok(Parsed::Unfinished));
        assert_eq!(Answer::parse(&bytes[..end]), Ok(Parsed::Whole(answer)));
    }
    let longer = [bytes, b"more"].concat();
    assert_eq!(Answer::parse(&longer), Ok(Parsed::Whole(answer)));
    if let Some(problem) = answer.problem() {
        assert!(
            problem
                .code
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        );
    }
    same_members(answer.body);
});

/// What serde_json reads as an object, with no name twice, has the same texts here.
fn same_members(json: &[u8]) {
    let Ok(serde_json::Value::Object(object)) = serde_json::from_slice(json) else { return };
    for (name, value) in &object {
        match member(json, name) {
            // Of two members with one name serde_json takes the last; names with escapes are not looked for.
            None | Some(Value::Unread) => {}
            Some(Value::Text(text)) => assert_eq!(value.as_str(), Some(text)),
            Some(Value::Other(text)) => {
                let other: serde_json::Value =
                    serde_json::from_str(text).expect("serde_json has read it before");
                assert_eq!(&other, value);
            }
        }
    }
}
