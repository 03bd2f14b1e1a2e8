//! Any bytes as the value of a claim nobody knows: accepted if and only if serde_json reads it and it is within limits.

#![no_main]

use latchkey_fuzz::json::{self, Shape};
use latchkey_fuzz::{NOW, ROOM, forge, key};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};
use token_core::{DEPTH_MAX, NAMES_MAX, TOKEN_LEN_MAX, Verifier};

fuzz_target!(|input: &[u8]| {
    let document = [format!(r#"{{"exp":{},"x":"#, NOW + 1).as_bytes(), input, b"}"].concat();
    let (keys, mut buffer, token) = ([key()], [0; ROOM], forge(&document));
    if token.len() > TOKEN_LEN_MAX {
        return;
    }
    let is_acceptable = match serde_json::from_slice::<Map<String, Value>>(&document) {
        // The input closed the value and went on to claims of its own, which are not judged by their syntax alone.
        Ok(read) if read.len() != 2 => return,
        Ok(read) => {
            let is_unique = json::members(&document) == 2 + read["x"].members();
            // The object around the value is open as well, and `x` is a name.
            is_unique && read["x"].depth() < DEPTH_MAX && read["x"].names() < NAMES_MAX
        }
        // serde_json must fit a number into a float; we leave it as it is written.
        Err(error) if error.to_string().starts_with("number out of range") => return,
        Err(_) => false,
    };
    let outcome = Verifier::new(&keys).any_audience().verify(token, NOW, &mut buffer);
    assert_eq!(outcome.is_ok(), is_acceptable, "{}: {outcome:?}", document.escape_ascii());
});
