//! What went wrong, in words that say what to do, and the exit status that goes with it.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::Error;

const FAILED: u8 = 1;
const SIGNED_OUT: u8 = 3;

/// A message for a person and a status for a script.
pub(crate) struct Trouble {
    message: String,
    status: u8,
}

impl Trouble {
    pub(super) fn new(message: String) -> Self {
        Self { message, status: FAILED }
    }

    /// Whether trying again later is of no use.
    pub(super) fn is_final(&self) -> bool {
        self.status == SIGNED_OUT
    }

    /// Prints the message and gives the status.
    pub(crate) fn report(self) -> ExitCode {
        // There is nobody to tell that standard error is closed.
        drop(writeln!(io::stderr(), "latchkey-client: {}", self.message));
        ExitCode::from(self.status)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        let status = if matches!(error, Error::SignedOut { .. }) { SIGNED_OUT } else { FAILED };
        let code = error.code();
        let message = match &error {
            Error::SignedOut { .. } => format!("{error}: latchkey-client login URL --user NAME"),
            Error::Network(_) => {
                format!("{error}: is it running, and is this machine online? Nothing was lost; try again")
            }
            Error::Busy { .. } => format!("{error}: try again later"),
            Error::Refused(_) if code.as_deref() == Some("invalid_credentials") => {
                "the name or the password is wrong".to_owned()
            }
            Error::Refused(response) if response.status() == 401 => {
                format!(
                    "{error}, although the token is fresh: does this server trust the one that was signed in to?"
                )
            }
            _ => error.to_string(),
        };
        Self { message, status }
    }
}
