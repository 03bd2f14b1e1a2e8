//! The tables of the store and their typed view: what a reader may ask and a command may put.

use std::ops::Deref;

use redb::{
    ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, Table, TableDefinition, TableError,
    WriteTransaction,
};

use super::codec::{self, SESSION_LEN, USER_LEN};
use super::{Contents, StoreError};
use crate::session::{Session, SessionId};
use crate::time::UnixMillis;
use crate::user::{Name, User, UserId};

/// The number of the layout below; it goes up with every change to it, and a migration comes along.
pub(super) const SCHEMA: u32 = 1;

type Bytes = &'static [u8];
type SessionKey = &'static [u8; 16];
type SessionRecord = &'static [u8; SESSION_LEN];
type UserRecord = &'static [u8; USER_LEN];

const META: TableDefinition<'_, &str, Bytes> = TableDefinition::new("meta");
const USERS: TableDefinition<'_, u64, UserRecord> = TableDefinition::new("users");
const LOGINS: TableDefinition<'_, &str, u64> = TableDefinition::new("logins");
const SESSIONS: TableDefinition<'_, SessionKey, SessionRecord> = TableDefinition::new("sessions");

const META_SCHEMA: &str = "schema";
const META_HIGHEST_TIME: &str = "highest_time_ms";
const META_KEYS: &str = "keys";

/// How far time moves on before a commit notes it, in seconds: one more page a commit would be dear.
const NOTE_TIME_SECS: u64 = 60;

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
    transaction.open_table(META)?.insert(META_SCHEMA, SCHEMA.to_be_bytes().as_slice())?;
    Writes::begin(&transaction)?;
    transaction.commit()?;
    Ok(())
}

/// The tables under one transaction, read-only or not.
#[derive(Debug)]
pub struct Tables<M, U, L, S> {
    meta: M,
    users: U,
    logins: L,
    sessions: S,
}

/// A consistent state of the store, to read.
pub type Reads = Tables<
    ReadOnlyTable<&'static str, Bytes>,
    ReadOnlyTable<u64, UserRecord>,
    ReadOnlyTable<&'static str, u64>,
    ReadOnlyTable<SessionKey, SessionRecord>,
>;

type WritableTables<'t> = Tables<
    Table<'t, &'static str, Bytes>,
    Table<'t, u64, UserRecord>,
    Table<'t, &'static str, u64>,
    Table<'t, SessionKey, SessionRecord>,
>;

impl<M, U, L, S> Tables<M, U, L, S>
where
    M: ReadableTable<&'static str, Bytes>,
    U: ReadableTable<u64, UserRecord>,
    L: ReadableTable<&'static str, u64>,
    S: ReadableTable<SessionKey, SessionRecord>,
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

    /// Every user, in the order of their names.
    pub fn users(&self) -> Result<Vec<(UserId, User)>, StoreError> {
        let mut found = Vec::new();
        for entry in self.logins.iter()? {
            let id = UserId(entry?.1.value());
            found.push((id, self.user(id)?.ok_or(codec::Damaged)?));
        }
        Ok(found)
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

    /// Reads every record and counts them.
    pub(super) fn contents(&self) -> Result<Contents, StoreError> {
        let users = self.users()?.len() as u64;
        let mut sessions = 0;
        for entry in self.sessions.iter()? {
            codec::decode_session(entry?.1.value())?;
            sessions += 1;
        }
        Ok(Contents { users, sessions })
    }
}

impl Reads {
    pub(super) fn begin(transaction: &ReadTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            meta: transaction.open_table(META)?,
            users: transaction.open_table(USERS)?,
            logins: transaction.open_table(LOGINS)?,
            sessions: transaction.open_table(SESSIONS)?,
        })
    }
}

/// The tables as a command sees them: what earlier commands of the same batch put is there to read.
#[derive(Debug)]
pub struct Writes<'t> {
    tables: WritableTables<'t>,
    changed: bool,
    now: UnixMillis,
}

impl<'t> Deref for Writes<'t> {
    type Target = WritableTables<'t>;

    fn deref(&self) -> &Self::Target {
        &self.tables
    }
}

impl<'t> Writes<'t> {
    pub(super) fn begin(transaction: &'t WriteTransaction) -> Result<Self, StoreError> {
        let tables = Tables {
            meta: transaction.open_table(META)?,
            users: transaction.open_table(USERS)?,
            logins: transaction.open_table(LOGINS)?,
            sessions: transaction.open_table(SESSIONS)?,
        };
        Ok(Self { tables, changed: false, now: UnixMillis(0) })
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

    /// Tells the store the time of a command; the commit it ends in notes the highest now and then.
    pub fn saw_time(&mut self, now: UnixMillis) {
        self.now = self.now.max(now);
    }

    /// Ends the batch: whether there is anything to commit.
    pub(super) fn finish(mut self) -> Result<bool, StoreError> {
        if self.changed && self.now > self.highest_time_seen()?.plus_secs(NOTE_TIME_SECS) {
            self.tables.meta.insert(META_HIGHEST_TIME, self.now.0.to_be_bytes().as_slice())?;
        }
        Ok(self.changed)
    }
}
