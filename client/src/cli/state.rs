//! Which file the session is kept in.

use std::env;
use std::path::{Path, PathBuf};

use super::trouble::Trouble;

/// The file that was named, or the account's in the platform's folder for what a program remembers.
pub(super) fn file(named: Option<&Path>, account: &str) -> Result<PathBuf, Trouble> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    let set = |variable| env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    folder(cfg!(target_os = "macos"), set("XDG_STATE_HOME"), set("HOME"))
        .map(|folder| folder.join("latchkey-client").join(format!("{account}.json")))
        .ok_or_else(|| {
            Trouble::new("HOME is not set: say where to keep the session with --state FILE".into())
        })
}

/// `~/Library/Application Support` on macOS, else what the XDG Base Directory Specification says.
fn folder(is_macos: bool, state_home: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    if is_macos {
        return Some(home?.join("Library/Application Support"));
    }
    state_home.or_else(|| Some(home?.join(".local/state")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_platform_has_its_folder() {
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(folder(false, None, path("/h")), path("/h/.local/state"));
        assert_eq!(folder(false, path("/x"), path("/h")), path("/x"));
        assert_eq!(folder(true, path("/x"), path("/h")), path("/h/Library/Application Support"));
        assert_eq!(folder(false, None, None), None);
    }
}
