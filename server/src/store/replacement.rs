//! Another database in a store's place: made beside it, whole and on the disk, then put there in one step.
//!
//! The step is a rename, so that whoever opens the store afterwards, be it after a power cut, finds the one or the
//! other. The database is open and locked before it, and stays so: at no moment could another process take it.

use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::mem;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use redb::{Database, ReadableDatabase};

use super::tables::Copy;
use super::writer::{self, Terms};
use super::{OpenError, OpenFailure, Progress, Reads, Store, StoreError, Writes, builder, migrate};
use crate::audit::{AuditKey, Waiting};
use crate::private_file::{self, beside};

/// What a replacement is called, behind the store's name, until it is put in place.
const EXTENSION: &str = "replacement";

/// Bytes copied between two words about how far a restore has come.
const CHUNK_LEN: usize = 1 << 20;

/// The database in force. Readers and the writer take it anew for each transaction, and the one they have stays open
/// until they are done with it.
#[derive(Debug)]
pub(super) struct Current(RwLock<Arc<Database>>);

impl Current {
    pub(super) fn new(database: Database) -> Self {
        Self(RwLock::new(Arc::new(database)))
    }

    pub(super) fn get(&self) -> Arc<Database> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the one before. Closing it takes a moment, which nobody should have to wait for.
    fn put(&self, database: Database) -> Arc<Database> {
        mem::replace(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner), Arc::new(database))
    }
}

/// A database that is ready to take a store's place.
#[derive(Debug)]
pub struct Replacement {
    // Closed first, then the file is removed, unless it is a store's by then.
    database: Database,
    file: Unfinished,
}

/// The file of a replacement, removed if it comes to nothing.
#[derive(Debug)]
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // It holds password hashes. Once it has been put in place there is no file of this name.
        let _ = fs::remove_file(&self.0);
    }
}

/// Removes what a process that was killed has left beside the store at `path`.
pub(super) fn remove_unfinished(path: &Path) {
    drop(Unfinished(beside(path, EXTENSION)));
}

impl Replacement {
    /// Copies the backup at `from` beside the store at `store`, verifies it whole and brings it to this version's
    /// schema; `from` is left as it is.
    ///
    /// # Errors
    /// [`ReplacementError`] when it cannot be read, or is damaged or of a newer schema.
    pub fn of_backup(from: &Path, store: &Path, progress: Progress<'_>) -> Result<Self, ReplacementError> {
        let refused = |reason| ReplacementError::Backup(OpenError { path: from.to_owned(), reason });
        let (mut backup, backup_is) = open_backup(from).map_err(refused)?;
        if fs::metadata(store)
            .is_ok_and(|store| (store.dev(), store.ino()) == (backup_is.dev(), backup_is.ino()))
        {
            return Err(ReplacementError::Itself);
        }
        // Copying is the first half of what is shown, and reading every record the second.
        let half = backup_is.len().max(1);
        let (file, mut copy) = private_file::create_beside(store, EXTENSION)?;
        let file = Unfinished(file);
        let (mut chunk, mut copied) = (vec![0; CHUNK_LEN], 0);
        loop {
            let len = backup.read(&mut chunk).map_err(|error| refused(OpenFailure::Io(error)))?;
            if len == 0 {
                break;
            }
            copy.write_all(&chunk[..len])?;
            copied += len as u64;
            progress(copied.min(half), 2 * half).map_err(ReplacementError::interrupted)?;
        }
        copy.sync_all()?;
        drop(copy);

        // `open` and not `create`: an empty file is no backup of an empty store.
        let database = builder().open(&file.0).map_err(|error| refused(error.into()))?;
        migrate(&database).map_err(refused)?;
        let replacement = Self { database, file };
        let mut shown = |done: u64, total: u64| {
            let done = u128::from(half) * u128::from(done) / u128::from(total.max(1));
            progress(half + done as u64, 2 * half)
        };
        replacement.read(|reads| reads.contents(&mut shown)).map_err(|error| match error {
            StoreError::Interrupted => ReplacementError::interrupted(error),
            error => refused(error.into()),
        })?;
        progress(2 * half, 2 * half).map_err(ReplacementError::interrupted)?;
        Ok(replacement)
    }

    /// Copies what `reads` sees beside the store at `store`, packed as densely as can be.
    fn of_store(reads: &Reads, store: &Path, progress: Progress<'_>) -> Result<Self, ReplacementError> {
        let (file, _) = private_file::create_beside(store, EXTENSION)?;
        let file = Unfinished(file);
        let database =
            builder().create(&file.0).map_err(|error| ReplacementError::Copy(error.to_string()))?;
        let replacement = Self { database, file };
        replacement.fill(reads, progress).map_err(|error| ReplacementError::Copy(error.to_string()))?;
        Ok(replacement)
    }

    fn fill(&self, reads: &Reads, progress: Progress<'_>) -> Result<(), StoreError> {
        let transaction = self.database.begin_write()?;
        let mut copy = Copy::begin(&transaction)?;
        copy.put_all_sessions(reads, progress)?;
        copy.put_all_but_sessions(reads)?;
        drop(copy);
        transaction.commit()?;
        progress(1, 1)?;
        Ok(())
    }

    /// Runs `look` on it.
    ///
    /// # Errors
    /// Whatever `look` returns, and [`StoreError::Failed`] when the file cannot be read.
    pub fn read<T>(&self, look: impl FnOnce(&Reads) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let transaction = self.database.begin_read()?;
        look(&Reads::begin(&transaction)?)
    }

    /// Changes it in one commit, whose log entries are bound with `audit_key`.
    ///
    /// # Errors
    /// Whatever `command` returns, and [`StoreError::Failed`] when the file cannot be written.
    pub fn write<T>(
        &self,
        audit_key: AuditKey,
        command: impl FnOnce(&mut Writes<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let terms = Terms { audit_key: Some(audit_key), ..Terms::default() };
        writer::commit_one(&self.database, &mut Waiting::default(), &terms, command)
    }

    /// Puts it at `path`, where there is no store.
    ///
    /// # Errors
    /// [`ReplacementError`], also when somebody has made one there meanwhile; then everything is as it was.
    pub fn put_at(self, path: &Path) -> Result<(), ReplacementError> {
        // A link, unlike a rename, fails when there is a file.
        fs::hard_link(&self.file.0, path)?;
        Ok(sync_folder_of(path)?)
    }

    /// Puts it in the place of a store that nobody can open, which is kept under the name that is returned.
    ///
    /// # Errors
    /// [`ReplacementError`]; then everything is as it was.
    pub fn put_over_damaged(self, path: &Path) -> Result<PathBuf, ReplacementError> {
        let kept = keep(path)?;
        rename(&self.file.0, path, Some(&kept))?;
        sync_folder_of(path)?;
        Ok(kept)
    }
}

/// Opens a backup. What is no plain file is refused: a pipe could keep whoever opens it waiting for ever.
fn open_backup(path: &Path) -> Result<(File, Metadata), OpenFailure> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(OpenFailure::Damaged("it is no plain file".to_owned()));
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

/// Gives the store at `path` a second name, which it keeps when another takes its place.
fn keep(path: &Path) -> io::Result<PathBuf> {
    for number in 1_u32.. {
        let kept = beside(path, &format!("replaced-{number}"));
        match fs::hard_link(path, &kept) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(|()| kept),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

fn rename(file: &Path, path: &Path, kept: Option<&PathBuf>) -> io::Result<()> {
    fs::rename(file, path).inspect_err(|_| {
        if let Some(kept) = kept {
            // Only the second name of a store that stays where it is.
            let _ = fs::remove_file(kept);
        }
    })
}

/// Makes the rename last.
fn sync_folder_of(path: &Path) -> Result<(), StoreError> {
    private_file::sync_folder_of(path).map_err(|error| {
        StoreError::Failed(format!("another was put in its place, and the folder cannot be synced: {error}"))
    })
}

impl Store {
    /// Puts `replacement` in this store's place between two batches of its writer, whether it serves or not; `before`
    /// reads what is replaced, and `then` runs before anybody writes to what replaced it. The file that was the store
    /// is kept under the name that is returned.
    ///
    /// # Errors
    /// [`ReplacementError`]. Then this store is in force as before; unless it says [`ReplacementError::Stopped`], when
    /// it serves nobody any more: either of the two is found when it is opened again.
    pub fn replace<T>(
        &self,
        replacement: Replacement,
        before: impl FnOnce(&Reads) -> Result<T, StoreError>,
        then: impl FnOnce(),
    ) -> Result<(T, PathBuf), ReplacementError> {
        let outcome = self.writer.while_paused(|| {
            let before = match self.read(before) {
                Ok(before) => before,
                Err(error) => return Ok(Err(ReplacementError::Copy(error.to_string()))),
            };
            let kept = match keep(&self.path) {
                Ok(kept) => kept,
                Err(error) => return Ok(Err(error.into())),
            };
            let put = self.put_in_force(replacement, Some(&kept))?;
            Ok(put.map(|replaced| {
                then();
                (before, kept, replaced)
            }))
        });
        let (before, kept, _) = outcome??;
        Ok((before, kept))
    }

    /// Makes the store's file as small as it can be; returns its length before and after.
    ///
    /// A copy takes its place, made between two batches of the writer: reads go on, and writes wait, two to three
    /// seconds for a million sessions.
    ///
    /// # Errors
    /// As for [`replace`](Self::replace), and when there is no room for the copy.
    pub fn compact(&self, progress: Progress<'_>) -> Result<(u64, u64), ReplacementError> {
        let _alone = self.hold_copies();
        let outcome = self.writer.while_paused(|| {
            let copied = self.read(|reads| Ok(Replacement::of_store(reads, &self.path, progress)));
            let replacement = match copied {
                Ok(Ok(replacement)) => replacement,
                Ok(Err(error)) => return Ok(Err(error)),
                Err(error) => return Ok(Err(ReplacementError::Copy(error.to_string()))),
            };
            let before = self.file_len();
            let put = self.put_in_force(replacement, None)?;
            Ok(put.map(|replaced| (before, self.file_len(), replaced)))
        });
        let (before, after, _) = outcome??;
        Ok((before, after))
    }

    /// The outer error stops the store: the rename is done, and whether it outlasts a power cut is not known.
    fn put_in_force(
        &self,
        replacement: Replacement,
        kept: Option<&PathBuf>,
    ) -> Result<Result<Arc<Database>, ReplacementError>, StoreError> {
        let Replacement { database, file } = replacement;
        if let Err(error) = rename(&file.0, &self.path, kept) {
            return Ok(Err(error.into()));
        }
        sync_folder_of(&self.path)?;
        Ok(Ok(self.database.put(database)))
    }
}

/// Why a store was not replaced.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReplacementError {
    /// The backup is refused.
    Backup(OpenError),
    /// The backup is the store's own file.
    Itself,
    /// A file cannot be written or renamed.
    Io(io::Error),
    /// A store or the copy failed, and what it said.
    Copy(String),
    /// The store has stopped, and what it said.
    Stopped(String),
}

impl ReplacementError {
    fn interrupted(why: impl fmt::Display) -> Self {
        Self::Copy(why.to_string())
    }
}

impl fmt::Display for ReplacementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backup(OpenError { path, reason: OpenFailure::Damaged(what) }) => {
                write!(f, "{} is damaged or no latchkey store ({what}); nothing was changed", path.display())
            }
            Self::Backup(OpenError { path, reason: OpenFailure::Io(error) }) => {
                write!(f, "{} cannot be read: {error}", path.display())
            }
            Self::Backup(error) => error.fmt(f),
            Self::Itself => f.write_str("this file is the store itself; nothing was changed"),
            Self::Io(error) => write!(f, "the copy cannot be written: {error}; nothing was changed"),
            Self::Copy(reason) => write!(f, "the copy was not made: {reason}; nothing was changed"),
            Self::Stopped(reason) => {
                write!(f, "{reason}; start again: what is found is whole, the store before or the new one")
            }
        }
    }
}

impl std::error::Error for ReplacementError {}

impl From<StoreError> for ReplacementError {
    fn from(error: StoreError) -> Self {
        Self::Stopped(error.to_string())
    }
}

impl From<io::Error> for ReplacementError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
