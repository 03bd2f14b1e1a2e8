//! Whatever comes instead of an answer, the device's reader does not panic; an answer stays the same however much follows
//! it, needs its last byte, and what is read of its members is what serde_json reads.
#![no_main]

use latchkey_client::http::{Answer, Parsed};
use latchkey_fuzz::json;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    json::assert_same_members(bytes);
    let Ok(Parsed::Whole(answer)) = Answer::parse(bytes) else { return };
    let end = answer.body.as_ptr() as usize - bytes.as_ptr() as usize + answer.body.len();
    if !answer.body.is_empty() {
        assert_eq!(Answer::parse(&bytes[..end - 1]), Ok(Parsed::Unfinished));
        assert_eq!(Answer::parse(&bytes[..end]), Ok(Parsed::Whole(answer)));
    }
    let longer = [bytes, b"more"].concat();
    assert_eq!(Answer::parse(&longer), Ok(Parsed::Whole(answer)));
    let mut code = answer.problem().into_iter().flat_map(|problem| problem.code.bytes());
    assert!(code.all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_')));
    json::assert_same_members(answer.body);
});
