//! The access token, which is in memory only, and when it expires.

use std::fmt;

use zeroize::Zeroizing;

use crate::Moment;

/// An access token. Overwritten when dropped, never printed.
#[derive(Clone, Default)]
pub struct AccessToken {
    text: Zeroizing<String>,
    deadline: Moment,
}

impl AccessToken {
    /// The deadline counts from the sending of the request, so it is never later than the server's.
    pub(super) fn new(text: Zeroizing<String>, expires_in_secs: u32, sent_at: Moment) -> Self {
        Self { text, deadline: sent_at.plus_secs(expires_in_secs) }
    }

    /// The token as it is sent, after `Authorization: Bearer` (RFC 6750 §2.1).
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Rounded down: what is left of a second is not worth a request.
    pub(super) fn expires_in_secs(&self, now: Moment) -> u64 {
        self.deadline.millis_left(now) / 1000
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(..)")
    }
}
