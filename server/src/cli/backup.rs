//! `latchkey backup`, `restore` and `compact`: the store's file, copied, put back and made small.

use std::fs;
use std::path::Path;

use serde::Serialize;

use super::perform::{Reached, perform, reach};
use super::{Failure, output::Form, progress::Bar, unexpected};
use crate::administration::{Answer, Command};
use crate::clock::Clock;
use crate::folder::{self, FolderError};
use crate::keys::Keys;
use crate::restore::{self, Place, Restored, Terms};
use crate::settings::Settings;
use crate::store::{Replacement, Store};
use crate::time::UnixMillis;

/// Writes a copy of the store to a new file, also while the server runs.
pub(super) fn backup(settings: &Settings, file: &Path, form: Form) -> Result<(), Failure> {
    // The server has a working directory of its own.
    let path = std::path::absolute(file)?;
    let (users, sessions) = match perform(settings, Command::Backup { path })? {
        Answer::BackedUp { users, sessions } => (users, sessions),
        other => return Err(unexpected(other)),
    };
    form.print(&BackedUp { file, users, sessions }, |_| {
        say!("backed up {users} users and {sessions} session records to {}", file.display());
        say!("the key file is not part of it: keep {} too, and apart", settings.key_file.display());
    })
}

#[derive(Serialize)]
struct BackedUp<'a> {
    file: &'a Path,
    users: u64,
    sessions: u64,
}

/// Puts a backup in the place of the store, which is kept beside it, also while the server runs.
pub(super) fn restore(
    settings: &Settings,
    file: &Path,
    how: RestoreFlags,
    form: Form,
) -> Result<(), Failure> {
    let RestoreFlags { keep_sessions, new_key } = how;
    let path = std::path::absolute(file)?;
    folder::make(settings)?;
    check_key_file(settings, new_key)?;
    let command = Command::Restore { path: path.clone(), keep_sessions };
    let restored = match reach(settings, &command, || find(settings))? {
        Reached::Server(Answer::Restored(restored)) => restored,
        Reached::Server(other) => return Err(unexpected(other)),
        Reached::Store(found) => restore_here(settings, &found, &path, how)?,
    };
    form.print(&restored, |Restored { users, kept, went_back, unverified }| {
        say!("restored {users} users from {}", file.display());
        if new_key {
            say!(
                "made a new key file at {}: keep a copy of it, apart from backups",
                settings.key_file.display()
            );
        }
        if keep_sessions {
            say!("kept the sessions of the backup: whoever was signed in then is signed in again");
        } else {
            say!("ended all sessions: a backup brings back some that have ended since");
        }
        if let Some(kept) = kept {
            say!("the store before is kept as {}", kept.display());
        }
        if let Some(why) = unverified {
            say!("the audit log of the backup was taken over as not verified: {why}");
        }
        for line in went_back {
            say!("  {line}");
        }
    })
}

/// How a restore was asked for.
#[derive(Clone, Copy)]
pub(super) struct RestoreFlags {
    pub(super) keep_sessions: bool,
    pub(super) new_key: bool,
}

/// Refuses to make a key file unasked: the right one may lie elsewhere, where only the service's own settings say.
fn check_key_file(settings: &Settings, new_key: bool) -> Result<(), Failure> {
    let path = settings.key_file.display();
    match (fs::exists(&settings.key_file)?, new_key) {
        (false, false) => Err(format!(
            "there is no key file at {path}; put the one of the backup there, or say with --key-file where it is \
             (the service may have LATCHKEY_KEY_FILE set), or begin with a new key with --new-key"
        )
        .into()),
        (true, true) => {
            Err(format!("there is a key file at {path} already; restore without --new-key").into())
        }
        _ => Ok(()),
    }
}

/// What there is to be replaced.
enum Found {
    /// A store, held so that no server opens it meanwhile.
    Store(Store),
    /// One that cannot be opened, which may be why a backup is restored.
    Damaged,
    /// Nothing yet.
    Nothing,
}

fn find(settings: &Settings) -> Result<Found, FolderError> {
    if !folder::exists(settings) {
        return Ok(Found::Nothing);
    }
    match Store::open(&folder::store_path(settings), |_| {}) {
        Ok(store) => Ok(Found::Store(store)),
        Err(error) if error.is_in_use() => Err(error.into()),
        Err(error) => {
            eprintln!("latchkey: {error}");
            Ok(Found::Damaged)
        }
    }
}

fn restore_here(
    settings: &Settings,
    found: &Found,
    file: &Path,
    RestoreFlags { keep_sessions, new_key }: RestoreFlags,
) -> Result<Restored, Failure> {
    let path = folder::store_path(settings);
    let mut bar = Bar::default();
    let backup = Replacement::of_backup(file, &path, &mut |done, total| bar.show(done, total))?;
    drop(bar);
    let keys = if new_key { Keys::create(&settings.key_file)? } else { Keys::read(&settings.key_file)? };
    let (place, seen) = match found {
        Found::Store(store) => (Place::Store(store), store.highest_time_seen()?),
        Found::Damaged => (Place::Damaged(&path), UnixMillis(0)),
        Found::Nothing => (Place::Free(&path), UnixMillis(0)),
    };
    let clock = Clock::starting_at(seen);
    let terms = Terms { keys: &keys, key_file: &settings.key_file, clock: &clock, keep_sessions };
    let restored = restore::restore(place, backup, terms);
    if restored.is_err() && new_key {
        // Nothing was signed with it, and beside the store that is still there it would be the wrong one.
        fs::remove_file(&settings.key_file)?;
    }
    Ok(restored?)
}

/// Makes the store's file as small as it can be, also while the server runs.
pub(super) fn compact(settings: &Settings, form: Form) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Compacted {
        before: u64,
        after: u64,
    }
    match perform(settings, Command::Compact)? {
        Answer::Compacted { before, after } => form.print(&Compacted { before, after }, |_| {
            say!("compacted from {} to {} KiB", before.div_ceil(1024), after.div_ceil(1024));
        }),
        other => Err(unexpected(other)),
    }
}
