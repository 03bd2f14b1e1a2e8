//! What the client does, as it does it: one line for each request and each answer, and never a secret.

use std::fmt;

use crate::Advice;
use crate::ureq::StoreError;

/// Something that happened. Its `Display` is one line.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A request leaves.
    Request {
        /// Its method.
        method: &'a str,
        /// Its path, without the query: that may hold what is nobody's business.
        path: &'a str,
    },
    /// An answer came.
    Answer {
        /// Its status.
        status: u16,
        /// The code of its problem document, if it is one of Latchkey's.
        code: Option<&'a str>,
        /// The advice in it.
        advice: Option<Advice>,
    },
    /// A log-in succeeded.
    SignedIn {
        /// Who it is.
        user: &'a str,
        /// How long the access token lasts.
        expires_in_secs: u32,
    },
    /// A refresh succeeded.
    Renewed {
        /// Whether the refresh token is a new one, or, within the grace period, the same.
        rotated: bool,
        /// How long the access token lasts.
        expires_in_secs: u32,
    },
    /// No answer came.
    NoAnswer {
        /// Why.
        reason: &'a str,
    },
    /// The client waits before it goes on.
    Waiting {
        /// For how long.
        millis: u64,
    },
    /// The session could not be kept. It goes on; a restart would take it up where it was last kept.
    NotKept {
        /// Why.
        error: &'a StoreError,
    },
}

impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request { method, path } => write!(f, "→ {method} {path}"),
            Self::Answer { status, code, advice } => {
                write!(f, "← {status}")?;
                if let Some(code) = code {
                    write!(f, " {code}")?;
                }
                advice.map_or(Ok(()), |advice| write!(f, " (action {})", advice.as_str()))
            }
            Self::SignedIn { user, expires_in_secs } => {
                write!(f, "← 200 signed in as {user}, access token for {expires_in_secs} s")
            }
            Self::Renewed { rotated, expires_in_secs } => {
                let how = if *rotated { "rotated" } else { "not rotated" };
                write!(f, "← 200 {how}, access token for {expires_in_secs} s")
            }
            Self::NoAnswer { reason } => write!(f, "← no answer ({reason})"),
            Self::Waiting { millis } => write!(f, "… waiting {}.{} s", millis / 1000, millis % 1000 / 100),
            Self::NotKept { error } => write!(f, "! session not kept: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line() {
        let refusal =
            Event::Answer { status: 401, code: Some("invalid_token"), advice: Some(Advice::Refresh) };
        assert_eq!(refusal.to_string(), "← 401 invalid_token (action refresh)");
        assert_eq!(Event::Answer { status: 200, code: None, advice: None }.to_string(), "← 200");
        let renewed = Event::Renewed { rotated: true, expires_in_secs: 600 };
        assert_eq!(renewed.to_string(), "← 200 rotated, access token for 600 s");
        assert_eq!(Event::Waiting { millis: 1_450 }.to_string(), "… waiting 1.4 s");
    }
}
