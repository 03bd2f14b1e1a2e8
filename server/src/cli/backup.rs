//! `latchkey backup`, `restore` and `compact`: the store's file, copied, put back and made small.

use std::path::Path;

use super::{Failure, perform::perform};
use crate::administration::{Answer, Command};
use crate::audit::{Event, Occurrence};
use crate::command;
use crate::folder;
use crate::keys::Keys;
use crate::settings::Settings;
use crate::store::{self, Reads, Store};
use crate::user::{User, UserId};

/// Writes a copy of the store to a new file, also while the server runs.
pub(super) fn backup(settings: &Settings, file: &Path) -> Result<(), Failure> {
    // The server has a working directory of its own.
    let path = std::path::absolute(file)?;
    let Answer::BackedUp { users, sessions } = perform(settings, Command::Backup { path })? else {
        return Err("the server answered something else than a backup".into());
    };
    println!("backed up {users} users and {sessions} session records to {}", file.display());
    println!("the key file is not part of it: keep {} too, and apart", settings.key_file.display());
    Ok(())
}

/// Puts a backup in the place of the store, which is kept beside it.
pub(super) fn restore(settings: &Settings, file: &Path, keep_sessions: bool) -> Result<(), Failure> {
    let path = folder::store_path(settings);
    folder::make(settings)?;
    let contents = Store::inspect(file)?;
    let replaced = if folder::exists(settings) { Some(Store::open(&path, |_| {})?) } else { None };
    let users_before = match &replaced {
        Some(store) => store.read(Reads::users)?,
        None => Vec::new(),
    };

    let prepared = store::beside(&path, "restoring");
    Store::copy_file(file, &prepared)?;
    let restored = Store::open(&prepared, |_| {})?;
    let keys = Keys::read(&settings.key_file)?;
    folder::check_fingerprints(&restored, &keys, &settings.key_file)?;
    restored.use_audit_key(keys.signing_audit_key().clone());
    restored.write(move |writes| {
        if !keep_sessions {
            command::end_every_session(writes)?;
        }
        writes.note(Occurrence::of(Event::Restored));
        writes.touch();
        Ok(())
    })?;
    let users_after = restored.read(Reads::users)?;
    drop(restored);
    // Until now nobody else could open the store; from here on what they open is the restored one.
    let kept = store::replace(&path, &prepared)?;
    drop(replaced);

    println!("restored {} users from {}", contents.users, file.display());
    if keep_sessions {
        println!("kept the sessions of the backup: whoever was signed in then is signed in again");
    } else {
        println!("ended all sessions: a backup brings back some that have ended since");
    }
    if let Some(kept) = kept {
        println!("the store before is kept as {}", kept.display());
    }
    for line in what_went_back(&users_before, &users_after, keep_sessions) {
        println!("  {line}");
    }
    Ok(())
}

/// The users whose state may have gone back, each with what differs.
fn what_went_back(before: &[(UserId, User)], after: &[(UserId, User)], keep_sessions: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for (id, user) in before {
        let Some((_, now)) = after.iter().find(|(other, _)| other == id) else {
            lines.push(format!("{} is not in the backup", user.name));
            continue;
        };
        let differences = [
            ("the password", user.password_hash != now.password_hash),
            ("the role", user.role != now.role),
            (if now.disabled { "disabled again" } else { "enabled again" }, user.disabled != now.disabled),
            ("ended sessions", keep_sessions && user.auth_epoch != now.auth_epoch),
        ];
        let differing: Vec<_> =
            differences.iter().filter(|(_, differs)| *differs).map(|(what, _)| *what).collect();
        if !differing.is_empty() {
            lines.push(format!("{} went back: {}", user.name, differing.join(", ")));
        }
    }
    for (id, user) in after {
        if !before.is_empty() && !before.iter().any(|(other, _)| other == id) {
            lines.push(format!("{} is back", user.name));
        }
    }
    lines
}

/// Makes the store's file as small as it can be; the server must not run.
pub(super) fn compact(settings: &Settings) -> Result<(), Failure> {
    let (before, after) = Store::compact(&folder::store_path(settings))?;
    println!("compacted from {} to {} KiB", before.div_ceil(1024), after.div_ceil(1024));
    Ok(())
}
