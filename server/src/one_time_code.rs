//! One-time codes: whoever shows one may choose a password, as the first administrator or in place of one that was lost.
//!
//! A code says until when it is good and carries a MAC over that and over what it is for. Nothing of it is stored: a
//! code for a user is bound to the user's epoch, which moves on when the password is chosen, and the one for the first
//! administrator is good only while nobody is there. Both are bound to the store's era, which a restore ends.

use std::fmt;

use base64ct::{Base64UrlUnpadded, Encoding};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::time::UnixMillis;
use crate::user::UserId;

/// Seconds a code is good for.
pub const LIFE_SECS: u64 = 15 * 60;

/// Bytes of the MAC that a code carries. Guessing is throttled like that of passwords.
const TAG_LEN: usize = 12;

/// Bytes of the second of Unix time at which a code expires.
const EXPIRY_LEN: usize = 4;

/// What a code lets its holder do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// Become the first administrator.
    SetUp,
    /// Choose a password for this user, once in this epoch.
    Reset {
        /// Whose.
        user: UserId,
        /// The user's `auth_epoch` when the code was made.
        epoch: u32,
    },
}

/// What the codes of a store are bound to: a restore begins another era, and with it ends every code made before, also
/// those whose user has gone back to an earlier epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Era(pub [u8; 8]);

/// The key of codes, derived from a master key.
#[derive(Clone)]
pub struct CodeKey(Hmac<Sha256>);

impl fmt::Debug for CodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodeKey(..)")
    }
}

impl CodeKey {
    pub(crate) fn new(keyed: Hmac<Sha256>) -> Self {
        Self(keyed)
    }

    /// A new code, 22 base64url characters, and the second of Unix time at which it expires.
    pub fn issue(&self, era: Era, purpose: Purpose, now: UnixMillis) -> (String, u64) {
        let expiry = u32::try_from(now.as_secs() + LIFE_SECS).unwrap_or(u32::MAX).to_be_bytes();
        let mut code = [0; EXPIRY_LEN + TAG_LEN];
        let (first, last) = code.split_at_mut(EXPIRY_LEN);
        first.copy_from_slice(&expiry);
        last.copy_from_slice(&self.mac(era, purpose, expiry).finalize().into_bytes()[..TAG_LEN]);
        (Base64UrlUnpadded::encode_string(&code), u32::from_be_bytes(expiry).into())
    }

    /// Whether `code` is one of this key, for this purpose, and not expired; compared in constant time.
    ///
    /// One that would live longer than codes do was made while the clock was ahead, and is refused too.
    pub fn accepts(&self, code: &str, era: Era, purpose: Purpose, now: UnixMillis) -> bool {
        let mut room = [0; EXPIRY_LEN + TAG_LEN];
        let decoded = Base64UrlUnpadded::decode(code, &mut room).ok();
        let Some((expiry, tag)) = decoded.and_then(|code| code.split_first_chunk()) else { return false };
        let is_ours =
            tag.len() == TAG_LEN && self.mac(era, purpose, *expiry).verify_truncated_left(tag).is_ok();
        let left = u64::from(u32::from_be_bytes(*expiry)).saturating_sub(now.as_secs());
        is_ours && (1..=LIFE_SECS).contains(&left)
    }

    fn mac(&self, Era(era): Era, purpose: Purpose, expiry: [u8; EXPIRY_LEN]) -> Hmac<Sha256> {
        let mac = self.0.clone().chain_update(expiry).chain_update(era);
        match purpose {
            Purpose::SetUp => mac.chain_update(b"set-up"),
            Purpose::Reset { user, epoch } => mac
                .chain_update(b"reset")
                .chain_update(user.0.to_be_bytes())
                .chain_update(epoch.to_be_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use hmac::KeyInit;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
    const ERA: Era = Era([1; 8]);
    const ALICE: Purpose = Purpose::Reset { user: UserId(1), epoch: 7 };

    fn key(secret: u8) -> CodeKey {
        CodeKey::new(Hmac::new_from_slice(&[secret; 32]).expect("HMAC accepts keys of any length"))
    }

    #[test]
    fn a_code_is_good_for_its_purpose_and_no_other() {
        let (code, _) = key(1).issue(ERA, ALICE, NOW);
        assert_eq!(code.len(), 22);
        assert!(key(1).accepts(&code, ERA, ALICE, NOW));
        for other in [
            Purpose::SetUp,
            Purpose::Reset { user: UserId(2), epoch: 7 },
            Purpose::Reset { user: UserId(1), epoch: 8 },
        ] {
            assert!(!key(1).accepts(&code, ERA, other, NOW), "{other:?}");
        }
        assert!(!key(2).accepts(&code, ERA, ALICE, NOW));
    }

    #[test]
    fn a_code_is_good_in_its_era_and_in_no_other() {
        let (code, _) = key(1).issue(ERA, ALICE, NOW);
        assert!(key(1).accepts(&code, ERA, ALICE, NOW));
        assert!(!key(1).accepts(&code, Era([2; 8]), ALICE, NOW));
    }

    #[test]
    fn a_code_made_while_the_clock_was_ahead_is_none_until_it_would_have_been_made() {
        let (code, _) = key(1).issue(ERA, ALICE, NOW.plus_secs(1));
        assert!(!key(1).accepts(&code, ERA, ALICE, NOW));
        assert!(key(1).accepts(&code, ERA, ALICE, NOW.plus_secs(1)));
    }

    #[test]
    fn a_code_is_good_for_a_quarter_of_an_hour() {
        let (code, expires) = key(1).issue(ERA, Purpose::SetUp, NOW);
        assert_eq!(expires, NOW.as_secs() + 900);
        assert!(key(1).accepts(&code, ERA, Purpose::SetUp, UnixMillis::from_secs(expires - 1)));
        assert!(!key(1).accepts(&code, ERA, Purpose::SetUp, UnixMillis::from_secs(expires)));
    }

    #[test]
    fn a_code_with_any_character_changed_added_or_missing_is_none() {
        let (code, _) = key(1).issue(ERA, ALICE, NOW);
        for place in 0..code.len() {
            let mut other = code.clone().into_bytes();
            other[place] = if other[place] == b'A' { b'B' } else { b'A' };
            let other = String::from_utf8(other).unwrap();
            assert!(!key(1).accepts(&other, ERA, ALICE, NOW), "{other}");
            assert!(!key(1).accepts(&code[..place], ERA, ALICE, NOW));
        }
        assert!(!key(1).accepts(&format!("{code}A"), ERA, ALICE, NOW));
        assert!(!key(1).accepts(&format!("{code}AA"), ERA, ALICE, NOW));
    }
}
