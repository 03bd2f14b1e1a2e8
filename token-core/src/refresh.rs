//! The refresh token: which session, which generation, and a tag that proves we issued it.
//!
//! ```text
//! byte   0     1     2         18           22                    54
//!        +-----+-----+---------+------------+---------------------+
//!        | ver | kid | session | generation | tag                 |
//!        +-----+-----+---------+------------+---------------------+
//!          u8    u8    16        u32, BE      HMAC-SHA256, 32
//! ```
//!
//! The tag is over `"rt1"` and the 22 bytes before it. 54 bytes make 72 characters with no bit to spare, so a token
//! has one spelling.

use core::fmt;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use heapless::{String, Vec};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::key::TAG_LEN;
use crate::verify::is_equal;

const VERSION: u8 = 1;
/// Keeps a tag from being one of anything else that is ever signed with the same key.
const PURPOSE: &[u8] = b"rt1";
const BODY_LEN: usize = 1 + 1 + 16 + 4;
const TOKEN_LEN: usize = BODY_LEN + TAG_LEN;
/// SHA-256 takes 64 bytes at a time, and HMAC pads its key to that (RFC 2104 §2).
const HMAC_BLOCK_LEN: usize = 64;

/// The secret that refresh tokens are tagged with; wiped when dropped, and never shown.
///
/// Derive it for this purpose alone: not the secret of a [`Key`](crate::Key).
#[derive(Clone)]
pub struct RefreshKey {
    keyed: Hmac<Sha256>,
}

impl RefreshKey {
    /// A key from 32 random bytes.
    pub fn new(secret: &[u8; 32]) -> Self {
        let mut block = Zeroizing::new([0; HMAC_BLOCK_LEN]);
        block.iter_mut().zip(secret).for_each(|(place, byte)| *place = *byte);
        RefreshKey { keyed: Hmac::new((&*block).into()) }
    }

    fn tag(&self, body: &[u8]) -> [u8; TAG_LEN] {
        self.keyed.clone().chain_update(PURPOSE).chain_update(body).finalize().into_bytes().into()
    }
}

impl fmt::Debug for RefreshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshKey").finish_non_exhaustive()
    }
}

/// What a refresh token says, once its tag has been found right (RFC 9700 §4.14.2).
///
/// ```
/// use token_core::{RefreshKey, RefreshToken, RefreshTokenError};
///
/// let key = RefreshKey::new(&[7; 32]);
/// let token = RefreshToken { kid: 0, session: [1; 16], generation: 5 };
/// let text = token.encode(&key);
///
/// let key_of = |kid: u8| (kid == 0).then_some(&key);
/// assert_eq!(RefreshToken::decode(&text, key_of), Ok(token));
/// assert_eq!(RefreshToken::decode("x".repeat(72), key_of), Err(RefreshTokenError::Malformed));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RefreshToken {
    /// Which key the tag was made with.
    pub kid: u8,
    /// The session that the token continues.
    pub session: [u8; 16],
    /// How many times the session had been rotated when the token was issued.
    pub generation: u32,
}

impl RefreshToken {
    /// Length of every refresh token, in characters.
    pub const LEN: usize = TOKEN_LEN / 3 * 4;

    /// The token as it is given to the client: a secret from here on.
    pub fn encode(&self, key: &RefreshKey) -> String<{ RefreshToken::LEN }> {
        let body = self.body();
        let tag = key.tag(&body);
        let mut bytes = Zeroizing::new([0; TOKEN_LEN]);
        bytes.iter_mut().zip(body.iter().chain(&tag)).for_each(|(place, byte)| *place = *byte);
        let mut text = Vec::from_array([0; RefreshToken::LEN]);
        // 54 bytes always become 72 characters of ASCII. Were it otherwise, the token would be one nobody accepts.
        match Base64UrlUnpadded::encode(&*bytes, &mut text) {
            Ok(_) => String::from_utf8(text).unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    /// Reads a token back; `key_of` finds the key of a `kid`. The tag is compared in constant time.
    ///
    /// A forged token costs one HMAC at most, and no look at any store.
    ///
    /// # Errors
    ///
    /// [`RefreshTokenError`] tells a log what was wrong. None of it helps to forge a token, but there is no reason to
    /// tell the client more than that the token is invalid (RFC 6749 §5.2, `invalid_grant`).
    pub fn decode<'k>(
        text: impl AsRef<[u8]>,
        key_of: impl FnOnce(u8) -> Option<&'k RefreshKey>,
    ) -> Result<RefreshToken, RefreshTokenError> {
        let text: &[u8; RefreshToken::LEN] =
            text.as_ref().try_into().map_err(|_| RefreshTokenError::Malformed)?;
        let mut bytes = Zeroizing::new([0; TOKEN_LEN]);
        Base64UrlUnpadded::decode(text, &mut *bytes).map_err(|_| RefreshTokenError::Malformed)?;
        let (body, tag) = bytes.split_first_chunk::<BODY_LEN>().ok_or(RefreshTokenError::Malformed)?;
        let token = RefreshToken::from_body(body).ok_or(RefreshTokenError::Malformed)?;
        let key = key_of(token.kid).ok_or(RefreshTokenError::UnknownKey)?;
        if is_equal(&key.tag(body), tag) { Ok(token) } else { Err(RefreshTokenError::BadTag) }
    }

    fn body(&self) -> [u8; BODY_LEN] {
        let generation = self.generation.to_be_bytes();
        let fields = [VERSION, self.kid].into_iter().chain(self.session).chain(generation);
        let mut body = [0; BODY_LEN];
        body.iter_mut().zip(fields).for_each(|(place, byte)| *place = byte);
        body
    }

    fn from_body(body: &[u8; BODY_LEN]) -> Option<Self> {
        let (&[VERSION, kid], fields) = body.split_first_chunk()? else { return None };
        let (&session, generation) = fields.split_first_chunk()?;
        let generation = u32::from_be_bytes(*generation.first_chunk()?);
        Some(RefreshToken { kid, session, generation })
    }
}

/// Why a text is not a refresh token of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RefreshTokenError {
    /// Not 72 characters of base64url, or of another version.
    Malformed,
    /// No key of this `kid`.
    UnknownKey,
    /// The key did not make this tag.
    BadTag,
}

impl fmt::Display for RefreshTokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RefreshTokenError::Malformed => "the refresh token is malformed",
            RefreshTokenError::UnknownKey => "there is no key for the refresh token",
            RefreshTokenError::BadTag => "the refresh token's tag is wrong",
        })
    }
}

impl core::error::Error for RefreshTokenError {}
