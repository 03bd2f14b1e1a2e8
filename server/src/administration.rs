//! What an administrator can tell the server: commands and answers as data, run the same way over an open store
//! whether they came through the control socket or the command line opened the store itself.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::audit::{Event, Log, Occurrence};
use crate::clock::{Clock, format_unix_secs};
use crate::command::{self, NewUser};
use crate::day::{Day, Hour};
use crate::entropy;
use crate::hasher::Hasher;
use crate::keys::{KeyFileError, KeyRing, Keys};
use crate::one_time_code::Purpose;
use crate::password::{Password, Weakness};
use crate::restore::{self, Place, Restored};
use crate::session::{Session, SessionId};
use crate::settings::ACCESS_TTL_SECS_MAX;
use crate::store::{Contents, Progress, Reads, Replacement, ReplacementError, Store, StoreError, Writes};
use crate::time::UnixMillis;
use crate::user::{Name, NameError, PasswordHash, Role, User, UserId};

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
    /// Lists the users.
    ListUsers,
    /// Lists living sessions.
    ListSessions {
        /// Of this user only.
        user: Option<String>,
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
    /// Adds a master key, which signs from now on.
    RotateKey,
    /// Removes a master key.
    RetireKey {
        /// Which.
        kid: u8,
        /// Also when sessions still need it; they end.
        force: bool,
        /// Also when access tokens of it may live; they end.
        even_if_tokens_live: bool,
    },
    /// Reads the newest entries of a log.
    ReadAudit {
        /// Which log.
        log: Log,
        /// Only entries from this number on.
        from: u64,
        /// At most so many.
        limit: u64,
    },
    /// Verifies both logs.
    VerifyAudit,
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
    /// The users, in the order of their names.
    Users(Vec<UserRow>),
    /// Living sessions.
    Sessions(Vec<SessionRow>),
    /// The master keys, the signing one last.
    Keys(Vec<KeyRow>),
    /// The id of a new master key.
    Rotated(u8),
    /// Entries of a log, oldest first.
    Audit(Vec<AuditRow>),
    /// What came of verifying the logs.
    AuditVerified(Vec<Verified>),
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

/// A session in a list; times are seconds of Unix time.
#[derive(Debug, Serialize, Deserialize)]
pub struct SessionRow {
    /// The handle: the `sid` claim.
    pub session: String,
    /// The user's name.
    pub user: String,
    /// What the user signed in with.
    pub label: String,
    /// Where the session was last refreshed from.
    pub address: String,
    /// When the user signed in.
    pub created: u64,
    /// When the refresh token was issued.
    pub last_refresh: u64,
    /// When it ends unless it is refreshed.
    pub expires: u64,
}

/// A master key in a list.
#[derive(Debug, Serialize, Deserialize)]
pub struct KeyRow {
    /// The id: the `kid` of access tokens.
    pub kid: u8,
    /// Whether it signs new tokens.
    pub signs: bool,
    /// Living sessions whose refresh token it may have issued.
    pub needed_by_sessions: usize,
    /// When it stopped signing, in seconds of Unix time, if that is known.
    pub signed_until: Option<u64>,
}

/// An entry of a log; the time is seconds of Unix time.
#[derive(Debug, Serialize, Deserialize)]
pub struct AuditRow {
    /// Counts the entries of the log.
    pub number: u64,
    /// When it happened first.
    pub time: u64,
    /// How often within the minute.
    pub count: u32,
    /// What happened.
    pub event: Event,
    /// The user's id, and the name while there is such a user.
    pub user: Option<String>,
    /// The user's name, while there is such a user.
    pub name: Option<String>,
    /// The id of the administrator who did it, if that is known, and the name while there is such a user.
    pub by: Option<String>,
    /// The administrator's name, while there is such a user.
    pub by_name: Option<String>,
    /// The session's handle; for what an administrator did to a user over HTTP that of the administrator.
    pub session: Option<String>,
    /// From where.
    pub address: Option<String>,
    /// For a reuse: from where the session was last refreshed.
    pub other_address: Option<String>,
}

impl AuditRow {
    /// The row of an entry that the ring holds.
    pub fn read(reads: &Reads, log: Log, number: u64) -> Result<Self, StoreError> {
        let (entry, _) = reads.entry(log, number)?.ok_or(StoreError::damaged())?;
        let name_of = |user: Option<UserId>| {
            let user = user.map(|user| reads.user(user)).transpose()?.flatten();
            Ok::<_, StoreError>(user.map(|user| user.name))
        };
        let what = entry.occurrence;
        Ok(Self {
            number: entry.number,
            time: entry.time.as_secs(),
            count: entry.count,
            event: what.event,
            user: what.subject().map(|user| user.to_string()),
            name: name_of(what.subject())?,
            by: what.actor().map(|actor| actor.to_string()),
            by_name: name_of(what.actor())?,
            session: what.session.map(SessionId::handle),
            address: what.address.map(|address| address.to_string()),
            other_address: what.other_address.map(|address| address.to_string()),
        })
    }
}

/// What came of verifying a log.
#[derive(Debug, Serialize, Deserialize)]
pub struct Verified {
    /// Which log.
    pub log: Log,
    /// Entries in the ring.
    pub entries: u64,
    /// The first entry that is not as it was written, or missing.
    pub broken_at: Option<u64>,
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

impl UserRow {
    /// The row of a user, with the sessions that live at `now` counted.
    pub fn read(reads: &Reads, id: UserId, user: User, now: UnixMillis) -> Result<Self, StoreError> {
        Ok(Self::counting(id, user, &reads.sessions_of(id)?, now))
    }

    /// The row of a user with these session records, of which those that live at `now` are counted.
    pub fn counting(id: UserId, user: User, sessions: &[(SessionId, Session)], now: UnixMillis) -> Self {
        let is_alive = |(_, session): &&(SessionId, Session)| session.end_reason(Some(&user), now).is_none();
        let alive = sessions.iter().filter(is_alive).count();
        Self::new(id, user, alive)
    }

    /// The row of a user with so many living sessions.
    pub fn new(id: UserId, user: User, sessions: usize) -> Self {
        let (role, disabled, created) = (user.role, user.disabled, user.created.as_secs());
        Self { id: id.to_string(), name: user.name, role, disabled, sessions, created }
    }
}

/// A one-time code on its way to whoever may choose a password with it.
#[derive(Serialize, Deserialize)]
pub struct ResetCode {
    /// The code.
    pub code: String,
    /// The second of Unix time at which it expires.
    pub expires: u64,
}

/// Whoever holds it can choose the password.
impl fmt::Debug for ResetCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResetCode(.., {})", self.expires)
    }
}

impl ResetCode {
    /// A code for `user` as they are now.
    pub fn issue(keys: &Keys, id: UserId, user: &User, now: UnixMillis) -> Self {
        let purpose = Purpose::Reset { user: id, epoch: user.auth_epoch };
        let (code, expires) = keys.signing_code_key().issue(purpose, now);
        Self { code, expires }
    }
}

/// How many there are of what.
#[derive(Debug, Serialize, Deserialize)]
pub struct Stats {
    /// Users, disabled ones included.
    pub users: u64,
    /// Session records; those that have expired are among them for a minute at most while a server runs.
    pub sessions: u64,
    /// Bytes of the store's file.
    pub store_bytes: u64,
    /// The second of Unix time from which on there are numbers, if a server runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// The last 24 hours, the one under way last; none where no server runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hours: Vec<Hour>,
}

impl Stats {
    /// Counts.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub fn read(store: &Store, day: Option<&Day>, now: UnixMillis) -> Result<Self, StoreError> {
        let (users, sessions) = store.read(|reads| Ok((reads.user_count()?, reads.session_count()?)))?;
        // Gone only for the moment in which another takes its place.
        let store_bytes = std::fs::metadata(store.path()).map_or(0, |file| file.len());
        let (since, hours) = day.map(|day| (day.since().as_secs(), day.hours(now))).unzip();
        Ok(Self { users, sessions, store_bytes, since, hours: hours.unwrap_or_default() })
    }
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
    /// There is no living session of that handle.
    NoSuchSession,
    /// The key cannot be changed, and why.
    Key(String),
    /// So many sessions still need the key.
    KeyNeeded(usize),
    /// Access tokens of the key may live until this second of Unix time, or until nobody knows when.
    TokensLive(Option<u64>),
    /// An entry of the audit log is broken, which retiring the key would hide.
    AuditBroken(u64),
    /// The clock is not behind.
    ClockFine,
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
            Self::AuditBroken(number) => write!(
                f,
                "entry {number} of the audit log is broken, and retiring the key would hide that; \
                 see `latchkey audit verify`"
            ),
            Self::Unreadable => {
                f.write_str("the server does not know this command; is it of the same version?")
            }
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

impl From<crate::hasher::Busy> for Refusal {
    fn from(_: crate::hasher::Busy) -> Self {
        Self::Busy
    }
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
            let name: Name = name.parse()?;
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
            let (id, user) =
                on_user(store, name, move |writes, id| command::note_code(writes, id, None, now))?;
            Ok(Answer::Code(ResetCode::issue(&office.keys.current(), id, &user, now)))
        }
        Command::Stats => Ok(Answer::Stats(Stats::read(store, office.day, now)?)),
        Command::ListUsers => {
            let users = store.read(|reads| {
                let mut rows = Vec::new();
                for (id, user) in reads.users()? {
                    rows.push(UserRow::read(reads, id, user, now)?);
                }
                Ok(rows)
            })?;
            Ok(Answer::Users(users))
        }
        Command::ListSessions { user } => list_sessions(store, user.as_deref(), now),
        Command::RevokeSession { session } => {
            let id = SessionId::from_handle(&session).ok_or(Refusal::NoSuchSession)?;
            let ended = store.write(move |writes| command::revoke_session(writes, id, None, now))?;
            ended.then_some(Answer::Done).ok_or(Refusal::NoSuchSession)
        }
        Command::RevokeSessions { user } => {
            let name: Name = user.parse()?;
            change(store, name, Event::SessionsRevoked, now, |_| {})
        }
        Command::ListKeys => list_keys(office, now),
        Command::RotateKey => {
            let kid = office.keys.rotate(now)?;
            remember_keys(office, Event::KeyRotated)?;
            Ok(Answer::Rotated(kid))
        }
        Command::RetireKey { kid, force, even_if_tokens_live } => {
            retire_key(office, kid, Retirement { force, even_if_tokens_live }, now)
        }
        Command::ReadAudit { log, from, limit } => read_audit(store, log, from, limit),
        Command::VerifyAudit => {
            let keys = office.keys.current();
            let verify = |log| {
                store.read(|reads| {
                    let entries = reads.head(log)?.next - reads.oldest(log)?;
                    let broken_at = reads.first_broken_entry(log, |kid| keys.audit(kid))?;
                    Ok(Verified { log, entries, broken_at })
                })
            };
            Ok(Answer::AuditVerified(vec![verify(Log::Main)?, verify(Log::Refusals)?]))
        }
        Command::AcceptClock => {
            let behind_secs = clock.secs_behind();
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
        Command::Backup { path } => match store.backup(&path, progress) {
            Ok(Contents { users, sessions, .. }) => Ok(Answer::BackedUp { users, sessions }),
            Err(error) => Err(Refusal::Backup(error.to_string())),
        },
        Command::Restore { path, keep_sessions } => {
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

fn list_sessions(store: &Store, user: Option<&str>, now: UnixMillis) -> Result<Answer, Refusal> {
    let only = match user {
        Some(name) => {
            let name: Name = name.parse()?;
            let found = store.read(|reads| reads.user_named(&name))?;
            Some(found.ok_or(Refusal::NoSuchUser)?.0)
        }
        None => None,
    };
    let mut rows = Vec::new();
    let mut add = |reads: &Reads, id: SessionId, session: Session| {
        let user = reads.user(id.user())?;
        if let Some(user) = user.filter(|user| session.end_reason(Some(user), now).is_none()) {
            rows.push(SessionRow {
                session: id.handle(),
                user: user.name,
                address: session.address.to_string(),
                created: session.created.as_secs(),
                last_refresh: session.rotated_at.as_secs(),
                expires: session.ends().as_secs(),
                label: session.label,
            });
        }
        Ok(())
    };
    match only {
        None => each_session(store, add)?,
        Some(user) => store.read(|reads| {
            let mut sessions = reads.sessions_of(user)?.into_iter();
            sessions.try_for_each(|(id, session)| add(reads, id, session))
        })?,
    }
    Ok(Answer::Sessions(rows))
}

fn list_keys(office: &Office<'_>, now: UnixMillis) -> Result<Answer, Refusal> {
    let keys = office.keys.current();
    let mut rows: Vec<_> = keys
        .kids()
        .map(|kid| KeyRow {
            kid,
            signs: kid == keys.signing_kid(),
            needed_by_sessions: 0,
            signed_until: keys.signed_until(kid).map(UnixMillis::as_secs),
        })
        .collect();
    each_session(office.store, |reads, id, session| {
        if session.end_reason(reads.user(id.user())?.as_ref(), now).is_none() {
            for row in rows.iter_mut().filter(|row| session.needs_key(row.kid)) {
                row.needed_by_sessions += 1;
            }
        }
        Ok(())
    })?;
    Ok(Answer::Keys(rows))
}

/// Refuses a key whose access tokens may live: whoever holds one was promised that it works until it expires.
fn check_that_tokens_died(keys: &Keys, kid: u8, now: UnixMillis) -> Result<(), Refusal> {
    let last_expiry = keys.signed_until(kid).map(|until| until.as_secs_rounded_up() + ACCESS_TTL_SECS_MAX);
    match last_expiry {
        Some(expiry) if expiry <= now.as_secs() => Ok(()),
        until => Err(Refusal::TokensLive(until)),
    }
}

fn sessions_that_need(store: &Store, kid: u8, now: UnixMillis) -> Result<Vec<SessionId>, StoreError> {
    let mut needing = Vec::new();
    each_session(store, |reads, id, session| {
        let needs =
            session.needs_key(kid) && session.end_reason(reads.user(id.user())?.as_ref(), now).is_none();
        if needs {
            needing.push(id);
        }
        Ok(())
    })?;
    Ok(needing)
}

/// What a key may be retired in spite of.
#[derive(Clone, Copy)]
struct Retirement {
    force: bool,
    even_if_tokens_live: bool,
}

fn retire_key(
    office: &Office<'_>,
    kid: u8,
    in_spite_of: Retirement,
    now: UnixMillis,
) -> Result<Answer, Refusal> {
    let keys = office.keys.current();
    if kid == keys.signing_kid() || !keys.kids().any(|known| known == kid) {
        // The ring knows best how to say it.
        office.keys.retire(kid)?;
    }
    let needing = sessions_that_need(office.store, kid, now)?;
    if !needing.is_empty() && !in_spite_of.force {
        return Err(Refusal::KeyNeeded(needing.len()));
    }
    if !in_spite_of.even_if_tokens_live {
        check_that_tokens_died(&keys, kid, now)?;
    }
    // The store forgets the key first: after a crash in between, a key more in the file does no harm.
    let kept: Vec<_> = keys.fingerprints().into_iter().filter(|key| key[0] != kid).collect();
    let bound = office.store.write(move |writes| {
        writes.saw_time(now);
        for log in [Log::Main, Log::Refusals] {
            if let Some(number) = writes.first_broken_entry(log, |kid| keys.audit(kid))? {
                // Binding it anew would hide that somebody tampered with it.
                return Ok(Err(Refusal::AuditBroken(number)));
            }
        }
        for id in needing {
            writes.delete_session(id)?;
        }
        writes.bind_logs_anew(keys.signing_audit_key())?;
        writes.note(Occurrence::of(Event::KeyRetired));
        writes.put_key_fingerprints(&kept)?;
        Ok(Ok(()))
    })?;
    bound?;
    office.keys.retire(kid)?;
    Ok(Answer::Done)
}

/// Tells the store which keys the file holds now.
fn remember_keys(office: &Office<'_>, event: Event) -> Result<(), Refusal> {
    let (keys, now) = (office.keys.current(), office.clock.now());
    office.store.use_audit_key(keys.signing_audit_key().clone());
    let fingerprints = keys.fingerprints();
    office.store.write(move |writes| {
        writes.saw_time(now);
        writes.note(Occurrence::of(event));
        writes.put_key_fingerprints(&fingerprints)
    })?;
    Ok(())
}

fn read_audit(store: &Store, log: Log, from: u64, limit: u64) -> Result<Answer, Refusal> {
    let rows = store.read(|reads| {
        let next = reads.head(log)?.next;
        let first = reads.oldest(log)?.max(from).max(next.saturating_sub(limit));
        let mut rows = Vec::new();
        for number in first..next {
            rows.push(AuditRow::read(reads, log, number)?);
        }
        Ok(rows)
    })?;
    Ok(Answer::Audit(rows))
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
    now: UnixMillis,
    change: impl FnOnce(&mut User) + Send + 'static,
) -> Result<Answer, Refusal> {
    let (id, user) =
        on_user(store, name, move |writes, id| command::change_user(writes, id, event, None, now, change))?;
    // Every change ends every session.
    Ok(Answer::User(UserRow::new(id, user, 0)))
}
