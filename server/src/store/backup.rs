//! Backup, restore and compaction of a store's file.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::tables::Copy;
use super::{Contents, OpenError, OpenFailure, Store, StoreError, builder};
use crate::private_file::{self, beside};
use crate::session::SessionId;

/// Session records copied under one read; a read that stays open makes the file grow.
const SLICE_LEN: usize = 16_384;

/// How far long work has come: so many of so many records.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

impl Store {
    /// Writes a copy of everything to a new file at `path`, while the store goes on serving.
    ///
    /// The sessions are copied first, in slices; users and logs then, all of one moment. A session that changes
    /// meanwhile is in the copy as it was before or after; row 4 of the decision heals the difference.
    ///
    /// # Errors
    /// When there is a file at `path` already, or it cannot be written; then no file is left there.
    pub fn backup(&self, path: &Path, progress: Progress<'_>) -> Result<Contents, BackupError> {
        if fs::exists(path)? {
            return Err(BackupError::Exists);
        }
        let unfinished = beside(path, "unfinished");
        private_file::create(&unfinished)?;
        let made = self.copy_to(&unfinished, progress).and_then(|contents| {
            // A link, unlike a rename, fails when somebody was faster.
            fs::hard_link(&unfinished, path)?;
            private_file::sync_folder_of(path)?;
            Ok(contents)
        });
        let removed = fs::remove_file(&unfinished);
        let contents = made?;
        removed?;
        Ok(contents)
    }

    fn copy_to(&self, path: &Path, progress: Progress<'_>) -> Result<Contents, BackupError> {
        let target = builder().create(path).map_err(|error| BackupError::Failed(error.to_string()))?;
        let transaction = target.begin_write().map_err(StoreError::from)?;
        let mut copy = Copy::begin(&transaction)?;
        let total = self.read(|reads| reads.session_count())?;
        let mut after = SessionId([0; 16]);
        let mut sessions = 0;
        loop {
            let slice = self.read(|reads| reads.sessions_after(after, SLICE_LEN))?;
            let Some((last, _)) = slice.last() else { break };
            after = *last;
            sessions += slice.len() as u64;
            copy.put_sessions(&slice)?;
            progress(sessions.min(total), total);
        }
        let users = self.read(|reads| copy.put_all_but_sessions(reads))?;
        drop(copy);
        transaction.commit().map_err(StoreError::from)?;
        Ok(Contents { users, sessions, key_fingerprints: Vec::new() })
    }

    /// Copies what is at `from`, a store that nobody has open, to a new file at `to`.
    ///
    /// # Errors
    /// When one cannot be read or the other not written.
    pub fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
        // Bytes only: the mode of a backup is not the store's.
        let mut copy = private_file::create(to)?;
        io::copy(&mut File::open(from)?, &mut copy)?;
        copy.sync_all()?;
        private_file::sync_folder_of(to)
    }

    /// Makes the file at `path` as small as it can be; returns its length before and after.
    ///
    /// # Errors
    /// [`OpenError`] as for [`open`](Self::open), and when the disk fails.
    pub fn compact(path: &Path) -> Result<(u64, u64), OpenError> {
        let failed = |reason| OpenError { path: path.to_owned(), reason };
        let len = || fs::metadata(path).map(|metadata| metadata.len());
        let before = len().map_err(|error| failed(OpenFailure::Io(error)))?;
        // Opened as ever first, so that a damaged or newer store is refused in the same words.
        drop(Self::open(path, |_| {})?);
        let mut database = builder().open(path).map_err(|error| failed(error.into()))?;
        // One pass can make room that the next one uses.
        while database.compact().map_err(|error| failed(OpenFailure::Damaged(error.to_string())))? {}
        drop(database);
        let after = len().map_err(|error| failed(OpenFailure::Io(error)))?;
        Ok((before, after))
    }
}

/// Puts `file` in the place of the store at `path`, which is kept under the name that is returned.
///
/// # Errors
/// When a file cannot be renamed; then the store is where it was.
pub fn replace(path: &Path, file: &Path) -> io::Result<Option<PathBuf>> {
    let mut names = (1..).map(|number: u32| beside(path, &format!("replaced-{number}")));
    let kept = if fs::exists(path)? { names.find(|name| !name.exists()) } else { None };
    if let Some(kept) = &kept {
        fs::hard_link(path, kept)?;
    }
    fs::rename(file, path)?;
    private_file::sync_folder_of(path)?;
    Ok(kept)
}

/// Why a backup was not made.
#[derive(Debug)]
#[non_exhaustive]
pub enum BackupError {
    /// There is a file of that name.
    Exists,
    /// The file cannot be written.
    Io(io::Error),
    /// The store or the copy failed, and what it said.
    Failed(String),
}

impl std::fmt::Display for BackupError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exists => f.write_str("there is a file of that name already; choose another"),
            Self::Io(error) => write!(f, "the backup cannot be written: {error}"),
            Self::Failed(reason) => write!(f, "the backup was not made: {reason}"),
        }
    }
}

impl std::error::Error for BackupError {}

impl From<io::Error> for BackupError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<StoreError> for BackupError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.to_string())
    }
}
