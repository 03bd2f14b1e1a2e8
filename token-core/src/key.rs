//! The HS256 key: made once from a secret, then signs and verifies any number of tokens.

use core::fmt;

use heapless::String;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::json::Text;
use crate::sign::header_len;
use crate::{base64url, header};

/// Shortest secret a [`Key`] takes, in bytes: as long as the hash output (RFC 7518 §3.2).
pub const SECRET_LEN_MIN: usize = 32;

/// Longest key id a [`Key`] takes, in bytes. A UUID has 36, a SHA-256 thumbprint (RFC 7638) 43.
pub const KID_LEN_MAX: usize = 48;

/// Longest token type a [`Key`] takes, in bytes. `application/at+jwt` has 18.
pub const TYPE_LEN_MAX: usize = 24;

const HEADER_JSON_MAX: usize = header_len(TYPE_LEN_MAX, Some(KID_LEN_MAX));
const HEADER_MAX: usize = base64url::encoded_len(HEADER_JSON_MAX);
const _: () = assert!(HEADER_MAX <= crate::HEADER_LEN_MAX, "we must accept the headers we write");

/// Length of an HMAC-SHA256 tag, in bytes.
pub(crate) const TAG_LEN: usize = 32;

/// A secret for HS256, with what can be computed ahead: both HMAC midstates and the encoded header.
///
/// A key is for one algorithm and one token type; no token can talk it into another. It is wiped when dropped, and
/// its `Debug` shows the key id and the type only. What is precomputed makes it some 400 bytes: pass it by reference.
///
/// ```
/// use token_core::{Key, KeyError};
///
/// let key = Key::new(&[7; 32])?.with_type("at+jwt")?.with_kid("a")?;
/// assert_eq!(key.kid(), Some("a"));
/// assert_eq!(Key::new(b"secret").err(), Some(KeyError::SecretTooShort));
/// # Ok::<(), KeyError>(())
/// ```
#[derive(Clone)]
pub struct Key {
    keyed: Hmac<Sha256>,
    typ: Option<String<TYPE_LEN_MAX>>,
    kid: Option<String<KID_LEN_MAX>>,
    header: String<HEADER_MAX>,
}

impl Key {
    /// A key from at least [`SECRET_LEN_MIN`] random bytes. Beyond 64 bytes a secret gains nothing.
    ///
    /// Tokens are signed with the header `{"alg":"HS256","typ":"JWT"}` and accepted when their `typ` is absent or
    /// `JWT`. Prefer [`with_type`](Key::with_type) whenever one secret signs tokens for more than one use.
    ///
    /// # Errors
    ///
    /// [`KeyError::SecretTooShort`]: RFC 7518 §3.2 asks for a secret no shorter than the hash.
    pub fn new(secret: &[u8]) -> Result<Key, KeyError> {
        if secret.len() < SECRET_LEN_MIN {
            return Err(KeyError::SecretTooShort);
        }
        // HMAC takes a key of any length; the length is the only thing this error can be about.
        let keyed = Hmac::new_from_slice(secret).map_err(|_| KeyError::SecretTooShort)?;
        Key { keyed, typ: None, kid: None, header: String::new() }.with_encoded_header()
    }

    /// The same key, for tokens of exactly this type (RFC 7515 §4.1.9, RFC 8725 §3.11), such as `at+jwt`.
    ///
    /// Types are compared without regard to case or to a leading `application/`. At most [`TYPE_LEN_MAX`] bytes.
    ///
    /// # Errors
    ///
    /// [`KeyError::InvalidType`] when it is empty, too long, or not a media type.
    pub fn with_type(self, typ: &str) -> Result<Key, KeyError> {
        let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+/".contains(&b);
        if typ.is_empty() || !typ.bytes().all(is_allowed) {
            return Err(KeyError::InvalidType);
        }
        let typ = String::try_from(typ).map_err(|_| KeyError::InvalidType)?;
        Key { typ: Some(typ), ..self }.with_encoded_header()
    }

    /// The same key under an id (RFC 7515 §4.1.4): it signs tokens that carry the id and accepts only those.
    ///
    /// At most [`KID_LEN_MAX`] visible ASCII characters, without `"` and `\`, so that it never needs escaping.
    ///
    /// # Errors
    ///
    /// [`KeyError::InvalidKid`] when it is empty, too long, or has another character.
    pub fn with_kid(self, kid: &str) -> Result<Key, KeyError> {
        let is_allowed = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
        if kid.is_empty() || !kid.bytes().all(is_allowed) {
            return Err(KeyError::InvalidKid);
        }
        let kid = String::try_from(kid).map_err(|_| KeyError::InvalidKid)?;
        Key { kid: Some(kid), ..self }.with_encoded_header()
    }

    /// The key id, if it has one.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The encoded header of every token this key signs, without the dot after it.
    pub(crate) fn header(&self) -> &str {
        &self.header
    }

    /// HMAC-SHA256 of a signing input. The clone starts from midstates, which spares two of the hash's blocks.
    pub(crate) fn tag(&self, signing_input: &[u8]) -> [u8; TAG_LEN] {
        self.keyed.clone().chain_update(signing_input).finalize().into_bytes().into()
    }

    /// Whether a token of this `kid` is this key's; one without is only for a key without.
    pub(crate) fn answers_to(&self, kid: Option<Text<'_>>) -> bool {
        match (self.kid(), kid) {
            (None, None) => true,
            (Some(own), Some(kid)) => kid.is(own),
            _ => false,
        }
    }

    /// Whether a token of this `typ` is one of those the key is for.
    pub(crate) fn accepts_type(&self, typ: Option<Text<'_>>) -> bool {
        match (self.typ.as_deref(), typ) {
            (None, None) => true,
            (Some(_), None) => false,
            (expected, Some(typ)) => header::is_type(typ, expected.unwrap_or("JWT")),
        }
    }

    fn with_encoded_header(mut self) -> Result<Key, KeyError> {
        // The buffer is sized for the longest type and key id, so the one failure left is a bug, not an input.
        self.header = self.encode_header().ok_or(KeyError::InvalidKid)?;
        Ok(self)
    }

    fn encode_header(&self) -> Option<String<HEADER_MAX>> {
        let mut json = String::<HEADER_MAX>::new();
        json.push_str(r#"{"alg":"HS256","typ":""#).ok()?;
        json.push_str(self.typ.as_deref().unwrap_or("JWT")).ok()?;
        if let Some(kid) = self.kid() {
            json.push_str(r#"","kid":""#).ok()?;
            json.push_str(kid).ok()?;
        }
        json.push_str(r#""}"#).ok()?;
        let json_len = json.len();
        let mut encoded = json.into_bytes();
        encoded.resize_default(HEADER_MAX).ok()?;
        let encoded_len = base64url::encode_in_place(&mut encoded, json_len)?;
        encoded.truncate(encoded_len);
        String::from_utf8(encoded).ok()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("typ", &self.typ).field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// Why a [`Key`] was not made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum KeyError {
    /// The secret has fewer than [`SECRET_LEN_MIN`] bytes.
    SecretTooShort,
    /// The type is empty, longer than [`TYPE_LEN_MAX`], or not a media type.
    InvalidType,
    /// The key id is empty, longer than [`KID_LEN_MAX`], or has a character outside its set.
    InvalidKid,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeyError::SecretTooShort => "the secret is shorter than 32 bytes",
            KeyError::InvalidType => "the token type is empty, too long or not a media type",
            KeyError::InvalidKid => "the key id is empty, too long or not plain visible ASCII",
        })
    }
}

impl core::error::Error for KeyError {}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use std::vec::Vec;
    use std::{format, vec};

    use super::*;

    fn unhex(hex: &serde_json::Value) -> Vec<u8> {
        let digits: Vec<u32> =
            hex.as_str().unwrap().chars().map(|digit| digit.to_digit(16).unwrap()).collect();
        digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
    }

    /// RFC 4231, with the keys that are too short for a `Key` padded by zeros: HMAC does the same (RFC 2104 §2).
    #[test]
    fn the_tag_is_hmac_sha_256() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../tests/vectors/rfc_vectors.json")).unwrap();
        let vectors = vectors["rfc4231_hmac_sha256"].as_array().unwrap();
        assert_eq!(vectors.len(), 6);
        for vector in vectors {
            let mut secret = unhex(&vector["key"]);
            secret.resize(secret.len().max(SECRET_LEN_MIN), 0);
            assert_eq!(Key::new(&secret).unwrap().tag(&unhex(&vector["msg"])), *unhex(&vector["mac"]));
        }
    }

    #[test]
    fn the_header_is_written_as_documented_and_fits_at_its_longest() {
        let decoded = |key: &Key| {
            let mut json = vec![0; HEADER_JSON_MAX];
            let (json, _) = base64url::decode(key.header().as_bytes(), &mut json).unwrap();
            std::string::String::from_utf8(json.to_vec()).unwrap()
        };
        let key = Key::new(&[1; 32]).unwrap();
        assert_eq!(decoded(&key), r#"{"alg":"HS256","typ":"JWT"}"#);
        let key = key.with_kid("a").unwrap().with_type("at+jwt").unwrap();
        assert_eq!(decoded(&key), r#"{"alg":"HS256","typ":"at+jwt","kid":"a"}"#);
        let (typ, kid) = ("t".repeat(TYPE_LEN_MAX), "k".repeat(KID_LEN_MAX));
        let key = key.with_kid(&kid).unwrap().with_type(&typ).unwrap();
        assert_eq!(decoded(&key).len(), HEADER_JSON_MAX);
    }

    #[test]
    fn debug_shows_the_kid_and_the_type_only() {
        let key = Key::new(&[0x41; 32]).unwrap().with_kid("a").unwrap().with_type("at+jwt").unwrap();
        assert_eq!(format!("{key:?}"), r#"Key { typ: Some("at+jwt"), kid: Some("a"), .. }"#);
    }

    #[test]
    fn a_key_is_as_small_as_its_documentation_says() {
        assert!(size_of::<Key>() <= 448, "{}", size_of::<Key>());
    }
}
