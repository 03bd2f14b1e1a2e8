//! How results look: words for people, or one JSON object a line for programs.

use std::io::{self, ErrorKind, IsTerminal, Write};

use serde_json::{Value, json};

use crate::{Error, Identity, Response};

use super::trouble::Trouble;

/// How to print.
#[derive(Clone, Copy)]
pub(super) enum Show {
    /// As words, and bodies as they came.
    Plain,
    /// As JSON.
    Json,
}

impl Show {
    pub(super) fn signed_in(self, identity: &Identity) -> Result<(), Trouble> {
        match self {
            Self::Plain => print(words(identity).as_bytes()),
            Self::Json => print_json(&object(identity)),
        }
    }

    pub(super) fn status(self, identity: Option<&Identity>) -> Result<(), Trouble> {
        match (self, identity) {
            (Self::Plain, Some(identity)) => {
                print(format!("{}session {}\n", words(identity), identity.session).as_bytes())
            }
            (Self::Plain, None) => Ok(()),
            (Self::Json, Some(identity)) => print_json(&object(identity)),
            (Self::Json, None) => print_json(&json!({"signed_in": false})),
        }?;
        // And a status that scripts can ask for.
        identity.map(|_| ()).ok_or_else(|| Error::SignedOut { code: None }.into())
    }

    pub(super) fn signed_out(self, was_signed_in: bool) -> Result<(), Trouble> {
        match (self, was_signed_in) {
            (Self::Plain, true) => print(b"signed out\n"),
            (Self::Plain, false) => print(b"not signed in\n"),
            (Self::Json, _) => print_json(&json!({"signed_in": false, "was_signed_in": was_signed_in})),
        }
    }

    pub(super) fn token(self, token: &str, secs_left: u64) -> Result<(), Trouble> {
        match self {
            Self::Plain => print(format!("{token}\n").as_bytes()),
            Self::Json => print_json(&json!({
                "access_token": token, "token_type": "Bearer", "expires_in": secs_left,
            })),
        }
    }

    /// A single answer goes to a file or a pipe byte for byte; people, and answers in a row, get whole lines.
    pub(super) fn answer(self, response: &Response, in_a_row: bool) -> Result<(), Trouble> {
        if let Self::Json = self {
            let body = response.json().unwrap_or_else(|_| Value::String(response.text().into_owned()));
            let content_type = response.content_type();
            return print_json(&json!({
                "status": response.status(), "content_type": content_type, "body": body,
            }));
        }
        print(response.body())?;
        let as_line = in_a_row || io::stdout().is_terminal();
        let is_line = response.body().is_empty() || response.body().ends_with(b"\n");
        if as_line && !is_line { print(b"\n") } else { Ok(()) }
    }

    /// One line of the trace.
    pub(super) fn event(self, line: &str) {
        // A reader that went away is no reason to stop.
        drop(match self {
            Self::Plain => writeln!(io::stderr(), "{line}"),
            Self::Json => writeln!(io::stderr(), "{}", json!({"trace": line})),
        });
    }

    /// A message about what went wrong.
    pub(super) fn trouble(self, kind: &str, code: Option<&str>, message: &str) {
        // There is nobody to tell that standard error is closed.
        drop(match self {
            Self::Plain => writeln!(io::stderr(), "latchkey-client: {message}"),
            Self::Json => {
                let error = json!({"error": kind, "code": code, "message": message});
                writeln!(io::stderr(), "{error}")
            }
        });
    }
}

fn words(identity: &Identity) -> String {
    format!("signed in to {} as {}\n", identity.origin, identity.user)
}

fn object(identity: &Identity) -> Value {
    let Identity { origin, user, session } = identity;
    json!({"signed_in": true, "server": origin.to_string(), "user": user, "session": session})
}

fn print_json(value: &Value) -> Result<(), Trouble> {
    print(format!("{value}\n").as_bytes())
}

fn print(bytes: &[u8]) -> Result<(), Trouble> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        // The reader has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| Trouble::new(format!("cannot write the answer: {error}"))),
    }
}
