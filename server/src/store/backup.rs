//! Backups: a copy of everything in a new file, made while the store goes on serving.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use super::tables::Copy;
use super::{Contents, Store, StoreError, builder};
use crate::private_file::{self, beside};
use crate::session::SessionId;

/// Session records copied under one read; a read that stays open makes the file grow.
const SLICE_LEN: usize = 16_384;

/// Told how far long work has come, so many of so many records; an error ends the work.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64) -> Result<(), Interrupted>;

/// Nobody wants the work any more: the server is stopping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server is stopping")
    }
}

impl Store {
    /// Writes a copy of everything to a new file at `path`, while the store goes on serving.
    ///
    /// The sessions are copied first, in slices; users and logs then, all of one moment. A session that changes
    /// meanwhile is in the copy as it was before or after; row 4 of the decision heals the difference.
    ///
    /// # Errors
    /// When there is a file at `path` already, or it cannot be written; then no file is left there.
    pub fn backup(&self, path: &Path, progress: Progress<'_>) -> Result<Contents, BackupError> {
        let _alone = self.hold_copies();
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
            progress(sessions.min(total), total).map_err(StoreError::from)?;
        }
        let (users, there) = self.read(|reads| Ok((copy.put_all_but_sessions(reads)?, reads.census()?)))?;
        if let Some(key) = self.writer.terms().audit_key {
            // The sessions are of other moments than the logs, and the seal should be of both.
            copy.seal_sessions(&key, there)?;
        }
        drop(copy);
        transaction.commit().map_err(StoreError::from)?;
        Ok(Contents { users, sessions, key_fingerprints: Vec::new() })
    }
}

impl std::error::Error for Interrupted {}

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

impl fmt::Display for BackupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
