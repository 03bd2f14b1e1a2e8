//! A session in a file: readable by its owner alone, replaced in one step, locked against other processes.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::record::RECORD_LEN_MAX;
use super::{OpenStore, Saved, SessionStore, StoreError};

const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// Keeps a session in a JSON file with mode 0600.
///
/// Beside `session.json` stand `session.json.lock`, which stays, and during a write `session.json.new`. A
/// crash leaves the old file or the new one; a torn `.new` is never read and is replaced by the next write.
#[derive(Clone, Debug)]
pub struct FileStore {
    path: PathBuf,
}

struct OpenFile<'a> {
    store: &'a FileStore,
    /// The lock ends when this is closed, which the kernel does even for a killed process.
    _lock: File,
}

impl FileStore {
    /// A store in the file `path`. Nothing is touched until it is used; the folder is made when it is first
    /// opened.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn sibling(&self, suffix: &str) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(suffix);
        PathBuf::from(name)
    }

    fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        }
    }

    fn failed<'a>(
        &self,
        doing: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(io::Error) -> StoreError + use<'a> {
        move |error| StoreError::Io { doing, path: path.to_owned(), reason: error.to_string() }
    }

    fn load(&self) -> Result<Option<Saved>, StoreError> {
        let failed = || self.failed("read", &self.path);
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(failed())?,
        };
        // Asked of the open file, not of its name: what was judged is what is read.
        let mode = file.metadata().map_err(failed())?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(StoreError::Exposed { path: self.path.clone(), mode });
        }
        let mut json = Zeroizing::new(Vec::with_capacity(RECORD_LEN_MAX));
        file.take(RECORD_LEN_MAX as u64).read_to_end(&mut json).map_err(failed())?;
        let damaged = |reason| StoreError::Damaged { path: self.path.clone(), reason };
        Saved::from_json(&json).map(Some).map_err(damaged)
    }

    fn save(&self, saved: &Saved) -> Result<(), StoreError> {
        let new = self.sibling(".new");
        self.replace(&new, &saved.to_json()).map_err(self.failed("write", &new))?;
        fs::rename(&new, &self.path).map_err(self.failed("replace", &self.path))?;
        self.sync_folder()
    }

    /// Writes a file that did not exist: one that a crash, or somebody else, left there keeps its mode and
    /// its readers.
    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    /// A rename is on the disk only when its folder is.
    fn sync_folder(&self) -> Result<(), StoreError> {
        let folder = self.folder();
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(self.failed("write", folder))
    }
}

impl SessionStore for FileStore {
    fn read(&self) -> Result<Option<Saved>, StoreError> {
        self.load()
    }

    fn open(&self) -> Result<Box<dyn OpenStore + '_>, StoreError> {
        let folder = self.folder();
        DirBuilder::new()
            .recursive(true)
            .mode(FOLDER_MODE)
            .create(folder)
            .map_err(self.failed("make the folder", folder))?;
        // A file of its own: the session file is replaced at each write, and a lock on it would stay with the
        // old one.
        let path = self.sibling(".lock");
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .open(&path)
            .and_then(|file| file.lock().map(|()| file))
            .map_err(self.failed("lock", &path))?;
        Ok(Box::new(OpenFile { store: self, _lock: lock }))
    }
}

impl OpenStore for OpenFile<'_> {
    fn read(&self) -> Result<Option<Saved>, StoreError> {
        self.store.load()
    }

    fn write(&mut self, saved: &Saved) -> Result<(), StoreError> {
        self.store.save(saved)
    }

    fn clear(&mut self) -> Result<(), StoreError> {
        match fs::remove_file(&self.store.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(self.store.failed("remove", &self.store.path)),
        }?;
        self.store.sync_folder()
    }
}
