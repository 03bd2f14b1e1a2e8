//! `latchkey check`: settings in force, key file and store, reported and left as they are.

use super::Failure;
use crate::folder;
use crate::settings::{Given, Settings};
use crate::store::Store;

pub(super) fn check(given: &Given, settings: &Settings) -> Result<(), Failure> {
    for (setting, value, source) in given.report() {
        say!("{:34} {value}  ({source})", setting.name);
    }
    if !folder::exists(settings) {
        say!("store      none yet at {}; serve makes it", folder::store_path(settings).display());
        return Ok(());
    }
    folder::check_privacy(settings)?;
    let used_with = match Store::inspect(&folder::store_path(settings)) {
        Ok(contents) => {
            say!("store      ok, {} users, {} session records", contents.users, contents.sessions);
            contents.key_fingerprints
        }
        Err(error) if error.is_in_use() => {
            say!("store      in use by a running server, which verified it when it started");
            Vec::new()
        }
        Err(error) => return Err(error.into()),
    };
    let keys = folder::read_keys(settings, &used_with)?;
    say!("key file   ok, key {} signs", keys.signing_kid());
    Ok(())
}
