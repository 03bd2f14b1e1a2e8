//! What an administrator can tell the server: commands and answers as data, run the same way over an open store
//! whether they came through the control socket or the command line opened the store itself.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::command;
use crate::entropy;
use crate::hasher::Hasher;
use crate::password::{Password, Weakness};
use crate::store::{Store, StoreError};
use crate::user::{Name, NameError, Role, UserId};

/// A command.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Adds a user.
    AddUser {
        /// The name.
        name: String,
        /// What the user may do.
        role: Role,
        /// The first password.
        password: Password,
    },
    /// Gives a user another password and ends every session of the user.
    SetPassword {
        /// Whose.
        name: String,
        /// The new password.
        password: Password,
    },
    /// Disables a user, which ends every session of the user, or enables one again.
    SetDisabled {
        /// Whom.
        name: String,
        /// Which of the two.
        disabled: bool,
    },
    /// Deletes a user with every session.
    DeleteUser {
        /// Whom.
        name: String,
    },
    /// Lists the users.
    ListUsers,
}

/// What came of a command.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It is done.
    Done,
    /// The users, in the order of their names.
    Users(Vec<UserRow>),
}

/// A user in a list.
#[derive(Debug, Serialize, Deserialize)]
pub struct UserRow {
    /// The id, 16 hexadecimal digits: the `sub` claim.
    pub id: String,
    /// The name.
    pub name: String,
    /// What the user may do.
    pub role: Role,
    /// Whether the user is disabled.
    pub disabled: bool,
    /// Living sessions.
    pub sessions: usize,
    /// When the user was added, in seconds of Unix time.
    pub created: u64,
}

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
            Self::WeakPassword(reasons) => {
                let reasons: Vec<_> = reasons.iter().map(Weakness::to_string).collect();
                f.write_str(&reasons.join(", and "))
            }
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

impl From<NameError> for Refusal {
    fn from(error: NameError) -> Self {
        Self::BadName(error.to_string())
    }
}

impl From<crate::hasher::Busy> for Refusal {
    fn from(_: crate::hasher::Busy) -> Self {
        Self::Busy
    }
}

/// Runs a command.
///
/// # Errors
/// [`Refusal`]; then nothing has changed.
pub fn run(store: &Store, hasher: &Hasher, clock: &Clock, command: Command) -> Result<Answer, Refusal> {
    let now = clock.now();
    match command {
        Command::AddUser { name, role, password } => {
            let name: Name = name.parse()?;
            let password_hash = new_hash(hasher, &name, &password)?;
            let id = UserId(u64::from_ne_bytes(entropy::bytes()));
            let added =
                store.write(move |writes| command::add_user(writes, id, &name, role, password_hash, now))?;
            added.then_some(Answer::Done).ok_or(Refusal::NameTaken)
        }
        Command::SetPassword { name, password } => {
            let name: Name = name.parse()?;
            let password_hash = new_hash(hasher, &name, &password)?;
            change(store, move |writes| {
                command::change_user(writes, &name, now, |user| user.password_hash = password_hash)
            })
        }
        Command::SetDisabled { name, disabled } => {
            let name: Name = name.parse()?;
            change(store, move |writes| {
                command::change_user(writes, &name, now, |user| user.disabled = disabled)
            })
        }
        Command::DeleteUser { name } => {
            let name: Name = name.parse()?;
            change(store, move |writes| command::delete_user(writes, &name, now))
        }
        Command::ListUsers => {
            let users = store.read(|reads| {
                let mut rows = Vec::new();
                for (id, user) in reads.users()? {
                    let sessions = reads.sessions_of(id)?;
                    let alive = sessions.iter().filter(|(_, s)| s.end_reason(Some(&user), now).is_none());
                    rows.push(UserRow {
                        id: id.to_string(),
                        role: user.role,
                        disabled: user.disabled,
                        sessions: alive.count(),
                        created: user.created.as_secs(),
                        name: user.name,
                    });
                }
                Ok(rows)
            })?;
            Ok(Answer::Users(users))
        }
    }
}

fn new_hash(hasher: &Hasher, name: &Name, password: &Password) -> Result<crate::user::PasswordHash, Refusal> {
    let reasons = password.weaknesses(name);
    if !reasons.is_empty() {
        return Err(Refusal::WeakPassword(reasons));
    }
    Ok(hasher.hash(password)?)
}

/// Runs a command on one user, where `false` means that there is none.
fn change(
    store: &Store,
    command: impl FnOnce(&mut crate::store::Writes<'_>) -> Result<bool, StoreError> + Send + 'static,
) -> Result<Answer, Refusal> {
    store.write(command)?.then_some(Answer::Done).ok_or(Refusal::NoSuchUser)
}
