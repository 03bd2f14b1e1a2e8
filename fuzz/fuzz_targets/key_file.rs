//! Any text as a key file: refused, or the same keys again when it is written and read once more.

#![no_main]

use latchkey::keys::rewritten;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| {
    let Some(text) = rewritten(input) else { return };
    assert_eq!(keys(&text), keys(input));
    assert_eq!(rewritten(&text), Some(text));
});

/// The id and the secret of each line.
fn keys(text: &str) -> Vec<(u8, &str)> {
    let lines = text.lines().skip(1).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let words = lines.map(|line| line.split(' ').collect::<Vec<_>>());
    words.map(|words| (words[0].parse().expect("an id is a number"), words[1])).collect()
}
