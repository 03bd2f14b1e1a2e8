//! The durable half of the rules: the refresh token, its retry key, and when the token may first be sent.

use core::fmt;
use core::str;

use zeroize::Zeroizing;

use crate::{Moment, Outcome};

/// Characters of a refresh token: 54 bytes in base64url, without padding.
pub const REFRESH_TOKEN_LEN: usize = 72;

/// Characters of a retry key as made here: 16 random bytes in hexadecimal.
pub const RETRY_KEY_LEN: usize = 32;

/// How long after an abandoned attempt the next refresh waits, in seconds.
///
/// It is the life of a request: 10 s that a client waits and 5 s that a server may still hold it. After that
/// no stray duplicate can arrive, and two rotations never happen while one is under way.
pub const QUIET_SECS: u32 = 15;

/// A refresh token, opaque but for its form. Overwritten when dropped, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshToken(Zeroizing<[u8; REFRESH_TOKEN_LEN]>);

/// The value of `Idempotency-Key`: tells a server that two requests with one token are one refresh.
///
/// It gives the current child of a spent token to whoever holds both, so it is treated like a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct RetryKey(Zeroizing<[u8; RETRY_KEY_LEN]>);

/// The text does not have the form of the credential it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Whether a refresh token may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a token sent too early can cost the session"]
pub enum Prepared {
    /// Write the grant down, then send its token with its key.
    Send,
    /// An abandoned attempt of the token before may still be travelling: ask again at this moment.
    Wait(Moment),
}

/// What survives a restart: a refresh token and what is known about the attempts made with it.
///
/// One rule carries property (a) of the protocol, that no honest client is signed out by a lost answer: **a
/// grant is written to stable storage between [`prepare`](Self::prepare) and the sending of its token**, and
/// again after [`finished`](Self::finished). Whatever breaks off in between, the next attempt shows the same
/// token with the same key and gets the same child.
///
/// ```text
///            prepare                              renewed with the same token, or failed
///  unsent ─────────────► key made, unanswered ───────────────────────────► key made, answered
///    ▲                      │        ▲    │ found at a start                       │
///    │                      │        │    └──► counts as abandoned                 │
///    │                      │        └─────────────────── prepare ────────────────┘
///    └──── renewed with a different token: the key is dropped
/// ```
///
/// Only the arrow out of *unsent* ever waits, until [`QUIET_SECS`] after the last abandoned attempt. Sending
/// a token again with its own key is a retry of one and the same refresh and never waits.
#[derive(Clone)]
pub struct Grant {
    token: RefreshToken,
    retry_key: Option<RetryKey>,
    unanswered: bool,
    quiet_until: Moment,
}

impl Grant {
    /// The grant of a fresh sign-in.
    pub fn new(token: RefreshToken) -> Self {
        Self { token, retry_key: None, unanswered: false, quiet_until: Moment::default() }
    }

    /// A grant as it was written down.
    pub fn restored(
        token: RefreshToken,
        retry_key: Option<RetryKey>,
        unanswered: bool,
        quiet_until: Moment,
    ) -> Self {
        Self { token, retry_key, unanswered, quiet_until }
    }

    /// Gets ready to send the token. `fresh` becomes its retry key if it has none yet.
    pub fn prepare(&mut self, fresh: RetryKey, now: Moment) -> Prepared {
        if self.unanswered {
            // Whoever sent it did not live to see the answer. When that was is unknown, so it counts as now.
            self.quiet_until = now.plus_secs(QUIET_SECS);
        } else if self.retry_key.is_none() && now < self.quiet_until {
            return Prepared::Wait(self.quiet_until);
        }
        self.retry_key.get_or_insert(fresh);
        self.unanswered = true;
        Prepared::Send
    }

    /// Takes in how the attempt ended.
    pub fn finished(&mut self, outcome: &Outcome, now: Moment) {
        self.unanswered = false;
        if outcome.is_abandoned() {
            self.quiet_until = now.plus_secs(QUIET_SECS);
        }
        if let Outcome::Renewed { token, .. } = outcome
            && *token != self.token
        {
            self.token = token.clone();
            self.retry_key = None;
        }
    }

    /// The refresh token in force.
    pub fn token(&self) -> &RefreshToken {
        &self.token
    }

    /// The retry key of that token, if the token was ever about to be sent.
    pub fn retry_key(&self) -> Option<&RetryKey> {
        self.retry_key.as_ref()
    }

    /// Whether the token was sent, or was about to be, and how that ended is not known.
    pub fn unanswered(&self) -> bool {
        self.unanswered
    }

    /// The moment before which a token that was never sent must not be sent.
    pub fn quiet_until(&self) -> Moment {
        self.quiet_until
    }
}

impl RefreshToken {
    /// Reads a refresh token.
    ///
    /// # Errors
    /// [`Malformed`] for anything but [`REFRESH_TOKEN_LEN`] characters of base64url (RFC 4648 §5).
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let base64url = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        match text.as_bytes().try_into() {
            Ok(bytes) if text.bytes().all(|byte| base64url(&byte)) => Ok(Self(Zeroizing::new(bytes))),
            _ => Err(Malformed),
        }
    }

    /// The token as it is sent. This is the secret: it belongs in a request and in the session store, nowhere
    /// else.
    pub fn as_str(&self) -> &str {
        ascii(self.0.as_slice())
    }
}

impl RetryKey {
    /// A key of 16 random bytes.
    pub fn from_random(random: [u8; RETRY_KEY_LEN / 2]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = Zeroizing::new([0; RETRY_KEY_LEN]);
        for (pair, byte) in text.chunks_exact_mut(2).zip(random) {
            pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        Self(text)
    }

    /// Reads a key that was written down.
    ///
    /// # Errors
    /// [`Malformed`] for anything but [`RETRY_KEY_LEN`] visible ASCII characters.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        match text.as_bytes().try_into() {
            Ok(bytes) if text.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(Self(Zeroizing::new(bytes))),
            _ => Err(Malformed),
        }
    }

    /// The key as it is sent.
    pub fn as_str(&self) -> &str {
        ascii(self.0.as_slice())
    }
}

fn ascii(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).expect("both constructors accept ASCII only")
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshToken(..)")
    }
}

impl fmt::Debug for RetryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RetryKey(..)")
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("has_retry_key", &self.retry_key.is_some())
            .field("unanswered", &self.unanswered)
            .field("quiet_until", &self.quiet_until)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not in the form of a credential")
    }
}

impl core::error::Error for Malformed {}

#[cfg(test)]
mod tests;
