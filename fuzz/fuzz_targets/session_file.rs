//! Any bytes as the file a client keeps its session in: an error, or a session that is written and read as the same.

#![no_main]

use latchkey_client::{Origin, Saved};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(saved) = Saved::from_json(input) else { return };
    let written = saved.to_json();
    let again = Saved::from_json(&written).expect("what is written can be read");
    assert_eq!(again.to_json(), written);
    assert_eq!(again.identity(), saved.identity());
    let origin = &saved.identity().origin;
    assert_eq!(Origin::parse(&origin.to_string()).as_ref(), Ok(origin));
});
