//! The store: users, log-in names and sessions in one redb file, read in short transactions and written by one thread.
//!
//! Nothing outside this folder knows redb. A write is a command that gets records, decides with the pure rules, and
//! puts what changed; whatever commands wait are committed together, and each is answered only after the commit.

mod backup;
mod codec;
#[cfg(fuzzing)]
pub mod fuzzing;
mod logs;
mod overlay;
mod replacement;
mod tables;
mod writer;

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::backends::FileBackend;
use redb::{Database, DatabaseError, ReadableDatabase, StorageError};

use crate::audit::{AuditKey, Occurrence, Waiting};
use crate::clock::Clock;
use crate::entropy;
use crate::private_file;
use crate::session::{Session, SessionId};
use crate::time::{Now, UnixMillis};
use crate::user::User;
pub use backup::{BackupError, Interrupted, Progress};
pub use logs::{Doubt, End, Reseal};
use overlay::Overlay;
use replacement::Current;
pub use replacement::{Replacement, ReplacementError};
pub use tables::{Reads, UsersPage, Writes};
use writer::Writer;

/// Name of the store's file inside the data folder.
pub const FILE_NAME: &str = "latchkey.redb";

/// Bytes of redb's page cache. Its own default is 1 GiB; at a million sessions this one keeps nearly the same rate.
const CACHE_LEN: usize = 8 << 20;

/// A handle on the open store. Dropping it waits for the commands that were accepted and closes the file.
#[derive(Debug)]
pub struct Store {
    // Dropped first, so that the writer's thread has ended before the file closes.
    writer: Writer,
    database: Arc<Current>,
    path: PathBuf,
    /// Held by the one who makes a file under a name that is the same each time.
    copying: Mutex<()>,
}

impl Store {
    /// Opens the store at `path`, creating it when there is none, and verifies it whole. A link is followed, and stays.
    ///
    /// `on_failure` is called at most once, from the writer's thread, when a commit has failed: from then on every
    /// write is refused, and the process should end and start again.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong and what to do.
    pub fn open(
        path: &Path,
        on_failure: impl FnOnce(&StoreError) + Send + 'static,
    ) -> Result<Self, OpenError> {
        let path = private_file::behind_links(path);
        let failed = |reason| OpenError { path: path.clone(), reason };
        if !fs::exists(&path).map_err(|error| failed(OpenFailure::Io(error)))? {
            create(&path).map_err(failed)?;
        }
        let file = open_existing(&path).map_err(failed)?;
        let opened = file.metadata().map_err(|error| failed(OpenFailure::Io(error)))?;
        let database = FileBackend::new(file).and_then(|file| builder().create_with_backend(file));
        let database = database.map_err(|error| failed(error.into()))?;
        // Whoever had it locked until now may have put another file in its place meanwhile.
        if fs::metadata(&path).map_or(true, |there| there.ino() != opened.ino()) {
            return Err(failed(OpenFailure::InUse));
        }
        migrate(&database).map_err(failed)?;
        // What a killed restore left holds password hashes, and nobody would look for it.
        replacement::remove_unfinished(&path);
        Ok(Self::start(database, path, on_failure))
    }

    /// Starts the writer of a database.
    fn start(
        database: Database,
        path: PathBuf,
        on_failure: impl FnOnce(&StoreError) + Send + 'static,
    ) -> Self {
        let database = Arc::new(Current::new(database));
        let writer = Writer::start(Arc::clone(&database), on_failure);
        Self { writer, database, path, copying: Mutex::default() }
    }

    /// Verifies the store at `path` as [`open`](Self::open) does, without changing a byte of it, and counts what it
    /// holds.
    ///
    /// # Errors
    /// [`OpenError`] as for [`open`](Self::open), and also when a record cannot be read.
    pub fn inspect(path: &Path) -> Result<Contents, OpenError> {
        let failed = |reason| OpenError { path: path.to_owned(), reason };
        // Open for writing because of the lock; the overlay writes nothing.
        let overlay = Overlay::new(open_existing(path).map_err(failed)?);
        let database = overlay
            .and_then(|overlay| builder().create_with_backend(overlay))
            .map_err(|error| failed(error.into()))?;
        // In memory only, like everything the overlay takes in.
        migrate(&database).map_err(failed)?;
        let transaction = database.begin_read().map_err(|error| failed(StoreError::from(error).into()))?;
        let reads = Reads::begin(&transaction).map_err(|error| failed(error.into()))?;
        reads.contents(&mut |_, _| Ok(())).map_err(|error| failed(error.into()))
    }

    /// Keeps everybody else from backing up, restoring and compacting for as long as the guard lives: two that write the
    /// same unfinished file would put one in place that is not whole, or is deleted.
    pub fn hold_copies(&self) -> MutexGuard<'_, ()> {
        self.copying.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where its file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of its file; 0 for the moment in which another takes its place.
    pub fn file_len(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |file| file.len())
    }

    /// Runs `look` on one consistent state of the store. Keep it short: an open read makes the file grow.
    ///
    /// # Errors
    /// Whatever `look` returns, and [`StoreError::Failed`] when the file cannot be read.
    pub fn read<T>(&self, look: impl FnOnce(&Reads) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let database = self.database.get();
        let transaction = database.begin_read()?;
        look(&Reads::begin(&transaction)?)
    }

    /// The records of a session and its user.
    ///
    /// # Errors
    /// [`StoreError::Failed`] when the file cannot be read.
    pub fn session_and_user(&self, id: SessionId) -> Result<(Option<Session>, Option<User>), StoreError> {
        tables::session_and_user(&self.database.get().begin_read()?, id)
    }

    /// Hands `command` to the writer and waits for its answer, which comes after the commit.
    ///
    /// A command that changes nothing costs no commit. One that returns [`StoreError::Damaged`] fails alone if it has
    /// changed nothing; otherwise the whole batch is taken back, and whoever was in it may try again.
    ///
    /// # Errors
    /// [`StoreError::Full`] when too many commands wait, [`StoreError::Damaged`] when a record cannot be read,
    /// [`StoreError::Failed`] when the store has failed; then the command may or may not have been applied.
    pub fn write<T: Send + 'static>(
        &self,
        command: impl FnOnce(&mut Writes<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer.run(command)
    }

    /// The same for a caller that does not wait: `then` is called exactly once, from the writer's thread unless the
    /// queue is full. It should be quick.
    pub fn write_then<T: Send + 'static>(
        &self,
        command: impl FnOnce(&mut Writes<'_>) -> Result<T, StoreError> + Send + 'static,
        then: impl FnOnce(Result<T, StoreError>) + Send + 'static,
    ) {
        self.writer.run_then(command, then);
    }

    /// Runs `command` in a commit of its own; no other begins before `then`, which follows the commit, is over.
    ///
    /// # Errors
    /// [`StoreError`]; unless it is [`StoreError::Failed`], nothing has changed.
    pub fn write_alone<T>(
        &self,
        command: impl FnOnce(&mut Writes<'_>) -> Result<T, StoreError>,
        then: impl FnOnce(),
    ) -> Result<T, StoreError> {
        self.writer.while_paused(|| {
            let terms = self.writer.terms();
            match writer::commit_one(&self.database.get(), &mut Waiting::default(), &terms, command) {
                Ok(outcome) => {
                    then();
                    Ok(Ok(outcome))
                }
                Err(error @ StoreError::Failed(_)) => Err(error),
                // The store is as it was.
                Err(error) => Ok(Err(error)),
            }
        })?
    }

    /// From now on no command is of a later time than `clock` shows: time was put back, and commands under way hold
    /// times of before.
    pub fn limit_time(&self, clock: Clock) {
        self.writer.change_terms(|terms| terms.clock = Some(clock));
    }

    /// Gives the audit logs the key that their entries are bound with; without one, what is to be noted waits.
    pub fn use_audit_key(&self, key: AuditKey) {
        self.writer.change_terms(|terms| terms.audit_key = Some(key));
    }

    /// Notes something that happened without waiting for it to be written.
    pub fn note(&self, occurrence: Occurrence, now: Now) {
        self.writer.submit(move |writes| {
            writes.saw_time(now);
            writes.note(occurrence);
            Ok(())
        });
    }

    /// The highest time a commit has noted, or 1970 in a new store.
    ///
    /// # Errors
    /// [`StoreError::Failed`] when the file cannot be read.
    pub fn highest_time_seen(&self) -> Result<UnixMillis, StoreError> {
        self.read(Reads::highest_time_seen)
    }
}

/// Makes a store at `path`, whole or not at all: an empty file is no store, and whoever finds one should be told.
fn create(path: &Path) -> Result<(), OpenFailure> {
    // A name of its own, so that two that begin at once do not meet.
    let name = format!("new-{:016x}", u64::from_ne_bytes(entropy::bytes()));
    let (unfinished, file) = private_file::create_beside(path, &name)?;
    let made = FileBackend::new(file)
        .and_then(|file| builder().create_with_backend(file))
        .map_err(OpenFailure::from)
        .and_then(|database| Ok(tables::create(&database)?))
        .and_then(|()| match fs::hard_link(&unfinished, path) {
            // Somebody was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => Ok(linked?),
        });
    fs::remove_file(&unfinished)?;
    made?;
    Ok(private_file::sync_folder_of(path)?)
}

/// Opens the file of a store that is there.
fn open_existing(path: &Path) -> Result<File, OpenFailure> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    if file.metadata()?.len() == 0 { Err(OpenFailure::Empty) } else { Ok(file) }
}

/// Brings an existing database to this version's schema.
fn migrate(database: &Database) -> Result<(), OpenFailure> {
    let schema =
        tables::schema(database)?.ok_or_else(|| OpenFailure::Damaged("it holds nothing".to_owned()))?;
    if schema > tables::SCHEMA {
        return Err(OpenFailure::NewerSchema(schema));
    }
    Ok(tables::migrate(database, schema)?)
}

/// How redb opens a file: a plain open would trust flipped bits, and panic at some.
fn builder() -> redb::Builder {
    let mut builder = redb::Builder::new();
    builder.set_cache_size(CACHE_LEN).set_check_integrity_on_open(true);
    builder
}

/// What [`Store::inspect`] counted.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Contents {
    /// Users, disabled ones included.
    pub users: u64,
    /// Session records, those of expired sessions included.
    pub sessions: u64,
    /// The master keys the store was used with.
    pub key_fingerprints: Vec<[u8; 9]>,
}

/// Why a read or a write did not happen.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// Too many commands wait to be written; try again soon.
    Full,
    /// Whoever wanted it does not want it any more; nothing has changed.
    Interrupted,
    /// A record is not as it was written. The rest of the store may well be.
    Damaged,
    /// The storage has failed, with what it said, for the log only.
    Failed(String),
}

impl StoreError {
    /// What stands in the store cannot be what was written.
    pub(crate) fn damaged() -> Self {
        Self::Damaged
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("too many writes are waiting"),
            Self::Interrupted => Interrupted.fmt(f),
            Self::Damaged => f.write_str("a stored record is damaged; `latchkey check` says whether more is"),
            Self::Failed(reason) => write!(f, "the store has failed: {reason}"),
        }
    }
}

impl std::error::Error for StoreError {}

impl From<Interrupted> for StoreError {
    fn from(Interrupted: Interrupted) -> Self {
        Self::Interrupted
    }
}

impl From<codec::Damaged> for StoreError {
    fn from(codec::Damaged: codec::Damaged) -> Self {
        Self::Damaged
    }
}

/// redb has one error type an operation; none of them asks for a different answer, so all are one here.
macro_rules! storage_failures {
    ($($error:ty),*) => { $(
        impl From<$error> for StoreError {
            fn from(error: $error) -> Self {
                Self::Failed(error.to_string())
            }
        }
    )* };
}
storage_failures!(StorageError, redb::TableError, redb::TransactionError, redb::CommitError);

/// Why the store could not be opened; its text says what to do.
#[derive(Debug)]
pub struct OpenError {
    path: PathBuf,
    reason: OpenFailure,
}

impl OpenError {
    /// Whether another process has the store open, which for a command means: ask that process.
    pub fn is_in_use(&self) -> bool {
        matches!(self.reason, OpenFailure::InUse)
    }
}

#[derive(Debug)]
enum OpenFailure {
    InUse,
    NewerSchema(u32),
    Empty,
    Io(io::Error),
    Damaged(String),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.reason {
            OpenFailure::InUse => write!(
                f,
                "the store {path} is in use by another latchkey; stop that one, or choose another folder with --data"
            ),
            OpenFailure::NewerSchema(schema) => write!(
                f,
                "the store {path} has schema {schema}, and this latchkey knows none above {}; \
                 run the newer latchkey that wrote it",
                tables::SCHEMA
            ),
            OpenFailure::Empty => write!(
                f,
                "the store {path} is an empty file, and was something else once; \
                 put a backup in its place, or remove it to start anew"
            ),
            OpenFailure::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => write!(
                f,
                "no permission to read and write the store {path}; run latchkey as the user who owns it"
            ),
            OpenFailure::Io(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::StorageFull | io::ErrorKind::FileTooLarge | io::ErrorKind::QuotaExceeded
                ) =>
            {
                write!(f, "no room left to write the store {path} ({error}); free some space and start again")
            }
            OpenFailure::Io(error) => write!(f, "the store {path} cannot be opened: {error}"),
            OpenFailure::Damaged(what) => write!(
                f,
                "the store {path} is damaged or no latchkey store ({what}); \
                 nothing was changed: put a backup in its place, or move it away to start anew"
            ),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<io::Error> for OpenFailure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<StorageError> for OpenFailure {
    fn from(error: StorageError) -> Self {
        match error {
            // redb reports a file that does not start like one of its own as invalid data.
            StorageError::Io(error) if error.kind() != io::ErrorKind::InvalidData => Self::Io(error),
            other => Self::Damaged(other.to_string()),
        }
    }
}

impl From<DatabaseError> for OpenFailure {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::DatabaseAlreadyOpen => Self::InUse,
            DatabaseError::Storage(error) => error.into(),
            other => Self::Damaged(other.to_string()),
        }
    }
}

impl From<StoreError> for OpenFailure {
    fn from(error: StoreError) -> Self {
        Self::Damaged(error.to_string())
    }
}

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod tests;
