//! The one place that changes what the store says of the master keys: which there are, since when one signs, and which
//! ones the audit logs are bound with.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::audit::{AuditKey, Log};
use crate::entropy;
use crate::keys::Keys;
use crate::one_time_code::Era;
use crate::store::{Doubt, Reads, Reseal, StoreError, Writes};
use crate::time::UnixMillis;

/// What makes it necessary to compare the store with the keys.
#[derive(Clone, Copy, Debug)]
pub enum Because<'k> {
    /// The store was opened, or a key was added or begins to sign: no key of the store is missing.
    KeysMayHaveCome,
    /// A key leaves; `before` still has it, to verify the logs once more.
    AKeyLeaves {
        /// The keys until now.
        before: &'k Keys,
    },
    /// The store is a backup, made with keys some of which may be gone or may be others of the same id.
    ItIsABackup,
    /// An administrator has the logs sealed as they stand.
    TheLogsAreToBeSealed,
}

/// What is wrong with the logs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Broken {
    /// An entry is missing or not as it was written.
    Entry(Log, u64),
    /// The logs as a whole are in doubt.
    Whole(Doubt),
    /// They were bound with a key that is gone, so nothing can be said of them.
    KeyGone,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry(Log::Main, number) => write!(f, "entry {number} of the audit log is broken"),
            Self::Entry(Log::Refusals, number) => {
                write!(f, "entry {number} of the log of refusals is broken")
            }
            Self::Whole(doubt) => doubt.fmt(f),
            Self::KeyGone => f.write_str("the logs cannot be verified: the key they are bound with is gone"),
        }
    }
}

/// Makes the store say of the master keys what `keys` are, the ones in force from now on.
///
/// Returns what is wrong with the logs, if they were looked at and something is. Then a key does not leave and nothing
/// has changed, for binding the logs anew would hide it; a backup's logs are taken over as not verified.
///
/// # Errors
/// [`StoreError`].
pub fn reconcile(
    writes: &mut Writes<'_>,
    keys: &Keys,
    because: Because<'_>,
    now: UnixMillis,
) -> Result<Option<Broken>, StoreError> {
    let broken = match because {
        Because::KeysMayHaveCome => {
            begin_logs(writes, keys)?;
            None
        }
        // Nothing but the chain: the census stays sealed as it is, and goes on to tell what it tells.
        Because::AKeyLeaves { before } => {
            let broken = first_broken(writes, &|kid| before.audit(kid))?;
            if broken.is_some() {
                return Ok(broken);
            }
            writes.reseal(keys.signing_audit_key(), Reseal::Verified)?;
            None
        }
        Because::ItIsABackup => {
            let broken = what_is_wrong_with_a_backup(writes, keys)?;
            let how = if broken.is_some() { Reseal::AsTheyStand } else { Reseal::Verified };
            writes.reseal(keys.signing_audit_key(), how)?;
            // Codes that were used since the backup was made are not to be used again.
            writes.put_era(Era(entropy::bytes()))?;
            broken
        }
        Because::TheLogsAreToBeSealed => {
            let broken = what_is_wrong(writes, &|kid| keys.audit(kid))?;
            writes.reseal(keys.signing_audit_key(), Reseal::AsTheyStand)?;
            broken
        }
    };
    writes.put_key_fingerprints(&keys.fingerprints())?;
    let signing = keys.signing_kid();
    if writes.signing_since()?.is_none_or(|(kid, _)| kid != signing) {
        writes.put_signing_since(signing, now)?;
    }
    if writes.era()? == Era::default() {
        writes.put_era(Era(entropy::bytes()))?;
    }
    Ok(broken)
}

/// Whether the store says of the master keys what `keys` are, so that opening it needs no write.
///
/// # Errors
/// [`StoreError`].
pub fn is_reconciled(reads: &Reads, keys: &Keys) -> Result<bool, StoreError> {
    let signs = reads.signing_since()?.is_some_and(|(kid, _)| kid == keys.signing_kid());
    let is_same = reads.key_fingerprints()? == keys.fingerprints() && reads.era()? != Era::default();
    Ok(signs && is_same && reads.is_sealed(|kid| keys.audit(kid))?)
}

/// Seals logs that no key of ours has sealed.
fn begin_logs(writes: &mut Writes<'_>, keys: &Keys) -> Result<(), StoreError> {
    if writes.is_sealed(|kid| keys.audit(kid))? {
        return Ok(());
    }
    let is_new = writes.key_fingerprints()?.is_empty() && !writes.has_users()?;
    writes.begin_logs(keys.signing_audit_key(), |kid| keys.audit(kid), is_new)
}

fn first_broken<'k>(
    writes: &Writes<'_>,
    key_of: &dyn Fn(u8) -> Option<&'k AuditKey>,
) -> Result<Option<Broken>, StoreError> {
    if !writes.is_sealed(key_of)? {
        return Ok(Some(Broken::Whole(Doubt::Lost)));
    }
    match first_broken_entry(writes, key_of)? {
        None => Ok(writes.is_lost()?.then_some(Broken::Whole(Doubt::Lost))),
        broken => Ok(broken),
    }
}

fn first_broken_entry<'k>(
    writes: &Writes<'_>,
    key_of: &dyn Fn(u8) -> Option<&'k AuditKey>,
) -> Result<Option<Broken>, StoreError> {
    for log in [Log::Main, Log::Refusals] {
        if let Some(number) = writes.first_broken_entry(log, key_of)? {
            return Ok(Some(Broken::Entry(log, number)));
        }
    }
    Ok(None)
}

fn what_is_wrong_with_a_backup(writes: &mut Writes<'_>, keys: &Keys) -> Result<Option<Broken>, StoreError> {
    let known = writes.key_fingerprints()?;
    // A key of the same id that is another says nothing of the logs.
    let is_the_same = |kid: u8| keys.fingerprint(kid).is_some_and(|fingerprint| known.contains(&fingerprint));
    let key_of = |kid| keys.audit(kid).filter(|_| is_the_same(kid));
    let all_are_there = known.iter().all(|[kid, ..]| is_the_same(*kid));
    let broken = if writes.has_seal()? {
        what_is_wrong(writes, &key_of)?
    } else {
        // Of an earlier version, or with its seal removed; sealing it tells the two apart.
        writes.begin_logs(keys.signing_audit_key(), key_of, false)?;
        match writes.is_lost()? {
            true => Some(Broken::Whole(Doubt::Lost)),
            false => first_broken_entry(writes, &key_of)?,
        }
    };
    Ok(broken.map(|broken| if all_are_there { broken } else { Broken::KeyGone }))
}

/// The first thing that is wrong with the logs; every session and user is looked at.
fn what_is_wrong<'k>(
    writes: &Writes<'_>,
    key_of: &dyn Fn(u8) -> Option<&'k AuditKey>,
) -> Result<Option<Broken>, StoreError> {
    match first_broken(writes, key_of)? {
        None => Ok(writes.doubt()?.map(Broken::Whole)),
        broken => Ok(broken),
    }
}
