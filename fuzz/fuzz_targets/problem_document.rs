//! Any bytes as a problem document: what the client believes has a `type` of ours, and it reads all that the server can say.

#![no_main]

use latchkey::problem::Code;
use latchkey_client::{Advice, Problem};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const MEDIA_TYPE: &str = "application/problem+json";

fuzz_target!(|input: &[u8]| {
    assert_eq!(Problem::read("application/json", input), None);
    // A number that no float holds makes serde_json refuse what the client, which does not look at it, reads.
    let document = serde_json::from_slice::<Value>(input);
    if let (Some(problem), Ok(document)) = (Problem::read(MEDIA_TYPE, input), document) {
        assert_eq!(document["type"], format!("urn:latchkey:{}", problem.code));
        assert_eq!(document["action"].as_str().and_then(Advice::parse), problem.advice);
        assert!((1..=64).contains(&problem.code.len()));
        assert!(problem.code.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_')));
    }
    // What the server says, whatever stands in its detail.
    let (&first, detail) = input.split_first().unwrap_or((&0, &[]));
    let code = Code::ALL[usize::from(first) % Code::ALL.len()];
    let said = latchkey::problem::Problem::new(code, String::from_utf8_lossy(detail).into_owned());
    let read = Problem::read(MEDIA_TYPE, &said.to_json("0123456789abcdef")).expect("it is one of ours");
    assert_eq!((read.code.as_str(), read.advice.is_some()), (code.as_str(), true));
});
