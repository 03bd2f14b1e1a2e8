//! The session rules: what one sign-in on one device remembers, and what a refresh token presented to it earns.
//!
//! Everything here is pure. The store hands in the record, the edge hands in the time, and [`decide`] answers with
//! data; the numbers in its comments are the rows of the decision table in ARCHITECTURE.md.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use base64ct::{Base64UrlUnpadded, Encoding};

use crate::time::{Now, UnixMillis};
use crate::user::{User, UserId};

/// Most sessions one user may have alive; signing in once more ends the one idle for longest.
pub const SESSIONS_PER_USER_MAX: usize = 64;

/// Longest client label in bytes of UTF-8.
pub const LABEL_LEN_MAX: usize = 28;

/// Names one session: the user's id (8 bytes, big endian), then 8 random bytes, so that the sessions of one user
/// stand side by side in the store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub [u8; 16]);

impl SessionId {
    /// Characters of a [handle](Self::handle).
    pub const HANDLE_LEN: usize = 22;

    /// The id of a new session of `user`.
    pub fn new(user: UserId, random: [u8; 8]) -> Self {
        Self((u128::from(user.0) << 64 | u128::from(u64::from_be_bytes(random))).to_be_bytes())
    }

    /// Whose session it is.
    pub fn user(self) -> UserId {
        UserId((u128::from_be_bytes(self.0) >> 64) as u64)
    }

    /// The random half of the id.
    pub(crate) fn random(self) -> u64 {
        u128::from_be_bytes(self.0) as u64
    }

    /// The lowest and the highest id a session of `user` can have.
    pub fn range_of(user: UserId) -> (Self, Self) {
        (Self::new(user, [0; 8]), Self::new(user, [0xff; 8]))
    }

    /// The id as people and URLs see it: 22 base64url characters, also the `sid` claim.
    pub fn handle(self) -> String {
        Base64UrlUnpadded::encode_string(&self.0)
    }

    /// Reads a handle back; `None` when it is not one.
    pub fn from_handle(handle: &str) -> Option<Self> {
        let mut id = [0; 16];
        let decoded = Base64UrlUnpadded::decode(handle, &mut id).ok()?;
        (decoded.len() == 16).then_some(Self(id))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.handle())
    }
}

/// What the store remembers of an `Idempotency-Key`: 16 bytes of its keyed hash.
///
/// A request without the header has none, and "none" matches nothing, not even another "none".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetryKey(pub [u8; 16]);

/// The record of one session: one sign-in on one device, and its whole line of refresh tokens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    /// The master key that issued the current refresh token.
    pub kid: u8,
    /// Whether another master key issued the token before the current one, which a client may still hold.
    pub follows_another_key: bool,
    /// Counts rotations; the refresh token with this number is the current one.
    pub generation: u32,
    /// The user's epoch at sign-in; when the user's has moved on, this session is revoked.
    pub auth_epoch: u32,
    /// When the user signed in.
    pub created: UnixMillis,
    /// When the session ends whatever happens.
    pub expires: UnixMillis,
    /// When the session ends unless it is refreshed before.
    pub idle_expires: UnixMillis,
    /// When the current refresh token was issued; sign-in counts as a rotation.
    pub rotated_at: UnixMillis,
    /// The retry keys of the last rotation and of the one before it.
    pub retry_keys: [Option<RetryKey>; 2],
    /// Where the session was last refreshed from.
    pub address: IpAddr,
    /// What the user signed in with, at most [`LABEL_LEN_MAX`] bytes.
    pub label: String,
}

/// The settings the decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Grace period for rotation in seconds; 0 disables rows 5 and 7.
    pub grace_secs: u64,
    /// Seconds a session lives without a refresh.
    pub inactivity_secs: u64,
    /// Seconds a session lives at most.
    pub lifetime_secs: u64,
}

impl Session {
    /// The record of a sign-in at `now`, with its first refresh token at generation 1.
    pub fn begin(user: &User, kid: u8, address: IpAddr, label: &str, now: Now, policy: &Policy) -> Self {
        // At a whole second, as the `exp` of its last access token has to be.
        let expires = UnixMillis::from_secs(now.latest.as_secs_rounded_up() + policy.lifetime_secs);
        Self {
            kid,
            follows_another_key: false,
            generation: 1,
            auth_epoch: user.auth_epoch,
            created: now.system,
            expires,
            idle_expires: now.latest.plus_secs(policy.inactivity_secs).min(expires),
            rotated_at: now.system,
            retry_keys: [None, None],
            address: address.to_canonical(),
            label: truncated(label, LABEL_LEN_MAX).to_owned(),
        }
    }

    /// When the session ends unless it is refreshed: the earlier of its two expiries.
    pub fn ends(&self) -> UnixMillis {
        self.expires.min(self.idle_expires)
    }

    /// Rows 2 and 3: whether the session has ended although its record is still there.
    ///
    /// Every reader asks this: refresh, the guard of access tokens, the lists.
    pub fn end_reason(&self, user: Option<&User>, now: Now) -> Option<EndReason> {
        if now.latest >= self.ends() || self.generation == u32::MAX {
            return Some(EndReason::Expired);
        }
        match user {
            Some(user) if !user.disabled && user.auth_epoch == self.auth_epoch => None,
            _ => Some(EndReason::Revoked),
        }
    }

    /// Whether an honest client may still hold a refresh token that key `kid` issued.
    pub fn needs_key(&self, kid: u8) -> bool {
        self.kid == kid || self.follows_another_key
    }

    /// Whether the last rotation is so recent that another request of the same client may have caused it. One in the
    /// future is too: the system clock was ahead when it was stamped.
    fn in_grace(&self, now: Now, policy: &Policy) -> bool {
        now.system.millis_since(self.rotated_at) < policy.grace_secs.saturating_mul(1000)
    }

    /// Whether the last rotation was stamped by a clock that was ahead. The next one gives it a right stamp.
    fn rotated_in_the_future(&self, now: Now, policy: &Policy) -> bool {
        self.rotated_at.millis_since(now.system) > policy.grace_secs.saturating_mul(1000)
    }

    fn rotated(
        &self,
        generation: u32,
        kid: u8,
        retry_keys: [Option<RetryKey>; 2],
        now: Now,
        policy: &Policy,
    ) -> Self {
        Self {
            kid,
            follows_another_key: kid != self.kid,
            generation,
            rotated_at: now.system,
            idle_expires: now.latest.plus_secs(policy.inactivity_secs).min(self.expires),
            retry_keys,
            ..self.clone()
        }
    }
}

/// What a refresh request presents, once the tag of its token has been checked.
#[derive(Clone, Copy, Debug)]
pub struct Presented {
    /// The generation written in the token.
    pub generation: u32,
    /// The retry key sent along, if any.
    pub retry_key: Option<RetryKey>,
    /// The master key a new token would be issued under.
    pub signing_kid: u8,
}

/// What a presented refresh token earns.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decision {
    /// Store this record and hand out its token.
    Rotate(Session, Rotation),
    /// Hand out the record's current token again; nothing is written.
    Repeat(Repetition),
    /// Give nothing and end nothing.
    Decline(Declined),
    /// The session is over: delete the record if there is one, commit, then refuse.
    End(EndReason),
}

/// Why a session rotates.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rotation {
    /// Row 6: the current token, grace over.
    Current,
    /// Row 4: a token ahead of the record, so the store lost a commit or came from a backup.
    Ahead,
}

/// Why the current token is handed out again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Repetition {
    /// Row 5: the caller already holds it; no cookie is sent.
    Unrotated,
    /// Row 7: the caller is one behind and in grace, so another tab won.
    Concurrent,
    /// Row 8: the caller is one behind and sent the retry key of the last rotation, so the answer was lost.
    Retried,
}

/// Why a request is turned away without harm to the session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Declined {
    /// Row 5a: the client uses one retry key for every refresh token.
    RetryKeyReused,
    /// Row 8a: a late duplicate of an honest request.
    Superseded,
}

/// Why a session is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EndReason {
    /// Row 1: no record; it was signed out, or ended before.
    Gone,
    /// Row 2: too old, idle for too long, or out of generations.
    Expired,
    /// Row 3: the user is gone, disabled, or was signed out everywhere.
    Revoked,
    /// Row 9: a spent token was presented, so two parties hold the line of tokens.
    Reused,
}

/// Decides what a refresh token with a valid tag earns. Row 0, the tag, comes before any look at the store.
pub fn decide(
    record: Option<&Session>,
    user: Option<&User>,
    presented: Presented,
    now: Now,
    policy: &Policy,
) -> Decision {
    let Presented { generation, retry_key, signing_kid } = presented;
    let Some(session) = record else {
        return Decision::End(EndReason::Gone); // row 1
    };
    if let Some(reason) = session.end_reason(user, now) {
        return Decision::End(reason); // rows 2 and 3
    }
    if generation == u32::MAX {
        return Decision::End(EndReason::Expired); // row 2: a token ahead, with no generation after it
    }

    let [last, before] = session.retry_keys;
    let in_grace = session.in_grace(now, policy);
    if generation > session.generation {
        let healed = session.rotated(generation + 1, signing_kid, [retry_key, None], now, policy);
        return Decision::Rotate(healed, Rotation::Ahead); // row 4
    }
    match session.generation - generation {
        0 if in_grace && !session.rotated_in_the_future(now, policy) => {
            Decision::Repeat(Repetition::Unrotated)
        } // row 5
        0 if same(retry_key, last) => Decision::Decline(Declined::RetryKeyReused), // row 5a
        0 => {
            let next = session.rotated(generation + 1, signing_kid, [retry_key, last], now, policy);
            Decision::Rotate(next, Rotation::Current) // row 6
        }
        1 if in_grace => Decision::Repeat(Repetition::Concurrent), // row 7
        1 if same(retry_key, last) => Decision::Repeat(Repetition::Retried), // row 8
        2 if same(retry_key, before) => Decision::Decline(Declined::Superseded), // row 8a
        _ => Decision::End(EndReason::Reused),                     // row 9
    }
}

/// Whether two retry keys are there and equal. They are keyed hashes, so timing tells an attacker nothing of use.
fn same(sent: Option<RetryKey>, remembered: Option<RetryKey>) -> bool {
    sent.is_some() && sent == remembered
}

/// An address as the 16 bytes the store keeps: IPv4 in the mapped form of RFC 4291 §2.5.5.2.
pub fn address_bytes(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// Reads the 16 bytes of [`address_bytes`] back.
pub fn address_from_bytes(bytes: [u8; 16]) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()
}

/// The longest start of `text` that fits in `len_max` bytes without cutting a character.
pub fn truncated(text: &str, len_max: usize) -> &str {
    let fits = text.char_indices().map(|(start, c)| start + c.len_utf8()).take_while(|&end| end <= len_max);
    &text[..fits.last().unwrap_or_default()]
}

#[cfg(test)]
mod tests;
