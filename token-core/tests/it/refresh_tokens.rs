//! Refresh tokens come back as they were made, and any other text does not.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use proptest::prelude::*;
use sha2::Sha256;
use token_core::{RefreshKey, RefreshToken, RefreshTokenError};

const SECRET: [u8; 32] = [0x42; 32];

fn decode(text: impl AsRef<[u8]>) -> Result<RefreshToken, RefreshTokenError> {
    let key = RefreshKey::new(&SECRET);
    RefreshToken::decode(text, |kid| (kid == 3).then_some(&key))
}

fn token() -> RefreshToken {
    RefreshToken { kid: 3, session: *b"a session's id!!", generation: 0x0102_0304 }
}

/// Bytes with a right tag over whatever comes before it, made without token-core.
fn tagged(body: [u8; 22]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(&SECRET).unwrap().chain_update("rt1").chain_update(body);
    let bytes = [&body[..], mac.finalize().into_bytes().as_slice()].concat();
    let mut text = [0; 72];
    Base64UrlUnpadded::encode(&bytes, &mut text).unwrap().to_owned()
}

#[test]
fn the_format_is_the_documented_one() {
    let mut body = [0; 22];
    body[..2].copy_from_slice(&[1, 3]);
    body[2..18].copy_from_slice(b"a session's id!!");
    body[18..].copy_from_slice(&[1, 2, 3, 4]);
    assert_eq!(token().encode(&RefreshKey::new(&SECRET)).as_str(), tagged(body));
    assert_eq!(decode(tagged(body)), Ok(token()));

    body[0] = 2;
    assert_eq!(decode(tagged(body)), Err(RefreshTokenError::Malformed), "another version, rightly tagged");
    body[..2].copy_from_slice(&[1, 4]);
    assert_eq!(decode(tagged(body)), Err(RefreshTokenError::UnknownKey));
}

#[test]
fn each_flipped_bit_is_refused() {
    let text = token().encode(&RefreshKey::new(&SECRET));
    let mut bytes = [0; 54];
    Base64UrlUnpadded::decode(text.as_bytes(), &mut bytes).unwrap();
    for bit in 0..54 * 8 {
        let mut flipped = bytes;
        flipped[bit / 8] ^= 1 << (bit % 8);
        let mut text = [0; 72];
        let text = Base64UrlUnpadded::encode(&flipped, &mut text).unwrap();
        assert!(decode(text).is_err(), "bit {bit}");
    }
}

#[test]
fn each_changed_character_is_refused() {
    let text = token().encode(&RefreshKey::new(&SECRET));
    for at in 0..text.len() {
        for byte in 0..=u8::MAX {
            let mut changed = text.as_bytes().to_vec();
            changed[at] = byte;
            assert_eq!(decode(&changed).is_ok(), changed == text.as_bytes(), "{byte} at {at}");
        }
    }
}

#[test]
fn other_lengths_and_alphabets_are_malformed() {
    let text = token().encode(&RefreshKey::new(&SECRET));
    let text = text.as_str();
    for other in [
        String::new(),
        text[..71].to_owned(),
        format!("{text}A"),
        format!("{text}="),
        format!(" {}", &text[1..]),
        format!("{}=", &text[..71]),
        format!("{}+", &text[..71]),
        "\0".repeat(72),
        "é".repeat(36),
    ] {
        assert_eq!(decode(&other), Err(RefreshTokenError::Malformed), "{other:?}");
    }
}

#[test]
fn another_key_did_not_make_the_tag() {
    let text = token().encode(&RefreshKey::new(&[0x43; 32]));
    assert_eq!(decode(text), Err(RefreshTokenError::BadTag));
}

#[test]
fn no_key_is_asked_for_before_the_text_is_a_token() {
    let refused = RefreshToken::decode("short", |_| panic!("a key was asked for"));
    assert_eq!(refused, Err(RefreshTokenError::Malformed));
}

#[test]
fn debug_shows_no_secret() {
    assert_eq!(format!("{:?}", RefreshKey::new(&SECRET)), "RefreshKey { .. }");
}

proptest! {
    #[test]
    fn every_token_comes_back(kid: u8, session: [u8; 16], generation: u32, secret: [u8; 32]) {
        let key = RefreshKey::new(&secret);
        let token = RefreshToken { kid, session, generation };
        let text = token.encode(&key);
        prop_assert_eq!(text.len(), RefreshToken::LEN);
        prop_assert_eq!(RefreshToken::decode(&text, |asked| (asked == kid).then_some(&key)), Ok(token));
    }

    #[test]
    fn arbitrary_bytes_are_no_token(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        prop_assert!(decode(bytes).is_err());
    }

    #[test]
    fn arbitrary_characters_are_no_token(text in "[A-Za-z0-9_-]{72}") {
        prop_assert!(decode(text).is_err());
    }
}
