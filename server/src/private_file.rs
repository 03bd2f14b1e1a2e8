//! Files that hold secrets: made for their owner alone, and there after a power cut.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

/// A new file for its owner alone, in place of one that an earlier attempt left.
///
/// One that is there would keep its mode and owner, and a link planted here would be followed.
///
/// # Errors
/// When it cannot be removed or made.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// A new file that is going to take the place of the one at `path`, under another name in the same folder.
///
/// When root makes it, it belongs to whom the file at `path` belongs to, or the folder: root may work on the files of a
/// service, which has to be able to open them afterwards.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn create_beside(path: &Path, extension: &str) -> io::Result<(PathBuf, File)> {
    let unfinished = beside(path, extension);
    let file = create(&unfinished)?;
    if geteuid().is_root() {
        let model = fs::metadata(path).or_else(|_| fs::metadata(folder_of(path)))?;
        fchown(&file, Some(model.uid()), Some(model.gid()))?;
    }
    Ok((unfinished, file))
}

/// Where the file at `path` really lies, or will: what takes the place of a link would leave the file behind it, and its
/// secrets, where they are.
pub(crate) fn behind_links(path: &Path) -> PathBuf {
    match fs::read_link(path) {
        Ok(target) => fs::canonicalize(path).unwrap_or_else(|_| folder_of(path).join(target)),
        Err(_) => path.to_owned(),
    }
}

/// A file in the same folder, named after `path`.
pub(crate) fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

/// Makes sure that the names in the folder of `path` are on the disk.
///
/// # Errors
/// When the folder cannot be opened or synced.
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
}
