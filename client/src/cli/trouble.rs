//! What went wrong, in words that say what to do, and the exit status that goes with it.

use std::process::ExitCode;

use crate::Error;

use super::show::Show;

/// A message for a person, and a kind and a status for a script.
pub(crate) struct Trouble {
    kind: Kind,
    code: Option<String>,
    message: String,
}

/// What a script can do about it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Nothing by itself.
    Failed = 1,
    /// Have somebody sign in.
    SignedOut = 3,
    /// Try again later; nothing was lost.
    Offline = 4,
}

impl Trouble {
    pub(super) fn new(message: String) -> Self {
        Self { kind: Kind::Failed, code: None, message }
    }

    /// Whether trying again later is of no use.
    pub(super) fn is_final(&self) -> bool {
        self.kind == Kind::SignedOut
    }

    /// Prints the message and gives the status.
    pub(crate) fn report(&self, show: Show) -> ExitCode {
        let kind = match self.kind {
            Kind::Failed => "failed",
            Kind::SignedOut => "signed_out",
            Kind::Offline => "offline",
        };
        show.trouble(kind, self.code.as_deref(), &self.message);
        ExitCode::from(self.kind as u8)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::SignedOut { .. } => Kind::SignedOut,
            Error::Network(_) | Error::Busy { .. } => Kind::Offline,
            _ => Kind::Failed,
        };
        let code = error.code();
        let message = match &error {
            Error::SignedOut { .. } => format!("{error}: latchkey-client login URL --user NAME"),
            Error::Network(_) => {
                format!("{error}: is it running, and is this machine online? The session is kept; try again")
            }
            Error::Busy { .. } => format!("{error}: try again later"),
            Error::Refused(_) if code.as_deref() == Some("invalid_credentials") => {
                "the name or the password is wrong".to_owned()
            }
            Error::Refused(response) if response.status() == 401 => format!(
                "{error}, although the token is fresh: does this server trust the one that was signed in to?"
            ),
            _ => error.to_string(),
        };
        Self { kind, code, message }
    }
}
