//! What an administrator can tell the server: commands and answers as data, run the same way over an open store
//! whether they came through the control socket or the command line opened the store itself.

mod keys;
mod lists;
mod refusal;
mod rows;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use self::lists::PAGE_LEN;
pub(crate) use self::lists::sessions_page;
pub use self::refusal::Refusal;
pub use self::rows::{AuditRow, KeyRow, ResetCode, SessionRow, Stats, UserRow, Verified};
use crate::audit::{Event, Log, Occurrence};
use crate::clock::Clock;
use crate::command::{self, NewUser};
use crate::day::Day;
use crate::entropy;
use crate::hasher::Hasher;
use crate::keys::KeyRing;
use crate::password::Password;
use crate::reconcile::{Because, Broken, reconcile};
use crate::restore::{self, Place, Restored};
use crate::session::{Session, SessionId};
use crate::settings::InForce;
use crate::store::{Contents, Progress, Reads, Replacement, Store, StoreError, Writes};
use crate::time::Now;
use crate::user::{Name, PasswordHash, Role, User, UserId};

/// A command.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
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
    /// Looks at a user.
    ShowUser {
        /// Whom.
        name: String,
    },
    /// Gives a user another role and ends every session of the user.
    SetRole {
        /// Whose.
        name: String,
        /// Which.
        role: Role,
    },
    /// Makes a one-time code with which a user can choose a password.
    IssueCode {
        /// Whom it is for.
        name: String,
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
    /// Lists users, a page of them.
    ListUsers {
        /// Only those behind this name.
        after: String,
    },
    /// Lists living sessions, a page of them.
    ListSessions {
        /// Of this user only.
        user: Option<String>,
        /// Only those behind this handle.
        after: Option<String>,
    },
    /// Ends a session.
    RevokeSession {
        /// Its handle.
        session: String,
    },
    /// Ends every session of a user.
    RevokeSessions {
        /// Whose.
        user: String,
    },
    /// Lists the master keys.
    ListKeys,
    /// Adds a master key, which is known and does not sign yet.
    AddKey,
    /// Lets a master key that was added sign.
    ActivateKey {
        /// Which.
        kid: u8,
    },
    /// Adds a master key, which signs from now on.
    RotateKey,
    /// Says which master keys are in use.
    FingerprintKeys,
    /// Removes a master key.
    RetireKey {
        /// Which.
        kid: u8,
        /// Also when sessions still need it; they end.
        force: bool,
        /// Also when access tokens of it may live; they end.
        even_if_tokens_live: bool,
    },
    /// Reads entries of a log, a page of them.
    ReadAudit {
        /// Which log.
        log: Log,
        /// From this number on; the newest if none is given.
        from: Option<u64>,
        /// At most so many.
        limit: u64,
    },
    /// Verifies both logs.
    VerifyAudit,
    /// Seals both logs as they stand, broken or not.
    SealAudit,
    /// Lowers the stored time to the system clock and ends all sessions.
    AcceptClock,
    /// Writes a copy of the store to a new file.
    Backup {
        /// Its absolute path.
        path: PathBuf,
    },
    /// Puts a backup in the place of the store.
    Restore {
        /// Its absolute path.
        path: PathBuf,
        /// Whether whoever was signed in then is signed in again.
        keep_sessions: bool,
    },
    /// Makes the store's file as small as it can be.
    Compact,
    /// Counts.
    Stats,
    /// Asks a running server which settings it has in force.
    InForce,
}

/// What came of a command.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It is done.
    Done,
    /// A user, as they are now.
    User(UserRow),
    /// A one-time code.
    Code(ResetCode),
    /// The numbers.
    Stats(Stats),
    /// The settings of a running server.
    InForce(InForce),
    /// Users, in the order of their names.
    Users {
        /// A page of them.
        rows: Vec<UserRow>,
        /// Behind which name to go on; `None` when these were the last.
        next: Option<String>,
    },
    /// Living sessions.
    Sessions {
        /// A page of them.
        rows: Vec<SessionRow>,
        /// Behind which handle to go on; `None` when these were the last.
        next: Option<String>,
    },
    /// The master keys, in the order of their file.
    Keys(Vec<KeyRow>),
    /// The fingerprints of the master keys.
    Fingerprints(Vec<[u8; 9]>),
    /// The id of a new master key.
    NewKey(u8),
    /// Entries of a log, oldest first.
    Audit {
        /// A page of them.
        rows: Vec<AuditRow>,
        /// The number with which to go on.
        next: u64,
        /// Another one than before, and a restore has put another log in the place of this one.
        era: [u8; 8],
    },
    /// What came of verifying the logs.
    AuditVerified(Vec<Verified>),
    /// The logs were sealed; what was wrong with them, if anything was.
    AuditSealed(Option<Broken>),
    /// By how many seconds the time was lowered.
    ClockLowered(u64),
    /// A backup was made, of so many users and session records.
    BackedUp {
        /// Users.
        users: u64,
        /// Session records.
        sessions: u64,
    },
    /// A backup was restored.
    Restored(Restored),
    /// The file was made smaller.
    Compacted {
        /// Bytes before.
        before: u64,
        /// Bytes now.
        after: u64,
    },
}

/// What administration works with.
#[derive(Clone, Copy, Debug)]
pub struct Office<'a> {
    /// Users, sessions and logs.
    pub store: &'a Store,
    /// The master keys.
    pub keys: &'a KeyRing,
    /// Hashes passwords.
    pub hasher: &'a Hasher,
    /// The time.
    pub clock: &'a Clock,
    /// Fewest characters of a new password.
    pub password_chars_min: usize,
    /// What the running server has counted, if one runs.
    pub day: Option<&'a Day>,
    /// The settings of the running server, if one runs.
    pub in_force: Option<&'a InForce>,
}

/// Runs a command; one that takes long says now and then how far it has come.
///
/// # Errors
/// [`Refusal`]; then nothing has changed.
pub fn run(office: &Office<'_>, command: Command, progress: Progress<'_>) -> Result<Answer, Refusal> {
    let Office { store, clock, .. } = *office;
    let now = clock.now();
    match command {
        Command::AddUser { name, role, password } => {
            let name = Name::chosen(&name)?;
            let password_hash = new_hash(office, &name, &password)?;
            let id = UserId::new(entropy::bytes());
            let new = NewUser { id, name, role, password_hash };
            let added = store.write(move |writes| command::add_user(writes, new, None, now))?;
            added.map(|user| Answer::User(UserRow::new(id, user, 0))).ok_or(Refusal::NameTaken)
        }
        Command::SetPassword { name, password } => {
            let name: Name = name.parse()?;
            let password_hash = new_hash(office, &name, &password)?;
            change(store, name, Event::PasswordSet, now, |user| user.password_hash = password_hash)
        }
        Command::SetDisabled { name, disabled } => {
            let name: Name = name.parse()?;
            let event = if disabled { Event::UserDisabled } else { Event::UserEnabled };
            change(store, name, event, now, move |user| user.disabled = disabled)
        }
        Command::DeleteUser { name } => {
            let name: Name = name.parse()?;
            let delete = move |writes: &mut Writes<'_>, id| {
                Ok(command::delete_user(writes, id, None, now)?.then_some(()))
            };
            on_user(store, name, delete).map(|_| Answer::Done)
        }
        Command::SetRole { name, role } => {
            change(store, name.parse()?, Event::RoleChanged, now, move |user| user.role = role)
        }
        Command::ShowUser { name } => {
            let name: Name = name.parse()?;
            let row = store.read(|reads| {
                let found = reads.user_named(&name)?;
                found.map(|(id, user)| UserRow::read(reads, id, user, now)).transpose()
            })?;
            row.map(Answer::User).ok_or(Refusal::NoSuchUser)
        }
        Command::IssueCode { name } => {
            let name: Name = name.parse()?;
            let (id, (user, era)) =
                on_user(store, name, move |writes, id| command::note_code(writes, id, None, now))?;
            Ok(Answer::Code(ResetCode::issue(&office.keys.current(), era, id, &user, now)))
        }
        Command::Stats => Ok(Answer::Stats(Stats::read(store, office.day, now)?)),
        Command::InForce => office.in_force.cloned().map(Answer::InForce).ok_or(Refusal::NotServing),
        Command::ListUsers { after } => lists::users(office, &after, now),
        Command::ListSessions { user, after } => {
            lists::sessions(office, user.as_deref(), after.as_deref(), now)
        }
        Command::RevokeSession { session } => {
            let id = SessionId::from_handle(&session).ok_or(Refusal::NoSuchSession)?;
            let ended = store.write(move |writes| command::revoke_session(writes, id, None, now))?;
            ended.then_some(Answer::Done).ok_or(Refusal::NoSuchSession)
        }
        Command::RevokeSessions { user } => {
            let name: Name = user.parse()?;
            let revoke =
                move |writes: &mut Writes<'_>, id| command::revoke_all_sessions(writes, id, None, now);
            let (id, user) = on_user(store, name, revoke)?;
            Ok(Answer::User(UserRow::new(id, user, 0)))
        }
        Command::ListKeys => keys::list(office, now),
        Command::AddKey => keys::add(office, now),
        Command::ActivateKey { kid } => keys::activate(office, kid, now),
        Command::RotateKey => keys::rotate(office, now),
        Command::FingerprintKeys => Ok(Answer::Fingerprints(office.keys.current().fingerprints())),
        Command::RetireKey { kid, force, even_if_tokens_live } => {
            keys::retire(office, kid, keys::Retirement { force, even_if_tokens_live }, now)
        }
        Command::ReadAudit { log, from, limit } => lists::audit(office, log, from, limit),
        Command::VerifyAudit => {
            let keys = office.keys.current();
            Ok(Answer::AuditVerified(store.read(|reads| Verified::both(reads, &keys))?))
        }
        Command::SealAudit => {
            let keys = office.keys.current();
            let seal = |writes: &mut Writes<'_>| {
                let now = writes.saw_time(now);
                writes.note(Occurrence::of(Event::LogSealed));
                reconcile(writes, &keys, Because::TheLogsAreToBeSealed, now.system)
            };
            Ok(Answer::AuditSealed(store.write_alone(seal, || {})?))
        }
        Command::AcceptClock => {
            let behind_secs = clock.lead_secs();
            if behind_secs == 0 {
                return Err(Refusal::ClockFine);
            }
            let accepted = clock.system_time();
            store.write_alone(
                |writes| command::accept_clock(writes, accepted),
                || {
                    clock.accept();
                    // Requests under way hold times of the clock as it was, and must not bring them back.
                    store.limit_time(clock.clone());
                },
            )?;
            Ok(Answer::ClockLowered(behind_secs))
        }
        Command::Backup { path } => {
            // One that comes meanwhile would seal the backup, which may know nothing of it yet.
            let _unchanged = office.keys.hold();
            match store.backup(&path, progress) {
                Ok(Contents { users, sessions, .. }) => {
                    store.write(move |writes| writes.put_last_backup(now.system))?;
                    Ok(Answer::BackedUp { users, sessions })
                }
                Err(error) => Err(Refusal::Backup(error.to_string())),
            }
        }
        Command::Restore { path, keep_sessions } => {
            // A key that leaves meanwhile would be one that the restored store knows and nobody has.
            let _unchanged = office.keys.hold();
            let _alone = store.hold_copies();
            let backup = Replacement::of_backup(&path, store.path(), progress)?;
            let keys = office.keys.current();
            let terms = restore::Terms { keys: &keys, key_file: office.keys.path(), clock, keep_sessions };
            Ok(Answer::Restored(restore::restore(Place::Store(store), backup, terms)?))
        }
        Command::Compact => {
            let (before, after) = store.compact(progress)?;
            Ok(Answer::Compacted { before, after })
        }
    }
}

/// Sessions are read in slices, so that no read stays open for long.
const SLICE_LEN: usize = 4096;

/// Runs `look` on every session record.
fn each_session(
    store: &Store,
    mut look: impl FnMut(&Reads, SessionId, Session) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut after = SessionId([0; 16]);
    loop {
        let last = store.read(|reads| {
            let slice = reads.sessions_after(after, SLICE_LEN)?;
            let last = slice.last().map(|(id, _)| *id);
            for (id, session) in slice {
                look(reads, id, session)?;
            }
            Ok(last)
        })?;
        let Some(last) = last else { return Ok(()) };
        after = last;
    }
}

fn new_hash(office: &Office<'_>, name: &Name, password: &Password) -> Result<PasswordHash, Refusal> {
    let reasons = password.weaknesses(name, office.password_chars_min);
    if !reasons.is_empty() {
        return Err(Refusal::WeakPassword(reasons));
    }
    Ok(office.hasher.hash(password)?)
}

/// Runs a command on the user of a name, where `None` means that there is none any more.
fn on_user<T: Send + 'static>(
    store: &Store,
    name: Name,
    command: impl FnOnce(&mut Writes<'_>, UserId) -> Result<Option<T>, StoreError> + Send + 'static,
) -> Result<(UserId, T), Refusal> {
    let done = store.write(move |writes| match writes.user_named(&name)? {
        Some((id, _)) => Ok(command(writes, id)?.map(|done| (id, done))),
        None => Ok(None),
    })?;
    done.ok_or(Refusal::NoSuchUser)
}

/// Changes one user, for the log `event`.
fn change(
    store: &Store,
    name: Name,
    event: Event,
    now: Now,
    change: impl FnOnce(&mut User) + Send + 'static,
) -> Result<Answer, Refusal> {
    let (id, (user, sessions)) = on_user(store, name, move |writes, id| {
        let changed = command::change_user(writes, id, event, None, now, change)?;
        changed.map(|user| Ok((user, writes.sessions_of(id)?))).transpose()
    })?;
    Ok(Answer::User(UserRow::counting(id, user, &sessions, now)))
}
