//! `latchkey backup`, `restore` and `compact`: the store's file, copied, put back and made small.

use std::path::Path;

use super::{Failure, perform::perform};
use crate::administration::{Answer, Command};
use crate::audit::{Event, Occurrence};
use crate::command;
use crate::folder;
use crate::keys::Keys;
use crate::private_file;
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
    say!("backed up {users} users and {sessions} session records to {}", file.display());
    say!("the key file is not part of it: keep {} too, and apart", settings.key_file.display());
    Ok(())
}

/// Puts a backup in the place of the store, which is kept beside it.
pub(super) fn restore(settings: &Settings, file: &Path, keep_sessions: bool) -> Result<(), Failure> {
    let path = folder::store_path(settings);
    folder::make(settings)?;
    let prepared = private_file::beside(&path, "restoring");
    let done = restore_by_way_of(&prepared, settings, file, keep_sessions);
    if done.is_err() {
        // It holds password hashes, and nobody would look for it.
        let _ = std::fs::remove_file(&prepared);
    }
    done
}

fn restore_by_way_of(
    prepared: &Path,
    settings: &Settings,
    file: &Path,
    keep_sessions: bool,
) -> Result<(), Failure> {
    let path = folder::store_path(settings);
    // Held until the end, so that no server opens what is about to be replaced.
    let (replaced, users_before) = match folder::exists(settings).then(|| Store::open(&path, |_| {})) {
        None => (None, Vec::new()),
        Some(Ok(store)) => {
            let users = store.read(Reads::users)?;
            (Some(store), users)
        }
        Some(Err(error)) if error.is_in_use() => return Err(error.into()),
        Some(Err(error)) => {
            eprintln!("latchkey: {error}");
            (None, Vec::new())
        }
    };

    Store::copy_file(file, prepared).map_err(|error| format!("{}: {error}", file.display()))?;
    Store::inspect(prepared).map_err(|error| format!("{}: {error}", file.display()))?;
    let restored = Store::open(prepared, |_| {})?;
    let keys = match Keys::read(&settings.key_file) {
        Err(error) if error.is_missing() && !keep_sessions => Keys::create(&settings.key_file)?,
        read => read?,
    };
    if keep_sessions {
        folder::check_fingerprints(&restored.read(Reads::key_fingerprints)?, &keys, &settings.key_file)?;
    }
    restored.use_audit_key(keys.signing_audit_key().clone());
    let fingerprints = keys.fingerprints();
    restored.write(move |writes| {
        if !keep_sessions {
            // No token of another key will be asked for again.
            command::end_every_session(writes)?;
            writes.put_key_fingerprints(&fingerprints)?;
        }
        writes.note(Occurrence::of(Event::Restored));
        writes.touch();
        Ok(())
    })?;
    let users_after = restored.read(Reads::users)?;
    drop(restored);
    let kept = store::replace(&path, prepared)?;
    drop(replaced);

    say!("restored {} users from {}", users_after.len(), file.display());
    if keep_sessions {
        say!("kept the sessions of the backup: whoever was signed in then is signed in again");
    } else {
        say!("ended all sessions: a backup brings back some that have ended since");
    }
    if let Some(kept) = kept {
        say!("the store before is kept as {}", kept.display());
    }
    for line in what_went_back(&users_before, &users_after, keep_sessions) {
        say!("  {line}");
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
    say!("compacted from {} to {} KiB", before.div_ceil(1024), after.div_ceil(1024));
    Ok(())
}
