//! Where a session waits for the next start of the program, and what is written there.

mod file;
mod memory;
mod record;

use std::fmt;
use std::path::PathBuf;

pub use self::file::FileStore;
pub use self::memory::MemoryStore;
pub use self::record::{DamagedRecord, Saved};

/// Keeps one session. Implement it to keep sessions elsewhere: in a keyring, a database, the flash of a
/// device.
pub trait SessionStore: Send + Sync {
    /// What is kept now, without waiting for anybody.
    ///
    /// # Errors
    /// [`StoreError`] when something is there and cannot be read or understood. It is left as it is.
    fn read(&self) -> Result<Option<Saved>, StoreError>;

    /// Waits until nobody else has the store open, in this process or another, and opens it.
    ///
    /// The client keeps it open from reading the refresh token until its answer is written: two processes
    /// that refreshed side by side would each hold what the other has just spent.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be opened.
    fn open(&self) -> Result<Box<dyn OpenStore + '_>, StoreError>;
}

/// A store that is open; dropping it closes it.
pub trait OpenStore {
    /// What is kept now.
    ///
    /// # Errors
    /// As [`SessionStore::read`].
    fn read(&self) -> Result<Option<Saved>, StoreError>;

    /// Keeps `saved` instead of what was kept. **When it returns, a loss of power brings back `saved` or, if
    /// it failed, what was there before; never half of either.**
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    fn write(&mut self, saved: &Saved) -> Result<(), StoreError>;

    /// Keeps nothing any more.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be removed.
    fn clear(&mut self) -> Result<(), StoreError>;
}

/// A session could not be read or kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// The file is there but is not a session.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: DamagedRecord,
    },
    /// Others than the owner can read or write the file.
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The operating system refused.
    Io {
        /// What was being done, as in "write".
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Its reason.
        reason: String,
    },
    /// A store of the program's own failed, in its own words.
    Other(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged { path, reason } => {
                write!(
                    f,
                    "{} is damaged ({reason}); it was left as it is: move it away and sign in again",
                    path.display()
                )
            }
            Self::Exposed { path, mode } => {
                let path = path.display();
                write!(
                    f,
                    "{path} holds a session but others can reach it (mode {mode:03o}): chmod 600 {path}"
                )
            }
            Self::Io { doing, path, reason } => write!(f, "cannot {doing} {}: {reason}", path.display()),
            Self::Other(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for StoreError {}
