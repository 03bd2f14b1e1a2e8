//! What lists and counts show: rows as data, the same for the command line and `/api/admin/`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::audit::{Event, Log};
use crate::day::{Day, Hour};
use crate::keys::Keys;
use crate::one_time_code::{Era, Purpose};
use crate::session::{Session, SessionId};
use crate::store::{Doubt, Reads, Store, StoreError};
use crate::time::Now;
use crate::user::{Role, User, UserId};

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
    pub fn read(reads: &Reads, id: UserId, user: User, now: Now) -> Result<Self, StoreError> {
        Ok(Self::counting(id, user, &reads.sessions_of(id)?, now))
    }

    /// The row of a user with these session records, of which those that live at `now` are counted.
    pub fn counting(id: UserId, user: User, sessions: &[(SessionId, Session)], now: Now) -> Self {
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

impl SessionRow {
    /// The row of a session.
    pub fn new(id: SessionId, session: Session, user: User) -> Self {
        Self {
            session: id.handle(),
            user: user.name,
            address: session.address.to_string(),
            created: session.created.as_secs(),
            last_refresh: session.rotated_at.as_secs(),
            expires: session.ends().as_secs(),
            label: session.label,
        }
    }
}

/// A master key in a list.
#[derive(Debug, Serialize, Deserialize)]
pub struct KeyRow {
    /// The id: the `kid` of access tokens.
    pub kid: u8,
    /// Whether it signs new tokens.
    pub signs: bool,
    /// Whether it is known and does not sign yet.
    pub standby: bool,
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
    /// The row of an entry; `None` if it is not there or cannot be read, which [`Verified`] tells.
    pub fn read(reads: &Reads, log: Log, number: u64) -> Result<Option<Self>, StoreError> {
        let Some((entry, _)) = reads.entry_in_place(log, number) else { return Ok(None) };
        let name_of = |user: Option<UserId>| {
            let user = user.map(|user| reads.user(user)).transpose()?.flatten();
            Ok::<_, StoreError>(user.map(|user| user.name))
        };
        let what = entry.occurrence;
        Ok(Some(Self {
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
        }))
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
    /// Entries with lower numbers were taken over without being verified: from a backup whose key is gone, or when an
    /// administrator sealed a broken log.
    pub unverified_before: Option<u64>,
    /// What is wrong with both logs as a whole.
    pub doubt: Option<Doubt>,
}

impl Verified {
    /// Verifies both logs.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub fn both(reads: &Reads, keys: &Keys) -> Result<Vec<Self>, StoreError> {
        let doubt = match reads.is_sealed(|kid| keys.audit(kid))? {
            true => reads.doubt()?,
            false => Some(Doubt::Lost),
        };
        let verify = |log| {
            let (oldest, end) = (reads.oldest(log)?, reads.end_of(log)?);
            Ok(Self {
                log,
                entries: end.next - oldest,
                broken_at: reads.first_broken_entry(log, |kid| keys.audit(kid))?,
                unverified_before: Some(end.unverified_before).filter(|before| *before > oldest),
                doubt,
            })
        };
        [Log::Main, Log::Refusals].into_iter().map(verify).collect()
    }

    /// Whether the log is as it was written, as far as it was verified.
    pub fn is_whole(&self) -> bool {
        self.broken_at.is_none() && self.doubt.is_none()
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
    pub fn issue(keys: &Keys, era: Era, id: UserId, user: &User, now: Now) -> Self {
        let purpose = Purpose::Reset { user: id, epoch: user.auth_epoch };
        let (code, expires) = keys.signing_code_key().issue(era, purpose, now.system);
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
    pub fn read(store: &Store, day: Option<&Day>, now: Now) -> Result<Self, StoreError> {
        let (users, sessions) = store.read(|reads| Ok((reads.user_count()?, reads.session_count()?)))?;
        let store_bytes = store.file_len();
        let (since, hours) = day.map(|day| (day.since().as_secs(), day.hours(now.system))).unzip();
        Ok(Self { users, sessions, store_bytes, since, hours: hours.unwrap_or_default() })
    }
}
