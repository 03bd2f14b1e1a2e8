//! The tables of the store and their typed view: what a reader may ask and a command may put.

use std::ops::{Bound, Deref};

use redb::{
    ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table,
    TableDefinition, TableError, WriteTransaction,
};

use super::codec::{self, ENTRY_LEN, SESSION_LEN, USER_LEN};
use super::logs::Census;
use super::{Contents, Progress, StoreError};
use crate::audit::{AuditKey, Log, Occurrence, Waiting};
use crate::clock::Clock;
use crate::one_time_code::Era;
use crate::session::{Session, SessionId};
use crate::time::{Now, UnixMillis};
use crate::user::{Name, User, UserId};

/// The number of the layout below; it goes up with every change to it, and a migration comes along.
pub(super) const SCHEMA: u32 = 1 + MIGRATIONS.len() as u32;

/// What leads from each earlier schema to the next, schema 1 first.
const MIGRATIONS: &[Migration] = &[add_the_audit_logs, leave_the_seal_to_the_keys];

type Migration = fn(&WriteTransaction) -> Result<(), StoreError>;

pub(super) type Bytes = &'static [u8];
pub(super) type SessionKey = &'static [u8; 16];
pub(super) type SessionRecord = &'static [u8; SESSION_LEN];
pub(super) type EntryRecord = &'static [u8; ENTRY_LEN];
pub(super) type UserRecord = &'static [u8; USER_LEN];

const META: TableDefinition<'_, &str, Bytes> = TableDefinition::new("meta");
const USERS: TableDefinition<'_, u64, UserRecord> = TableDefinition::new("users");
const LOGINS: TableDefinition<'_, &str, u64> = TableDefinition::new("logins");
const SESSIONS: TableDefinition<'_, SessionKey, SessionRecord> = TableDefinition::new("sessions");

const AUDIT: TableDefinition<'_, u64, EntryRecord> = TableDefinition::new("audit");
const REFUSALS: TableDefinition<'_, u64, EntryRecord> = TableDefinition::new("refusals");

const META_SCHEMA: &str = "schema";
const META_HIGHEST_TIME: &str = "highest_time_ms";
const META_KEYS: &str = "keys";
const META_ERA: &str = "era";
const META_SIGNING_SINCE: &str = "signing_since";
const META_LAST_BACKUP: &str = "last_backup_ms";
pub(super) const META_LOGS: &str = "logs";
/// There from the migration to schema 3 until the logs are sealed.
pub(super) const META_UNSEALED: &str = "unsealed";

/// How far time moves on before a commit notes it, in seconds: one more page a commit would be dear.
const NOTE_TIME_SECS: u64 = 60;

/// Most names that one search looks at, some milliseconds' worth; whoever wants more goes on from there.
const NAMES_SEARCHED_MAX: usize = 10_000;

/// Records between two words about how far long work has come.
const PROGRESS_EVERY: u64 = 16_384;

/// The schema number of an existing store, `None` for a new file.
pub(super) fn schema(database: &impl ReadableDatabase) -> Result<Option<u32>, StoreError> {
    let transaction = database.begin_read()?;
    let meta = match transaction.open_table(META) {
        Ok(meta) => meta,
        Err(TableError::TableDoesNotExist(_)) if transaction.list_tables()?.next().is_none() => {
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let schema = meta.get(META_SCHEMA)?.ok_or(codec::Damaged)?;
    let bytes = schema.value().try_into().map_err(|_| codec::Damaged)?;
    Ok(Some(u32::from_be_bytes(bytes)))
}

/// Creates every table of a new store, in one commit with the schema number.
pub(super) fn create(database: &redb::Database) -> Result<(), StoreError> {
    let transaction = database.begin_write()?;
    put_schema(&transaction, SCHEMA)?;
    transaction.open_table(USERS)?;
    transaction.open_table(LOGINS)?;
    transaction.open_table(SESSIONS)?;
    add_the_audit_logs(&transaction)?;
    Ok(transaction.commit()?)
}

/// Brings a store of schema `from` to this version's, each step in one commit with its number.
pub(super) fn migrate(database: &redb::Database, from: u32) -> Result<(), StoreError> {
    for (schema, step) in (2..).zip(MIGRATIONS).skip_while(|(schema, _)| *schema <= from) {
        let transaction = database.begin_write()?;
        step(&transaction)?;
        put_schema(&transaction, schema)?;
        transaction.commit()?;
    }
    Ok(())
}

fn put_schema(transaction: &WriteTransaction, schema: u32) -> Result<(), StoreError> {
    transaction.open_table(META)?.insert(META_SCHEMA, schema.to_be_bytes().as_slice())?;
    Ok(())
}

/// Schema 2: the audit logs.
fn add_the_audit_logs(transaction: &WriteTransaction) -> Result<(), StoreError> {
    transaction.open_table(AUDIT)?;
    transaction.open_table(REFUSALS)?;
    Ok(())
}

/// Schema 3: both logs are sealed together, which takes keys; [`Writes::begin_logs`] does it.
fn leave_the_seal_to_the_keys(transaction: &WriteTransaction) -> Result<(), StoreError> {
    transaction.open_table(META)?.insert(META_UNSEALED, [].as_slice())?;
    Ok(())
}

/// Some of the users, in the order of their names.
#[derive(Debug)]
pub struct UsersPage {
    /// The users.
    pub users: Vec<(UserId, User)>,
    /// Behind which name, case-folded, to go on; `None` when these were the last.
    pub next: Option<String>,
}

/// The tables under one transaction, read-only or not.
#[derive(Debug)]
pub struct Tables<M, U, L, S, A> {
    pub(super) meta: M,
    pub(super) users: U,
    pub(super) logins: L,
    pub(super) sessions: S,
    pub(super) audit: A,
    pub(super) refusals: A,
}

/// A consistent state of the store, to read.
pub type Reads = Tables<
    ReadOnlyTable<&'static str, Bytes>,
    ReadOnlyTable<u64, UserRecord>,
    ReadOnlyTable<&'static str, u64>,
    ReadOnlyTable<SessionKey, SessionRecord>,
    ReadOnlyTable<u64, EntryRecord>,
>;

pub(super) type WritableTables<'t> = Tables<
    Table<'t, &'static str, Bytes>,
    Table<'t, u64, UserRecord>,
    Table<'t, &'static str, u64>,
    Table<'t, SessionKey, SessionRecord>,
    Table<'t, u64, EntryRecord>,
>;

impl<M, U, L, S, A> Tables<M, U, L, S, A>
where
    M: ReadableTable<&'static str, Bytes>,
    U: ReadableTable<u64, UserRecord>,
    L: ReadableTable<&'static str, u64>,
    S: ReadableTable<SessionKey, SessionRecord>,
    A: ReadableTable<u64, EntryRecord>,
{
    /// The record of a session.
    pub fn session(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        let record = self.sessions.get(&id.0)?;
        Ok(record.map(|record| codec::decode_session(record.value())).transpose()?)
    }

    /// Every session record of a user, dead ones included.
    pub fn sessions_of(&self, user: UserId) -> Result<Vec<(SessionId, Session)>, StoreError> {
        let (first, last) = SessionId::range_of(user);
        let mut found = Vec::new();
        for entry in self.sessions.range::<&[u8; 16]>(&first.0..=&last.0)? {
            let (id, record) = entry?;
            found.push((SessionId(*id.value()), codec::decode_session(record.value())?));
        }
        Ok(found)
    }

    /// The record of a user.
    pub fn user(&self, id: UserId) -> Result<Option<User>, StoreError> {
        let record = self.users.get(id.0)?;
        Ok(record.map(|record| codec::decode_user(record.value())).transpose()?)
    }

    /// The user who signs in as `name`.
    pub fn user_named(&self, name: &Name) -> Result<Option<(UserId, User)>, StoreError> {
        let Some(id) = self.logins.get(name.folded())?.map(|id| UserId(id.value())) else {
            return Ok(None);
        };
        let user = self.user(id)?.ok_or(codec::Damaged)?;
        Ok(Some((id, user)))
    }

    /// The user who signs in as `name`, or, where there is none, somebody else, who is found in the same way and time:
    /// the one whose id is behind `stand_in`. The third value says which of the two it is.
    pub fn user_named_or_another(
        &self,
        name: Option<&Name>,
        stand_in: UserId,
    ) -> Result<Option<(UserId, User, bool)>, StoreError> {
        let login = name.map(|name| self.logins.get(name.folded())).transpose()?.flatten();
        let wanted = login.map(|id| id.value());
        let from = wanted.unwrap_or(stand_in.0);
        // Nobody may be behind it; the first is looked for each time, so that it does not show.
        let (behind, first) = (self.users.range(from..)?.next(), self.users.range(0..)?.next());
        let Some((id, record)) = behind.or(first).transpose()? else { return Ok(None) };
        let (id, user) = (id.value(), codec::decode_user(record.value())?);
        Ok(Some((UserId(id), user, wanted == Some(id))))
    }

    /// Every user, in the order of their names.
    pub fn users(&self) -> Result<Vec<(UserId, User)>, StoreError> {
        let mut found = Vec::new();
        for entry in self.logins.iter()? {
            let id = UserId(entry?.1.value());
            found.push((id, self.user(id)?.ok_or(codec::Damaged)?));
        }
        Ok(found)
    }

    /// Up to `limit` users behind `after` in the order of names, whose names hold `part`, both case-folded. One search
    /// looks at no more than [`NAMES_SEARCHED_MAX`] names.
    pub fn users_after(&self, after: &str, part: &str, limit: usize) -> Result<UsersPage, StoreError> {
        let behind = (Bound::Excluded(after), Bound::Unbounded);
        let (mut found, mut last) = (Vec::new(), String::new());
        let mut entries = self.logins.range::<&str>(behind)?;
        for entry in entries.by_ref().take(NAMES_SEARCHED_MAX) {
            let (name, id) = entry?;
            name.value().clone_into(&mut last);
            if last.contains(part) {
                let id = UserId(id.value());
                found.push((id, self.user(id)?.ok_or(codec::Damaged)?));
                if found.len() == limit {
                    break;
                }
            }
        }
        let is_all = entries.next().is_none();
        Ok(UsersPage { users: found, next: (!is_all).then_some(last) })
    }

    /// Whether `is_one` holds of any user.
    pub fn is_there_a_user(&self, is_one: impl Fn(UserId, &User) -> bool) -> Result<bool, StoreError> {
        for entry in self.users.iter()? {
            let (id, record) = entry?;
            if is_one(UserId(id.value()), &codec::decode_user(record.value())?) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// How many users there are, disabled ones included.
    pub fn user_count(&self) -> Result<u64, StoreError> {
        Ok(self.users.len()?)
    }

    /// Whether anybody can sign in yet.
    pub fn has_users(&self) -> Result<bool, StoreError> {
        Ok(!self.users.is_empty()?)
    }

    /// The highest time a commit has noted.
    pub fn highest_time_seen(&self) -> Result<UnixMillis, StoreError> {
        let Some(bytes) = self.meta.get(META_HIGHEST_TIME)? else { return Ok(UnixMillis(0)) };
        let bytes = bytes.value().try_into().map_err(|_| codec::Damaged)?;
        Ok(UnixMillis(u64::from_be_bytes(bytes)))
    }

    /// The fingerprints of the master keys this store was used with, oldest first.
    pub fn key_fingerprints(&self) -> Result<Vec<[u8; 9]>, StoreError> {
        let Some(bytes) = self.meta.get(META_KEYS)? else { return Ok(Vec::new()) };
        let (fingerprints, rest) = bytes.value().as_chunks();
        if rest.is_empty() { Ok(fingerprints.to_vec()) } else { Err(codec::Damaged.into()) }
    }

    /// How many session records there are, dead ones included.
    pub fn session_count(&self) -> Result<u64, StoreError> {
        Ok(self.sessions.len()?)
    }

    /// Up to `limit` session records behind `after`, in the order of their ids: a slice for the sweeper.
    pub fn sessions_after(
        &self,
        after: SessionId,
        limit: usize,
    ) -> Result<Vec<(SessionId, Session)>, StoreError> {
        let behind = (Bound::Excluded(&after.0), Bound::Unbounded);
        let mut found = Vec::new();
        for entry in self.sessions.range::<&[u8; 16]>(behind)?.take(limit) {
            let (id, record) = entry?;
            found.push((SessionId(*id.value()), codec::decode_session(record.value())?));
        }
        Ok(found)
    }

    /// The era of one-time codes.
    pub fn era(&self) -> Result<Era, StoreError> {
        let Some(bytes) = self.meta.get(META_ERA)? else { return Ok(Era::default()) };
        Ok(Era(bytes.value().try_into().map_err(|_| codec::Damaged)?))
    }

    /// The master key that signs, and since when, as far as the store was told.
    pub fn signing_since(&self) -> Result<Option<(u8, UnixMillis)>, StoreError> {
        let Some(bytes) = self.meta.get(META_SIGNING_SINCE)? else { return Ok(None) };
        let (&kid, since) = bytes.value().split_first().ok_or(codec::Damaged)?;
        let since = since.try_into().map_err(|_| codec::Damaged)?;
        Ok(Some((kid, UnixMillis(u64::from_be_bytes(since)))))
    }

    /// When the last backup was made, if there was one.
    pub fn last_backup(&self) -> Result<Option<UnixMillis>, StoreError> {
        let Some(bytes) = self.meta.get(META_LAST_BACKUP)? else { return Ok(None) };
        let bytes = bytes.value().try_into().map_err(|_| codec::Damaged)?;
        Ok(Some(UnixMillis(u64::from_be_bytes(bytes))))
    }

    /// Reads every record and counts them.
    pub(super) fn contents(&self, progress: Progress<'_>) -> Result<Contents, StoreError> {
        let users = self.users()?.len() as u64;
        let total = self.sessions.len()?;
        let mut sessions = 0;
        for entry in self.sessions.iter()? {
            codec::decode_session(entry?.1.value())?;
            sessions += 1;
            if sessions % PROGRESS_EVERY == 0 {
                progress(sessions, total)?;
            }
        }
        Ok(Contents { users, sessions, key_fingerprints: self.key_fingerprints()? })
    }
}

/// Opens every table; transactions that read and those that write have no trait in common for it.
macro_rules! open_tables {
    ($transaction:ident) => {
        Ok(Tables {
            meta: $transaction.open_table(META)?,
            users: $transaction.open_table(USERS)?,
            logins: $transaction.open_table(LOGINS)?,
            sessions: $transaction.open_table(SESSIONS)?,
            audit: $transaction.open_table(AUDIT)?,
            refusals: $transaction.open_table(REFUSALS)?,
        })
    };
}

impl Reads {
    pub(super) fn begin(transaction: &ReadTransaction) -> Result<Self, StoreError> {
        open_tables!(transaction)
    }
}

/// The records of a session and its user: what every protected request looks at, so only these two tables are opened.
pub(super) fn session_and_user(
    transaction: &ReadTransaction,
    id: SessionId,
) -> Result<(Option<Session>, Option<User>), StoreError> {
    let session = transaction.open_table(SESSIONS)?.get(&id.0)?;
    let session = session.map(|record| codec::decode_session(record.value())).transpose()?;
    let user = transaction.open_table(USERS)?.get(id.user().0)?;
    let user = user.map(|record| codec::decode_user(record.value())).transpose()?;
    Ok((session, user))
}

impl<'t> WritableTables<'t> {
    fn open(transaction: &'t WriteTransaction) -> Result<Self, StoreError> {
        open_tables!(transaction)
    }
}

/// The tables as a command sees them: what earlier commands of the same batch put is there to read.
#[derive(Debug)]
pub struct Writes<'t> {
    tables: WritableTables<'t>,
    /// How often something was put or deleted.
    changes: u64,
    /// How far the census has moved on since it was sealed.
    census: Census,
    now: Now,
    /// What the commands of this batch noted.
    notes: Vec<(Occurrence, UnixMillis)>,
    /// Set once time was put back.
    clock: Option<Clock>,
}

/// How far a batch has come, to tell whether a command has changed anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Mark {
    changes: u64,
    notes: usize,
}

impl<'t> Deref for Writes<'t> {
    type Target = WritableTables<'t>;

    fn deref(&self) -> &Self::Target {
        &self.tables
    }
}

impl<'t> Writes<'t> {
    pub(super) fn begin(transaction: &'t WriteTransaction, clock: Option<Clock>) -> Result<Self, StoreError> {
        let tables = WritableTables::open(transaction)?;
        let (census, now) = (Census::default(), Now::default());
        Ok(Self { tables, changes: 0, census, now, notes: Vec::new(), clock })
    }

    /// Where the batch is before a command runs.
    pub(super) fn mark(&self) -> Mark {
        Mark { changes: self.changes, notes: self.notes.len() }
    }

    /// Forgets what a command that failed has noted; `false` when it has changed records too, which stays.
    pub(super) fn withdraw(&mut self, to: Mark) -> bool {
        self.notes.truncate(to.notes);
        self.changes == to.changes
    }

    pub(super) fn tables_mut(&mut self) -> &mut WritableTables<'t> {
        self.changes += 1;
        &mut self.tables
    }

    pub(super) fn ring(&mut self, log: Log) -> &mut Table<'t, u64, EntryRecord> {
        let tables = self.tables_mut();
        match log {
            Log::Main => &mut tables.audit,
            Log::Refusals => &mut tables.refusals,
        }
    }

    pub(super) fn census_change(&self) -> Census {
        self.census
    }

    pub(super) fn census_is_sealed(&mut self) {
        self.census = Census::default();
    }

    /// Puts the record of a session.
    pub fn put_session(&mut self, id: SessionId, session: &Session) -> Result<(), StoreError> {
        let is_new = self.tables_mut().sessions.insert(&id.0, &codec::encode_session(session))?.is_none();
        if is_new {
            self.census.add_session(id);
        }
        Ok(())
    }

    /// Deletes the record of a session, if it is there.
    pub fn delete_session(&mut self, id: SessionId) -> Result<(), StoreError> {
        let was_there = self.tables.sessions.remove(&id.0)?.is_some();
        if was_there {
            self.changes += 1;
            self.census.remove_session(id);
        }
        Ok(())
    }

    /// Puts the record of a user, in place of the one that was there.
    pub fn put_user(&mut self, id: UserId, user: &User) -> Result<(), StoreError> {
        if let Some(before) = self.user(id)? {
            self.census.remove_user(id, &before);
        }
        self.census.add_user(id, user);
        self.tables_mut().users.insert(id.0, &codec::encode_user(user))?;
        Ok(())
    }

    /// Adds a user under a name that is free.
    pub fn add_user(&mut self, id: UserId, name: &Name, user: &User) -> Result<(), StoreError> {
        self.tables.logins.insert(name.folded(), id.0)?;
        self.put_user(id, user)
    }

    /// Deletes a user, the name and every session.
    pub fn delete_user(&mut self, id: UserId, name: &Name) -> Result<(), StoreError> {
        if let Some(before) = self.user(id)? {
            self.census.remove_user(id, &before);
        }
        self.tables_mut().logins.remove(name.folded())?;
        self.tables.users.remove(id.0)?;
        for (session, _) in self.sessions_of(id)? {
            self.delete_session(session)?;
        }
        Ok(())
    }

    /// Remembers which master keys this store is used with. For `reconcile` alone.
    pub fn put_key_fingerprints(&mut self, fingerprints: &[[u8; 9]]) -> Result<(), StoreError> {
        self.tables_mut().meta.insert(META_KEYS, fingerprints.as_flattened())?;
        Ok(())
    }

    /// Remembers since when a master key signs. For `reconcile` alone.
    pub fn put_signing_since(&mut self, kid: u8, since: UnixMillis) -> Result<(), StoreError> {
        let bytes = [&[kid][..], &since.0.to_be_bytes()].concat();
        self.tables_mut().meta.insert(META_SIGNING_SINCE, bytes.as_slice())?;
        Ok(())
    }

    /// Begins another era, in which no one-time code of an earlier one is good.
    pub fn put_era(&mut self, era: Era) -> Result<(), StoreError> {
        self.tables_mut().meta.insert(META_ERA, era.0.as_slice())?;
        Ok(())
    }

    /// Remembers when the last backup was made.
    pub fn put_last_backup(&mut self, time: UnixMillis) -> Result<(), StoreError> {
        self.tables_mut().meta.insert(META_LAST_BACKUP, time.0.to_be_bytes().as_slice())?;
        Ok(())
    }

    /// Tells the store the time of a command, and returns the time that is right for it; the commit it ends in notes
    /// the highest now and then.
    ///
    /// The two differ for a command that looked at the clock just before time was put back: it must not bring the
    /// old time back, nor begin a session in it.
    pub fn saw_time(&mut self, now: Now) -> Now {
        let now = self.clock.as_ref().map_or(now, |clock| now.min(clock.now()));
        self.now = Now { system: now.system, latest: self.now.latest.max(now.latest) };
        now
    }

    /// Notes what a command did or saw. It is written with the next commit; a batch that changes nothing makes none.
    pub fn note(&mut self, occurrence: Occurrence) {
        self.notes.push((occurrence, self.now.system));
    }

    /// Forgets how far time had gone, and makes `now` the highest time seen.
    pub fn lower_time(&mut self, now: UnixMillis) -> Result<(), StoreError> {
        self.now = Now::at(now);
        self.tables_mut().meta.insert(META_HIGHEST_TIME, now.0.to_be_bytes().as_slice())?;
        Ok(())
    }

    /// Makes a commit necessary although no record changed, so that what was noted is written at once.
    pub fn touch(&mut self) {
        self.changes += 1;
    }

    /// Ends the batch: whether there is anything to commit. What was noted waits for a commit with what `waiting` holds.
    pub(super) fn finish(
        mut self,
        key: Option<&AuditKey>,
        waiting: &mut Waiting,
    ) -> Result<bool, StoreError> {
        for (occurrence, time) in self.notes.drain(..) {
            waiting.add(occurrence, time);
        }
        if self.changes == 0 {
            return Ok(false);
        }
        let latest = self.now.latest;
        if latest > self.highest_time_seen()?.plus_secs(NOTE_TIME_SECS) {
            self.tables.meta.insert(META_HIGHEST_TIME, latest.0.to_be_bytes().as_slice())?;
        }
        if let Some(key) = key.filter(|_| !waiting.is_empty() || self.census != Census::default()) {
            self.append(key, waiting.take())?;
        }
        Ok(true)
    }
}

/// The tables of a copy that is being made, filled record by record.
pub(super) struct Copy<'t>(pub(super) WritableTables<'t>);

impl<'t> Copy<'t> {
    pub(super) fn begin(transaction: &'t WriteTransaction) -> Result<Self, StoreError> {
        WritableTables::open(transaction).map(Self)
    }

    pub(super) fn put_sessions(&mut self, sessions: &[(SessionId, Session)]) -> Result<(), StoreError> {
        for (id, session) in sessions {
            self.0.sessions.insert(&id.0, &codec::encode_session(session))?;
        }
        Ok(())
    }

    /// Copies all that has to be of one moment; returns the number of users.
    pub(super) fn put_all_but_sessions(&mut self, reads: &Reads) -> Result<u64, StoreError> {
        copy(&reads.meta, &mut self.0.meta, |_| Ok(()))?;
        copy(&reads.users, &mut self.0.users, |_| Ok(()))?;
        copy(&reads.logins, &mut self.0.logins, |_| Ok(()))?;
        copy(&reads.audit, &mut self.0.audit, |_| Ok(()))?;
        copy(&reads.refusals, &mut self.0.refusals, |_| Ok(()))?;
        Ok(reads.users.len()?)
    }

    /// Copies the sessions as they stand, all of one moment.
    pub(super) fn put_all_sessions(
        &mut self,
        reads: &Reads,
        progress: Progress<'_>,
    ) -> Result<(), StoreError> {
        let total = reads.sessions.len()?;
        copy(&reads.sessions, &mut self.0.sessions, |copied| {
            if copied % PROGRESS_EVERY == 0 && copied < total {
                progress(copied, total)?;
            }
            Ok(())
        })
    }
}

fn copy<K: redb::Key, V: redb::Value>(
    from: &ReadOnlyTable<K, V>,
    to: &mut Table<'_, K, V>,
    mut copied: impl FnMut(u64) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    for (entry, number) in from.iter()?.zip(1..) {
        let (key, value) = entry?;
        to.insert(key.value(), value.value())?;
        copied(number)?;
    }
    Ok(())
}
