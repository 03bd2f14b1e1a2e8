//! Why a command was refused, in words that say what to do.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::format_unix_secs;
use crate::hasher::Busy;
use crate::keys::KeyFileError;
use crate::password::Weakness;
use crate::reconcile::Broken;
use crate::settings::ACCESS_TTL_SECS_MAX;
use crate::store::{ReplacementError, StoreError};
use crate::user::NameError;

/// Why a command was refused.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The name is not valid, and why.
    BadName(String),
    /// There is a user of that name already.
    NameTaken,
    /// There is no user of that name.
    NoSuchUser,
    /// The password does not meet the rules.
    WeakPassword(Vec<Weakness>),
    /// There is no living session of that handle.
    NoSuchSession,
    /// The key cannot be changed, and why.
    Key(String),
    /// So many sessions still need the key.
    KeyNeeded(usize),
    /// Access tokens of the key may live until this second of Unix time, or until nobody knows when.
    TokensLive(Option<u64>),
    /// The key was taken from the store and is still in its file, and why.
    KeyStays(String),
    /// The audit log is broken, which retiring the key would hide.
    AuditBroken(Broken),
    /// The clock is not behind.
    ClockFine,
    /// So many commands are under way that one more has to wait.
    TooManyCommands,
    /// No server runs, of whom something was asked.
    NotServing,
    /// The command is none that the server knows.
    Unreadable,
    /// The backup was not made, and why.
    Backup(String),
    /// The store was not replaced, and why.
    Replacement(String),
    /// The password pool is full.
    Busy,
    /// The store refused, and what it said.
    Store(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadName(reason) => f.write_str(reason),
            Self::NameTaken => f.write_str("there is a user of that name already"),
            Self::NoSuchUser => f.write_str("there is no user of that name; `latchkey user list` shows all"),
            Self::WeakPassword(reasons) => f.write_str(&Weakness::describe(reasons)),
            Self::NoSuchSession => f.write_str("there is no such session; `latchkey session list` shows all"),
            Self::Key(reason) | Self::Backup(reason) | Self::Replacement(reason) => f.write_str(reason),
            Self::TokensLive(until) => {
                match until {
                    Some(secs) => {
                        write!(f, "access tokens of this key may live until {}", format_unix_secs(*secs))?;
                        write!(
                            f,
                            " ({ACCESS_TTL_SECS_MAX} s after it stopped signing, the longest they can)"
                        )?;
                    }
                    None => f.write_str("it is not known when this key stopped signing")?,
                }
                f.write_str("; wait, or say --even-if-tokens-live to refuse those that do from now on")
            }
            Self::KeyNeeded(sessions) => write!(
                f,
                "{sessions} living sessions may still hold refresh tokens of this key and would end; \
                 wait until they have refreshed twice, or say --force"
            ),
            Self::KeyStays(reason) => write!(
                f,
                "nothing needs the key any more, but it is still in its file: {reason}; run this again"
            ),
            Self::AuditBroken(broken) => write!(
                f,
                "{broken}, and retiring the key would hide that; see `latchkey audit verify`, and \
                 `latchkey audit seal` when you have seen enough"
            ),
            Self::TooManyCommands => {
                f.write_str("the server is at work on as many commands as it takes at once; try again")
            }
            Self::Unreadable => {
                f.write_str("the server does not know this command; is it of the same version?")
            }
            Self::NotServing => f.write_str("no server runs over this store"),
            Self::ClockFine => f.write_str("the system clock is not behind; there is nothing to accept"),
            Self::Busy => f.write_str("the server is checking too many passwords; try again"),
            Self::Store(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for Refusal {}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error.to_string())
    }
}

impl From<KeyFileError> for Refusal {
    fn from(error: KeyFileError) -> Self {
        Self::Key(error.to_string())
    }
}

impl From<ReplacementError> for Refusal {
    fn from(error: ReplacementError) -> Self {
        Self::Replacement(error.to_string())
    }
}

impl From<NameError> for Refusal {
    fn from(error: NameError) -> Self {
        Self::BadName(error.to_string())
    }
}

impl From<Busy> for Refusal {
    fn from(_: Busy) -> Self {
        Self::Busy
    }
}
