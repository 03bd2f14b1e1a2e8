//! Restoring a backup: what is changed in it before it takes a store's place, and what may have gone back with it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::administration::Refusal;
use crate::audit::{Event, Occurrence};
use crate::clock::Clock;
use crate::command;
use crate::folder::check_fingerprints;
use crate::keys::Keys;
use crate::reconcile::{Because, Broken, reconcile};
use crate::store::{Reads, Replacement, Store};
use crate::time::UnixMillis;
use crate::user::{User, UserId, visible};

/// What came of a restore.
#[derive(Debug, Serialize, Deserialize)]
pub struct Restored {
    /// Users in the backup.
    pub users: usize,
    /// Where the store before is kept, if there was one.
    pub kept: Option<PathBuf>,
    /// The users whose state may have gone back, each with what differs.
    pub went_back: Vec<String>,
    /// Why the backup's audit log was taken over as not verified, if it was.
    pub unverified: Option<Broken>,
}

/// How a backup is restored.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The keys that are in force from then on.
    pub keys: &'a Keys,
    /// The file they were read from, for messages.
    pub key_file: &'a Path,
    /// The time, which never goes back by a restore.
    pub clock: &'a Clock,
    /// Whether whoever was signed in then is signed in again.
    pub keep_sessions: bool,
}

/// What a backup takes the place of.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// A store that this process has open, and may be serving.
    Store(&'a Store),
    /// A store at this path that nobody can open.
    Damaged(&'a Path),
    /// Nothing: there is no store at this path yet.
    Free(&'a Path),
}

/// Puts `backup` in its place.
///
/// # Errors
/// [`Refusal`]; then nothing has changed, unless it says that the store has stopped.
pub fn restore(place: Place<'_>, backup: Replacement, terms: Terms<'_>) -> Result<Restored, Refusal> {
    let Prepared { users, seen, unverified } = prepare(&backup, terms)?;
    let (before, kept) = match place {
        Place::Store(store) => {
            // Before anybody writes to the new store: no commit of its is of a time that it has left behind.
            let (before, kept) = store.replace(backup, Reads::users, || terms.clock.catch_up(seen))?;
            (before, Some(kept))
        }
        Place::Damaged(path) => (Vec::new(), Some(backup.put_over_damaged(path)?)),
        Place::Free(path) => {
            backup.put_at(path)?;
            (Vec::new(), None)
        }
    };
    // Where nobody could sign in before, nothing went back.
    let went_back =
        if before.is_empty() { Vec::new() } else { what_went_back(&before, &users, terms.keep_sessions) };
    Ok(Restored { users: users.len(), kept, went_back, unverified })
}

/// A backup as its store will begin with it.
struct Prepared {
    users: Vec<(UserId, User)>,
    /// The highest time it has seen.
    seen: UnixMillis,
    unverified: Option<Broken>,
}

/// Makes a backup what its store will begin with.
fn prepare(backup: &Replacement, terms: Terms<'_>) -> Result<Prepared, Refusal> {
    let Terms { keys, key_file, clock, keep_sessions } = terms;
    if keep_sessions {
        let used_with = backup.read(Reads::key_fingerprints)?;
        check_fingerprints(&used_with, keys, key_file).map_err(|error| Refusal::Key(error.to_string()))?;
    }
    let now = clock.now();
    let unverified = backup.write(keys.signing_audit_key().clone(), |writes| {
        writes.saw_time(now);
        // Before anything changes: it looks whether users and sessions are those that the logs are sealed with.
        let unverified = reconcile(writes, keys, Because::ItIsABackup, now.system)?;
        if !keep_sessions {
            command::end_every_session(writes)?;
        }
        writes.note(Occurrence::of(Event::Restored));
        Ok(unverified)
    })?;
    let (users, seen) = backup.read(|reads| Ok((reads.users()?, reads.highest_time_seen()?)))?;
    Ok(Prepared { users, seen, unverified })
}

/// The users whose state may have gone back, each with what differs.
fn what_went_back(before: &[(UserId, User)], after: &[(UserId, User)], keep_sessions: bool) -> Vec<String> {
    let restored: BTreeMap<_, _> = after.iter().map(|(id, user)| (*id, user)).collect();
    let known: BTreeSet<_> = before.iter().map(|(id, _)| *id).collect();
    let gone_back = before.iter().filter_map(|(id, user)| match restored.get(id) {
        None => Some(format!("{} is not in the backup", visible(&user.name))),
        Some(now) => {
            let differences = differences(user, now, keep_sessions);
            (!differences.is_empty())
                .then(|| format!("{} went back: {}", visible(&user.name), differences.join(", ")))
        }
    });
    let back = after
        .iter()
        .filter(|(id, _)| !known.contains(id))
        .map(|(_, user)| format!("{} is back", visible(&user.name)));
    gone_back.chain(back).collect()
}

fn differences(before: &User, now: &User, keep_sessions: bool) -> Vec<&'static str> {
    let enabled = if now.disabled { "disabled again" } else { "enabled again" };
    [
        ("the password", before.password_hash != now.password_hash),
        ("the role", before.role != now.role),
        (enabled, before.disabled != now.disabled),
        ("ended sessions", keep_sessions && before.auth_epoch != now.auth_epoch),
    ]
    .into_iter()
    .filter_map(|(what, differs)| differs.then_some(what))
    .collect()
}
