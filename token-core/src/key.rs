//! The HS256 key: made once from a secret, then signs and verifies any number of tokens.

use core::fmt;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use heapless::{String, Vec};
use hmac::KeyInit as _;
use hmac::block_api::HmacCore;
use hmac::digest::block_api::{Buffer, FixedOutputCore as _, UpdateCore as _};
use sha2::Sha256;

use crate::sign::header_len;
use crate::verify::is_equal;
use crate::{base64url, header};

/// Shortest secret a [`Key`] takes, in bytes: as long as the hash output (RFC 7518 §3.2).
pub const SECRET_LEN_MIN: usize = 32;

/// Longest key id a [`Key`] takes, in bytes. A UUID has 36, a SHA-256 thumbprint (RFC 7638) 43.
pub const KID_LEN_MAX: usize = 48;

/// Longest token type a [`Key`] takes, in bytes. `application/at+jwt` has 18.
pub const TYPE_LEN_MAX: usize = 24;

const HEADER_JSON_MAX: usize = header_len(TYPE_LEN_MAX, Some(KID_LEN_MAX));
/// With the dot after it.
const HEADER_MAX: usize = base64url::encoded_len(HEADER_JSON_MAX) + 1;
const _: () = assert!(HEADER_MAX <= crate::HEADER_LEN_MAX, "we must accept the headers we write");

/// Length of an HMAC-SHA256 tag, in bytes.
pub(crate) const TAG_LEN: usize = 32;

/// Length of an encoded HS256 signature, in characters.
pub(crate) const SIGNATURE_LEN: usize = base64url::encoded_len(TAG_LEN);

/// `{"alg":"HS256","typ":"JWT"}`, encoded, and the dot. Written out, so that a firmware whose key has neither a type nor
/// an id has nothing to encode.
const PLAIN_HEADER: [u8; 37] = *b"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.";

/// A secret for HS256, with what can be computed ahead: both HMAC midstates and the encoded header.
///
/// A key is for one algorithm and one token type; no token can talk it into another. It is wiped when dropped, and
/// its `Debug` shows the key id and the type only. What is precomputed makes it some 330 bytes: pass it by reference.
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
    keyed: HmacCore<Sha256>,
    typ: Option<String<TYPE_LEN_MAX>>,
    kid: Option<String<KID_LEN_MAX>>,
    header: Vec<u8, HEADER_MAX>,
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
        let keyed = HmacCore::new_from_slice(secret).map_err(|_| KeyError::SecretTooShort)?;
        Ok(Key { keyed, typ: None, kid: None, header: Vec::from_array(PLAIN_HEADER) })
    }

    /// The same key, for tokens of exactly this type (RFC 7515 §4.1.9, RFC 8725 §3.11), such as `at+jwt`.
    ///
    /// Types are compared without regard to case or to a leading `application/`. At most [`TYPE_LEN_MAX`] bytes.
    ///
    /// # Errors
    ///
    /// [`KeyError::InvalidType`] when it is empty, too long, or not a media type.
    pub fn with_type(mut self, typ: &str) -> Result<Key, KeyError> {
        let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+/".contains(&b);
        if typ.is_empty() || !typ.bytes().all(is_allowed) {
            return Err(KeyError::InvalidType);
        }
        self.typ = Some(String::try_from(typ).map_err(|_| KeyError::InvalidType)?);
        self.encode_header().ok_or(KeyError::InvalidType)?;
        Ok(self)
    }

    /// The same key under an id (RFC 7515 §4.1.4): it signs tokens that carry the id and accepts only those.
    ///
    /// At most [`KID_LEN_MAX`] visible ASCII characters, without `"` and `\`, so that it never needs escaping.
    ///
    /// # Errors
    ///
    /// [`KeyError::InvalidKid`] when it is empty, too long, or has another character.
    pub fn with_kid(mut self, kid: &str) -> Result<Key, KeyError> {
        let is_allowed = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
        if kid.is_empty() || !kid.bytes().all(is_allowed) {
            return Err(KeyError::InvalidKid);
        }
        self.kid = Some(String::try_from(kid).map_err(|_| KeyError::InvalidKid)?);
        self.encode_header().ok_or(KeyError::InvalidKid)?;
        Ok(self)
    }

    /// The key id, if it has one.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The encoded header of every token this key signs, with the dot after it.
    pub(crate) fn header(&self) -> &[u8] {
        &self.header
    }

    /// HMAC-SHA256 of a signing input. The clone starts from midstates, which spares two of the hash's blocks.
    ///
    /// Kept apart, so that the hash's buffers are on the stack only meanwhile.
    #[inline(never)]
    pub(crate) fn tag(&self, signing_input: &[u8]) -> [u8; TAG_LEN] {
        let mut keyed = self.keyed.clone();
        let mut buffer = Buffer::<HmacCore<Sha256>>::default();
        buffer.digest_blocks(signing_input, |blocks| keyed.update_blocks(blocks));
        let mut tag = [0; TAG_LEN];
        keyed.finalize_fixed_core(&mut buffer, (&mut tag).into());
        tag
    }

    /// Whether the signature of a signing input is this.
    ///
    pub(crate) fn has_signed(&self, signing_input: &[u8], signature: &[u8]) -> bool {
        is_encoded_as(&self.tag(signing_input), signature)
    }

    /// Whether a token of this `kid` is this key's; one without is only for a key without.
    pub(crate) fn answers_to(&self, kid: Option<&[u8]>) -> bool {
        self.kid().map(str::as_bytes) == kid
    }

    /// Whether a token of this `typ` is one of those the key is for.
    pub(crate) fn accepts_type(&self, typ: Option<&[u8]>) -> bool {
        match (self.typ.as_deref(), typ) {
            (None, None) => true,
            (Some(_), None) => false,
            (expected, Some(typ)) => header::is_same_type(typ, expected.unwrap_or("JWT").as_bytes()),
        }
    }

    /// There is room for the longest type and key id, so this fails only if that is not so: by a bug, not an input.
    fn encode_header(&mut self) -> Option<()> {
        let typ = self.typ.as_deref().unwrap_or("JWT");
        let (kid_name, kid) = self.kid.as_deref().map_or(("", ""), |kid| (r#"","kid":""#, kid));
        self.header.clear();
        for part in [r#"{"alg":"HS256","typ":""#, typ, kid_name, kid, r#""}"#] {
            self.header.extend_from_slice(part.as_bytes()).ok()?;
        }
        let json_len = self.header.len();
        self.header.resize_default(base64url::encoded_len(json_len)).ok()?;
        base64url::encode_in_place(&mut self.header, json_len)?;
        self.header.push(b'.').ok()
    }
}

/// Whether a tag becomes these characters. Kept apart, so that the characters are on the stack only meanwhile.
#[inline(never)]
fn is_encoded_as(tag: &[u8; TAG_LEN], signature: &[u8]) -> bool {
    let mut encoded = [0; SIGNATURE_LEN + 1];
    encode_tag(tag, &mut encoded);
    let [expected @ .., _] = &encoded;
    is_equal(expected, signature)
}

/// A tag in base64url, in a time that does not depend on it; and a character more, which stands for nothing.
#[inline(never)]
pub(crate) fn encode_tag(tag: &[u8; TAG_LEN], encoded: &mut [u8; SIGNATURE_LEN + 1]) {
    // With a zero after it the tag is a whole number of triples, which spares the encoder its other half, and comes to
    // the same characters with one too many.
    let mut triples = [0; TAG_LEN + 1];
    triples.iter_mut().zip(tag).for_each(|(place, &byte)| *place = byte);
    // The length always fits; and if it ever did not, the signature would be one that nobody accepts.
    let _ = Base64UrlUnpadded::encode(&triples, encoded);
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
            let header = key.header().strip_suffix(b".").unwrap();
            let len = base64url::decode(header, &mut json).unwrap();
            json.truncate(len);
            std::string::String::from_utf8(json).unwrap()
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
        assert!(size_of::<Key>() <= 340, "{}", size_of::<Key>());
    }
}
