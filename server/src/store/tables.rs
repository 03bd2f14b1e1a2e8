//! The tables of the store and their typed view: what a reader may ask and a command may put.

use std::ops::{Bound, Deref};

use redb::{
    ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table,
    TableDefinition, TableError, WriteTransaction,
};

use super::codec::{self, ENTRY_LEN, SESSION_LEN, USER_LEN};
use super::{Contents, Progress, StoreError};
use crate::audit::{AuditKey, Entry, Log, MAC_LEN, Occurrence, Waiting};
use crate::clock::Clock;
use crate::session::{Session, SessionId};
use crate::time::UnixMillis;
use crate::user::{Name, User, UserId};

/// The number of the layout below; it goes up with every change to it, and a migration comes along.
pub(super) const SCHEMA: u32 = 1 + MIGRATIONS.len() as u32;

/// What leads from each earlier schema to the next, schema 1 first.
const MIGRATIONS: &[Migration] = &[add_the_audit_logs];

type Migration = fn(&WriteTransaction) -> Result<(), StoreError>;

type Bytes = &'static [u8];
type SessionKey = &'static [u8; 16];
type SessionRecord = &'static [u8; SESSION_LEN];
type EntryRecord = &'static [u8; ENTRY_LEN];
type UserRecord = &'static [u8; USER_LEN];

const META: TableDefinition<'_, &str, Bytes> = TableDefinition::new("meta");
const USERS: TableDefinition<'_, u64, UserRecord> = TableDefinition::new("users");
const LOGINS: TableDefinition<'_, &str, u64> = TableDefinition::new("logins");
const SESSIONS: TableDefinition<'_, SessionKey, SessionRecord> = TableDefinition::new("sessions");

const AUDIT: TableDefinition<'_, u64, EntryRecord> = TableDefinition::new("audit");
const REFUSALS: TableDefinition<'_, u64, EntryRecord> = TableDefinition::new("refusals");

const META_SCHEMA: &str = "schema";
const META_HIGHEST_TIME: &str = "highest_time_ms";
const META_KEYS: &str = "keys";
const META_AUDIT_HEAD: &str = "audit_head";
const META_REFUSALS_HEAD: &str = "refusals_head";

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

impl Log {
    /// Entries the ring holds; then the oldest is overwritten.
    const fn len(self) -> u64 {
        match self {
            Self::Main => 16_384,
            Self::Refusals => 4_096,
        }
    }

    const fn head(self) -> &'static str {
        match self {
            Self::Main => META_AUDIT_HEAD,
            Self::Refusals => META_REFUSALS_HEAD,
        }
    }
}

/// Where a log ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// How many entries there ever were.
    pub next: u64,
    /// The MAC of the last; zeros for a log without entries.
    pub mac: [u8; MAC_LEN],
    /// The master key the seal is made with.
    kid: u8,
    /// The seal of the two.
    seal: [u8; MAC_LEN],
}

impl Head {
    const EMPTY: Self = Self { next: 0, mac: [0; MAC_LEN], kid: 0, seal: [0; MAC_LEN] };

    fn sealed(next: u64, mac: [u8; MAC_LEN], key: &AuditKey) -> Self {
        Self { next, mac, kid: key.kid(), seal: key.seal(next, &mac) }
    }

    fn is_sealed_by(&self, key: &AuditKey) -> bool {
        self.seal == key.seal(self.next, &self.mac)
    }

    pub(super) fn to_bytes(self) -> Vec<u8> {
        [self.next.to_be_bytes().as_slice(), &self.mac, &[self.kid], &self.seal].concat()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (next, rest) = bytes.split_first_chunk()?;
        let (mac, rest) = rest.split_first_chunk()?;
        let (&kid, seal) = rest.split_first()?;
        // No log is so long that its next entry could not be counted.
        let next = Some(u64::from_be_bytes(*next)).filter(|next| *next < u64::MAX)?;
        Some(Self { next, mac: *mac, kid, seal: seal.try_into().ok()? })
    }
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
    meta: M,
    users: U,
    logins: L,
    sessions: S,
    audit: A,
    refusals: A,
}

/// A consistent state of the store, to read.
pub type Reads = Tables<
    ReadOnlyTable<&'static str, Bytes>,
    ReadOnlyTable<u64, UserRecord>,
    ReadOnlyTable<&'static str, u64>,
    ReadOnlyTable<SessionKey, SessionRecord>,
    ReadOnlyTable<u64, EntryRecord>,
>;

type WritableTables<'t> = Tables<
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

    /// Where a log ends.
    pub fn head(&self, log: Log) -> Result<Head, StoreError> {
        match self.meta.get(log.head())? {
            Some(bytes) => Ok(Head::from_bytes(bytes.value()).ok_or(codec::Damaged)?),
            None => Ok(Head::EMPTY),
        }
    }

    /// The number of the oldest entry that the ring still holds.
    pub fn oldest(&self, log: Log) -> Result<u64, StoreError> {
        Ok(self.head(log)?.next.saturating_sub(log.len()))
    }

    /// An entry of a log, as it is and as the bytes its MAC is over.
    pub fn entry(&self, log: Log, number: u64) -> Result<Option<(Entry, [u8; ENTRY_LEN])>, StoreError> {
        let ring = match log {
            Log::Main => &self.audit,
            Log::Refusals => &self.refusals,
        };
        let Some(record) = ring.get(number % log.len())? else { return Ok(None) };
        let record = *record.value();
        Ok(Some((codec::decode_entry(&record)?, record)))
    }

    /// How many session records there are, dead ones included.
    pub fn session_count(&self) -> Result<u64, StoreError> {
        Ok(self.sessions.len()?)
    }

    /// Walks a log from its head's seal and its oldest entry on, each entry vouching for the one before; returns the
    /// number of the first that is missing or not as it was written.
    pub fn first_broken_entry<'k>(
        &self,
        log: Log,
        key_of: impl Fn(u8) -> Option<&'k AuditKey>,
    ) -> Result<Option<u64>, StoreError> {
        let (head, oldest) = (self.head(log)?, self.oldest(log)?);
        if head == Head::EMPTY {
            return Ok(self.entry(log, 0)?.map(|_| 0));
        }
        // The oldest entry's own predecessor is gone, so nothing is known of it.
        let mut expected = None;
        for number in oldest..head.next {
            // An entry that cannot even be read is broken too, not a reason to stop looking.
            let entry = self.entry(log, number).ok().flatten();
            let Some((entry, record)) = entry.filter(|(entry, _)| entry.number == number) else {
                return Ok(Some(number));
            };
            if expected.is_some_and(|mac| mac != entry.previous) {
                return Ok(Some(number - 1));
            }
            let Some(key) = key_of(entry.kid) else { return Ok(Some(number)) };
            expected = Some(key.mac(&record));
        }
        let is_sealed = key_of(head.kid).is_some_and(|key| head.is_sealed_by(key));
        let is_whole = is_sealed && expected == Some(head.mac);
        Ok((!is_whole).then_some(head.next.saturating_sub(1)))
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

    /// Reads every record and counts them.
    pub(super) fn contents(&self, progress: Progress<'_>) -> Result<Contents, StoreError> {
        let users = self.users()?.len() as u64;
        let total = self.sessions.len()?;
        let mut sessions = 0;
        for entry in self.sessions.iter()? {
            codec::decode_session(entry?.1.value())?;
            sessions += 1;
            if sessions % PROGRESS_EVERY == 0 {
                progress(sessions, total);
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
    changed: bool,
    now: UnixMillis,
    waiting: &'t mut Waiting,
    /// Set once time was put back.
    clock: Option<Clock>,
}

impl<'t> Deref for Writes<'t> {
    type Target = WritableTables<'t>;

    fn deref(&self) -> &Self::Target {
        &self.tables
    }
}

impl<'t> Writes<'t> {
    pub(super) fn begin(
        transaction: &'t WriteTransaction,
        waiting: &'t mut Waiting,
        clock: Option<Clock>,
    ) -> Result<Self, StoreError> {
        let tables = WritableTables::open(transaction)?;
        Ok(Self { tables, changed: false, now: UnixMillis(0), waiting, clock })
    }

    /// Puts the record of a session.
    pub fn put_session(&mut self, id: SessionId, session: &Session) -> Result<(), StoreError> {
        self.changed = true;
        self.tables.sessions.insert(&id.0, &codec::encode_session(session))?;
        Ok(())
    }

    /// Deletes the record of a session, if it is there.
    pub fn delete_session(&mut self, id: SessionId) -> Result<(), StoreError> {
        self.changed |= self.tables.sessions.remove(&id.0)?.is_some();
        Ok(())
    }

    /// Puts the record of a user who is already there.
    pub fn put_user(&mut self, id: UserId, user: &User) -> Result<(), StoreError> {
        self.changed = true;
        self.tables.users.insert(id.0, &codec::encode_user(user))?;
        Ok(())
    }

    /// Adds a user under a name that is free.
    pub fn add_user(&mut self, id: UserId, name: &Name, user: &User) -> Result<(), StoreError> {
        self.tables.logins.insert(name.folded(), id.0)?;
        self.put_user(id, user)
    }

    /// Deletes a user, the name and every session.
    pub fn delete_user(&mut self, id: UserId, name: &Name) -> Result<(), StoreError> {
        self.changed = true;
        self.tables.logins.remove(name.folded())?;
        self.tables.users.remove(id.0)?;
        for (session, _) in self.sessions_of(id)? {
            self.delete_session(session)?;
        }
        Ok(())
    }

    /// Remembers which master keys this store is used with.
    pub fn put_key_fingerprints(&mut self, fingerprints: &[[u8; 9]]) -> Result<(), StoreError> {
        self.changed = true;
        self.tables.meta.insert(META_KEYS, fingerprints.as_flattened())?;
        Ok(())
    }

    /// Tells the store the time of a command, and returns the time that is right for it; the commit it ends in notes
    /// the highest now and then.
    ///
    /// The two differ for a command that looked at the clock just before time was put back: it must not bring the
    /// old time back, nor begin a session in it.
    pub fn saw_time(&mut self, now: UnixMillis) -> UnixMillis {
        let now = self.clock.as_ref().map_or(now, |clock| now.min(clock.now()));
        self.now = self.now.max(now);
        now
    }

    /// Notes what a command did or saw. It is written with the next commit; a batch that changes nothing makes none.
    pub fn note(&mut self, occurrence: Occurrence) {
        self.waiting.add(occurrence, self.now);
    }

    /// Forgets how far time had gone, and makes `now` the highest time seen.
    pub fn lower_time(&mut self, now: UnixMillis) -> Result<(), StoreError> {
        self.now = now;
        self.changed = true;
        self.tables.meta.insert(META_HIGHEST_TIME, now.0.to_be_bytes().as_slice())?;
        Ok(())
    }

    /// Makes a commit necessary although no record changed, so that what was noted is written at once.
    pub fn touch(&mut self) {
        self.changed = true;
    }

    /// Ends the batch: whether there is anything to commit.
    pub(super) fn finish(mut self, key: Option<&AuditKey>) -> Result<bool, StoreError> {
        if !self.changed {
            return Ok(false);
        }
        if self.now > self.highest_time_seen()?.plus_secs(NOTE_TIME_SECS) {
            self.tables.meta.insert(META_HIGHEST_TIME, self.now.0.to_be_bytes().as_slice())?;
        }
        if let Some(key) = key {
            for (occurrence, time, count) in self.waiting.take() {
                self.append(key, occurrence, time, count)?;
            }
        }
        Ok(true)
    }

    fn append(
        &mut self,
        key: &AuditKey,
        occurrence: Occurrence,
        time: UnixMillis,
        count: u32,
    ) -> Result<(), StoreError> {
        let log = occurrence.event.log();
        let Head { next: number, mac: previous, .. } = self.head(log)?;
        self.put_entry(log, key, Entry { number, time, count, occurrence, kid: key.kid(), previous })
    }

    /// Writes an entry, and the head behind it.
    fn put_entry(&mut self, log: Log, key: &AuditKey, entry: Entry) -> Result<(), StoreError> {
        let record = codec::encode_entry(&entry);
        let ring = match log {
            Log::Main => &mut self.tables.audit,
            Log::Refusals => &mut self.tables.refusals,
        };
        ring.insert(entry.number % log.len(), &record)?;
        let head = Head::sealed(entry.number + 1, key.mac(&record), key);
        self.tables.meta.insert(log.head(), head.to_bytes().as_slice())?;
        Ok(())
    }

    /// Binds every entry of both logs with `key` anew, before the key they are bound with is forgotten.
    pub fn bind_logs_anew(&mut self, key: &AuditKey) -> Result<(), StoreError> {
        self.changed = true;
        for log in [Log::Main, Log::Refusals] {
            let (oldest, next) = (self.oldest(log)?, self.head(log)?.next);
            for number in oldest..next {
                let (entry, _) = self.entry(log, number)?.ok_or(codec::Damaged)?;
                let bound_to = if number == oldest { entry.previous } else { self.head(log)?.mac };
                self.put_entry(log, key, Entry { kid: key.kid(), previous: bound_to, ..entry })?;
            }
        }
        Ok(())
    }
}

/// The tables of a copy that is being made, filled record by record.
pub(super) struct Copy<'t>(WritableTables<'t>);

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
        copy(&reads.meta, &mut self.0.meta, |_| {})?;
        copy(&reads.users, &mut self.0.users, |_| {})?;
        copy(&reads.logins, &mut self.0.logins, |_| {})?;
        copy(&reads.audit, &mut self.0.audit, |_| {})?;
        copy(&reads.refusals, &mut self.0.refusals, |_| {})?;
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
                progress(copied, total);
            }
        })
    }
}

fn copy<K: redb::Key, V: redb::Value>(
    from: &ReadOnlyTable<K, V>,
    to: &mut Table<'_, K, V>,
    mut copied: impl FnMut(u64),
) -> Result<(), StoreError> {
    for (entry, number) in from.iter()?.zip(1..) {
        let (key, value) = entry?;
        to.insert(key.value(), value.value())?;
        copied(number);
    }
    Ok(())
}
