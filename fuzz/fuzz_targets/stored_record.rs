//! Any bytes as a record of the store: an error, or the record whose bytes these are; and as a stored password hash.

#![no_main]

use latchkey::hasher::{Hasher, Profile};
use latchkey::password::Password;
use latchkey::store::fuzzing::{RECORD_LENGTHS, rewritten};
use latchkey::user::PasswordHash;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    for len in RECORD_LENGTHS {
        let mut record = input.to_vec();
        record.resize(len, 0);
        assert!(rewritten(&record).is_none_or(|again| again == record));
    }
    assert!(RECORD_LENGTHS.contains(&input.len()) || rewritten(input).is_none());
    if !input.starts_with(b"$") {
        return;
    }
    // Reads what the stored hash asks of argon2, and hashes anew when that is not what new ones ask.
    let hash = PasswordHash(String::from_utf8_lossy(input).into_owned());
    let password = Password::new("any".to_owned());
    let upgraded = Hasher::new(1, Profile::Least).upgrade(&password, &hash).expect("nobody else waits");
    assert!(
        upgraded.is_none_or(|new| Hasher::new(1, Profile::Least).verify(&password, Some(&new)) == Ok(true))
    );
});
