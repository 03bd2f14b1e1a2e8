//! The data folder: made private, and opened as one thing, store and key file together.

use std::fmt;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::clock::Clock;
use crate::keys::{KeyFileError, Keys};
use crate::reconcile::{Because, is_reconciled, reconcile};
use crate::settings::Settings;
use crate::store::{self, OpenError, Reads, Store, StoreError};

/// A data folder that is open.
#[derive(Debug)]
pub struct Opened {
    /// Its store.
    pub store: Store,
    /// Its keys.
    pub keys: Keys,
    /// Whether the store was made just now.
    pub is_new: bool,
}

/// Opens the data folder, making what is missing when it is new.
///
/// # Errors
/// [`FolderError`] says what is wrong and what to do.
pub fn open(
    settings: &Settings,
    on_failure: impl FnOnce(&StoreError) + Send + 'static,
) -> Result<Opened, FolderError> {
    make(settings)?;
    let is_new = !exists(settings);
    let store = Store::open(&store_path(settings), on_failure)?;
    let used_with = store.read(Reads::key_fingerprints)?;
    check_privacy(settings)?;
    let keys = if used_with.is_empty() && !fs::exists(&settings.key_file).unwrap_or(true) {
        Keys::create(&settings.key_file)?
    } else {
        read_keys(settings, &used_with)?
    };
    store.use_audit_key(keys.signing_audit_key().clone());
    if !store.read(|reads| is_reconciled(reads, &keys))? {
        let now = Clock::starting_at(store.highest_time_seen()?).now();
        store.write_alone(
            |writes| {
                writes.saw_time(now);
                reconcile(writes, &keys, Because::KeysMayHaveCome, now.system)
            },
            || {},
        )?;
    }
    if store.read(Reads::is_lost)? {
        log::warn!(
            "the audit log is not what it was: somebody removed or changed where it ends; see `latchkey audit verify`"
        );
    }
    Ok(Opened { store, keys, is_new })
}

/// Where the store of these settings lies.
pub fn store_path(settings: &Settings) -> PathBuf {
    settings.data.join(store::FILE_NAME)
}

/// Refuses a key file that lacks a key the store was used with: every session of that key would be refused too.
///
/// # Errors
/// [`FolderError::OtherKey`].
pub fn check_fingerprints(used_with: &[[u8; 9]], keys: &Keys, path: &Path) -> Result<(), FolderError> {
    let present = keys.fingerprints();
    match used_with.iter().find(|fingerprint| !present.contains(fingerprint)) {
        Some(&[kid, ..]) => Err(FolderError::OtherKey { kid, path: path.to_owned() }),
        None => Ok(()),
    }
}

/// Reads the key file of a store that was used with keys.
///
/// # Errors
/// [`FolderError::KeyFileLost`] when it is gone, and what [`Keys::read`] and [`check_fingerprints`] refuse.
pub fn read_keys(settings: &Settings, used_with: &[[u8; 9]]) -> Result<Keys, FolderError> {
    let keys = match Keys::read(&settings.key_file) {
        Err(error) if error.is_missing() && !used_with.is_empty() => {
            return Err(FolderError::KeyFileLost { path: settings.key_file.clone() });
        }
        read => read?,
    };
    check_fingerprints(used_with, &keys, &settings.key_file)?;
    Ok(keys)
}

/// Refuses a folder or a store that others can reach: the control socket takes passwords, the store holds hashes.
///
/// # Errors
/// [`FolderError::OpenToOthers`].
pub fn check_privacy(settings: &Settings) -> Result<(), FolderError> {
    for (path, mode) in [(settings.data.clone(), "700"), (store_path(settings), "600")] {
        let is_open = fs::metadata(&path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0);
        if is_open {
            return Err(FolderError::OpenToOthers { path, mode });
        }
    }
    Ok(())
}

/// Makes the data folder if there is none, for its owner alone.
///
/// # Errors
/// [`FolderError::Folder`].
pub fn make(settings: &Settings) -> Result<(), FolderError> {
    let folder = settings.data.clone();
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
    made.map_err(|error| FolderError::Folder { folder, error })
}

/// Whether there is anything in the folder yet.
pub fn exists(settings: &Settings) -> bool {
    fs::exists(store_path(settings)).unwrap_or(true)
}

/// Why the data folder could not be opened; its text says what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum FolderError {
    /// The folder cannot be made.
    Folder {
        /// Which one.
        folder: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The store cannot be opened.
    Store(OpenError),
    /// The store was opened and then failed.
    Failed(StoreError),
    /// The key file is refused.
    KeyFile(KeyFileError),
    /// Others can reach the folder or the store.
    OpenToOthers {
        /// Which of the two.
        path: PathBuf,
        /// The mode it should have.
        mode: &'static str,
    },
    /// The store has been in use and its key file is gone.
    KeyFileLost {
        /// Where it should be.
        path: PathBuf,
    },
    /// The store was used with a key that the key file does not hold.
    OtherKey {
        /// The key's id.
        kid: u8,
        /// The key file.
        path: PathBuf,
    },
}

impl FolderError {
    /// Whether another process has the store open.
    pub fn is_in_use(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_in_use())
    }
}

impl fmt::Display for FolderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder { folder, error } => write!(
                f,
                "the data folder {} cannot be made: {error}; choose another with --data",
                folder.display()
            ),
            Self::Store(error) => error.fmt(f),
            Self::Failed(error) => error.fmt(f),
            Self::KeyFile(error) => error.fmt(f),
            Self::OpenToOthers { path, mode } => {
                let path = path.display();
                write!(f, "others than its owner can get at {path}; run `chmod {mode} {path}`")
            }
            Self::KeyFileLost { path } => write!(
                f,
                "the key file {} is gone, and a new one would sign everybody out; put it back, \
                 or move the store away too to start anew",
                path.display()
            ),
            Self::OtherKey { kid, path } => write!(
                f,
                "the store was used with another key {kid} than the one in {}; put the right key file back",
                path.display()
            ),
        }
    }
}

impl std::error::Error for FolderError {}

impl From<OpenError> for FolderError {
    fn from(error: OpenError) -> Self {
        Self::Store(error)
    }
}

impl From<StoreError> for FolderError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl From<KeyFileError> for FolderError {
    fn from(error: KeyFileError) -> Self {
        Self::KeyFile(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Given;

    fn settings(folder: &tempfile::TempDir) -> Settings {
        let mut settings = Given::default().resolve().unwrap();
        settings.data = folder.path().join("data");
        settings.key_file = settings.data.join("keys");
        settings
    }

    fn refusal(settings: &Settings) -> String {
        open(settings, |_| {}).unwrap_err().to_string()
    }

    #[test]
    fn a_new_folder_store_and_key_file_are_private() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(&folder);
        drop(open(&settings, |_| {}).unwrap());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&settings.data), 0o700);
        assert_eq!(mode(&settings.key_file), 0o600);
        assert_eq!(mode(&store_path(&settings)), 0o600);
        open(&settings, |_| {}).unwrap();
    }

    #[test]
    fn a_folder_or_store_that_others_can_reach_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(&folder);
        drop(open(&settings, |_| {}).unwrap());
        for (path, open_mode, mode) in
            [(settings.data.clone(), 0o750, 0o700), (store_path(&settings), 0o640, 0o600)]
        {
            fs::set_permissions(&path, fs::Permissions::from_mode(open_mode)).unwrap();
            assert!(refusal(&settings).contains(&format!("chmod {mode:o}")));
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        open(&settings, |_| {}).unwrap();
    }

    #[test]
    fn a_lost_key_file_is_not_made_anew_for_a_store_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(&folder);
        drop(open(&settings, |_| {}).unwrap());
        fs::remove_file(&settings.key_file).unwrap();
        assert!(refusal(&settings).contains("is gone"));
        assert!(!settings.key_file.exists());
    }

    #[test]
    fn a_key_file_of_another_store_is_refused_and_one_with_a_key_more_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(&folder);
        drop(open(&settings, |_| {}).unwrap());
        let ours = fs::read_to_string(&settings.key_file).unwrap();
        fs::remove_file(&settings.key_file).unwrap();
        Keys::create(&settings.key_file).unwrap();
        assert!(refusal(&settings).contains("used with another key 1"));
        fs::write(&settings.key_file, format!("{ours}2 {}\n", "A".repeat(43))).unwrap();
        assert_eq!(open(&settings, |_| {}).unwrap().keys.signing_kid(), 2);
    }
}
