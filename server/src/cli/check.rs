//! `latchkey check`: settings in force, key file and store, reported and left as they are.

use super::Failure;
use crate::folder;
use crate::keys::Keys;
use crate::settings::{Given, Settings};
use crate::store::Store;

pub(super) fn check(given: &Given, settings: &Settings) -> Result<(), Failure> {
    for (setting, value, source) in given.report() {
        println!("{:34} {value}  ({source})", setting.name);
    }
    if !folder::exists(settings) {
        println!("store      none yet at {}; serve makes it", folder::store_path(settings).display());
        return Ok(());
    }
    let keys = Keys::read(&settings.key_file)?;
    println!("key file   ok, key {} signs", keys.signing_kid());
    match Store::inspect(&folder::store_path(settings)) {
        Ok(contents) => {
            println!("store      ok, {} users, {} session records", contents.users, contents.sessions);
        }
        Err(error) if error.is_in_use() => {
            println!("store      in use by a running server, which verified it when it started");
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
