//! Any text as a user name: refused, or one that reads as itself, fits its record, and is one user however it is typed.

#![no_main]

use latchkey::user::{NAME_LEN_MAX, Name};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(name) = text.parse::<Name>() else { return };
    assert!((1..=NAME_LEN_MAX).contains(&name.as_str().len()) && name.folded().len() <= NAME_LEN_MAX);
    assert!(!name.as_str().chars().any(char::is_control) && name.as_str().trim() == name.as_str());
    assert_eq!(name.as_str().parse::<Name>().as_ref(), Ok(&name));
    let folded: Name = name.folded().parse().expect("the folded form of a name is a name");
    assert_eq!(folded.folded(), name.folded());
    // A new name meets more rules, and is the same one.
    assert!(Name::chosen(text).is_ok_and(|chosen| chosen == name) || Name::chosen(text).is_err());
    if let (true, Ok(shouted)) = (text.is_ascii(), text.to_ascii_uppercase().parse::<Name>()) {
        assert_eq!(shouted.folded(), name.folded());
    }
});
