//! What can go wrong for a caller: offline, signed out, refused, or something at home.

use std::fmt;

use crate::ureq::{AddressError, Response, StoreError};

/// Why a call brought no result. Only [`SignedOut`](Self::SignedOut) means that a person has to sign in
/// again.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// Offline: no answer, or none of the server's own (a captive portal, a proxy's error page). The session
    /// is kept.
    Network(String),
    /// The server is there and asks for patience. The session is kept.
    Busy {
        /// How long it asked for, if it said.
        retry_after_secs: Option<u32>,
    },
    /// Nobody is signed in.
    SignedOut {
        /// The server's word for why, when it ended the session: `session_revoked`, `session_expired`, …
        code: Option<String>,
    },
    /// The server answered with a status other than 2xx, a second 401 included. The session is kept.
    Refused(Response),
    /// The address is not one that tokens may go to.
    Address(AddressError),
    /// The session could not be read or kept.
    Store(StoreError),
    /// The answer is longer than the client is ready to hold.
    TooLong,
    /// A value could not be written as JSON, or an answer could not be read as the JSON it should be.
    Json(String),
    /// What was given as a content type cannot stand in a header field.
    ContentType,
    /// The operating system has no random bytes to give.
    Entropy,
}

impl Error {
    /// The refusal of an authentication endpoint: patience is asked for with 429 and 503, the rest is final.
    pub(super) fn of_auth(response: Response) -> Self {
        match (response.problem(), response.status()) {
            (None, _) => Self::foreign(&response),
            (Some(_), 429 | 503) => Self::Busy { retry_after_secs: response.retry_after_secs() },
            (Some(_), _) => Self::Refused(response),
        }
    }

    /// An answer that Latchkey did not write.
    pub(super) fn foreign(response: &Response) -> Self {
        let status = response.status();
        Self::Network(format!("something else than the server answered, with status {status}"))
    }

    /// The server's own word for the refusal or the end of the session.
    pub fn code(&self) -> Option<String> {
        match self {
            Self::SignedOut { code } => code.clone(),
            Self::Refused(response) => response.problem().map(|problem| problem.code),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(reason) => write!(f, "no answer from the server ({reason})"),
            Self::Busy { retry_after_secs: Some(secs) } => write!(f, "the server asks to wait {secs} s"),
            Self::Busy { retry_after_secs: None } => f.write_str("the server is busy"),
            Self::SignedOut { code: None } => f.write_str("not signed in"),
            Self::SignedOut { code: Some(code) } => write!(f, "signed out by the server ({code})"),
            Self::Refused(response) => match response.problem() {
                Some(problem) => write!(f, "refused with status {} ({})", response.status(), problem.code),
                None => write!(f, "refused with status {}", response.status()),
            },
            Self::Address(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::TooLong => f.write_str("the answer is too long"),
            Self::Json(reason) => write!(f, "not the expected JSON: {reason}"),
            Self::ContentType => f.write_str("not a content type: write one such as application/json"),
            Self::Entropy => f.write_str("the operating system gives no random bytes"),
        }
    }
}

impl std::error::Error for Error {}

impl From<AddressError> for Error {
    fn from(error: AddressError) -> Self {
        Self::Address(error)
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
