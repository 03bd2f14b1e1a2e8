//! Any text as a refresh token is refused or is the very text we would write; with any bit flipped, one is refused.

#![no_main]

use latchkey_fuzz::SECRET;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use token_core::{RefreshKey, RefreshToken};

#[derive(Arbitrary, Debug)]
struct Given<'a> {
    kid: u8,
    session: [u8; 16],
    generation: u32,
    flipped_bit: usize,
    text: &'a [u8],
}

fuzz_target!(|given: Given<'_>| {
    let Given { kid, session, generation, flipped_bit, text } = given;
    let key = RefreshKey::new(SECRET);
    if let Ok(token) = RefreshToken::decode(text, |_| Some(&key)) {
        assert_eq!(token.encode(&key).as_bytes(), text);
    }

    let token = RefreshToken { kid, session, generation };
    let text = token.encode(&key);
    assert_eq!(RefreshToken::decode(&text, |asked| (asked == kid).then_some(&key)), Ok(token));
    let mut forged = text.into_bytes();
    forged[flipped_bit / 8 % RefreshToken::LEN] ^= 1 << (flipped_bit % 8);
    assert!(RefreshToken::decode(&forged, |_| Some(&key)).is_err());
});
