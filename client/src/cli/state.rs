//! Which file the session is kept in.

use std::env;
use std::path::{Path, PathBuf};

use super::trouble::Trouble;

/// The file that was named, or the one in the user's folder for state (XDG Base Directory Specification).
pub(super) fn file(named: Option<&Path>) -> Result<PathBuf, Trouble> {
    let folder = |variable| env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let state_folder = || folder("XDG_STATE_HOME").or_else(|| Some(folder("HOME")?.join(".local/state")));
    named
        .map(Path::to_owned)
        .or_else(|| Some(state_folder()?.join("latchkey-client/session.json")))
        .ok_or_else(|| {
            Trouble::new("HOME is not set: say where to keep the session with --state FILE".into())
        })
}
