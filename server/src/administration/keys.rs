//! Master keys: which there are, one more, another that signs, and one less without ending a session or hiding a broken
//! log unasked.

use std::sync::Arc;

use crate::administration::{Answer, KeyRow, Office, Refusal, each_session};
use crate::audit::{Event, Occurrence};
use crate::keys::{Keys, Pending};
use crate::reconcile::{Because, reconcile};
use crate::session::SessionId;
use crate::settings::ACCESS_TTL_SECS_MAX;
use crate::store::{Store, StoreError};
use crate::time::{Now, UnixMillis};

/// Lists the master keys in the order of the file.
pub(super) fn list(office: &Office<'_>, now: Now) -> Result<Answer, Refusal> {
    let keys = office.keys.current();
    let mut rows: Vec<_> = keys
        .kids()
        .map(|kid| KeyRow {
            kid,
            signs: kid == keys.signing_kid(),
            standby: keys.is_standby(kid),
            needed_by_sessions: 0,
            signed_until: keys.signed_until(kid).map(UnixMillis::as_secs),
        })
        .collect();
    each_session(office.store, |reads, id, session| {
        if session.end_reason(reads.user(id.user())?.as_ref(), now).is_none() {
            for row in rows.iter_mut().filter(|row| session.needs_key(row.kid)) {
                row.needed_by_sessions += 1;
            }
        }
        Ok(())
    })?;
    Ok(Answer::Keys(rows))
}

/// Adds a master key, which is known from now on and does not sign yet.
pub(super) fn add(office: &Office<'_>, now: Now) -> Result<Answer, Refusal> {
    let (kid, pending) = office.keys.add()?;
    put_in_force(office, pending, Event::KeyAdded, now)?;
    Ok(Answer::NewKey(kid))
}

/// Adds a master key, which signs from now on.
pub(super) fn rotate(office: &Office<'_>, now: Now) -> Result<Answer, Refusal> {
    let (kid, pending) = office.keys.rotate(now.system)?;
    put_in_force(office, pending, Event::KeyRotated, now)?;
    Ok(Answer::NewKey(kid))
}

/// Lets a key that was added sign.
pub(super) fn activate(office: &Office<'_>, kid: u8, now: Now) -> Result<Answer, Refusal> {
    let pending = office.keys.activate(kid, now.system)?;
    put_in_force(office, pending, Event::KeyActivated, now)?;
    Ok(Answer::Done)
}

/// Puts a key file in force, and tells the store of it. After a crash in between the store learns of it when it is opened.
fn put_in_force(
    office: &Office<'_>,
    mut pending: Pending<'_>,
    event: Event,
    now: Now,
) -> Result<(), Refusal> {
    let keys: Arc<Keys> = pending.put_in_force()?;
    office.store.use_audit_key(keys.signing_audit_key().clone());
    office.store.write(move |writes| {
        let now = writes.saw_time(now);
        writes.note(Occurrence::of(event));
        reconcile(writes, &keys, Because::KeysMayHaveCome, now.system)
    })?;
    // Only now may somebody else change the keys: told in another order, the store would know others than the file holds.
    drop(pending);
    Ok(())
}

/// What a key may be retired in spite of.
#[derive(Clone, Copy)]
pub(super) struct Retirement {
    pub(super) force: bool,
    pub(super) even_if_tokens_live: bool,
}

/// Removes a master key from the store and then from its file.
///
/// The other key file is written first: what cannot be written has to show before sessions end. The store forgets the key
/// before the file does: after a crash in between, a key more in the file does no harm.
pub(super) fn retire(
    office: &Office<'_>,
    kid: u8,
    in_spite_of: Retirement,
    now: Now,
) -> Result<Answer, Refusal> {
    let before = office.keys.current();
    let mut pending = office.keys.retire(kid)?;
    let needing = sessions_that_need(office.store, kid, now)?;
    if !needing.is_empty() && !in_spite_of.force {
        return Err(Refusal::KeyNeeded(needing.len()));
    }
    if !in_spite_of.even_if_tokens_live && !before.is_standby(kid) {
        check_that_tokens_died(&before, kid, now)?;
    }
    let broken = office.store.write_alone(
        |writes| {
            let now = writes.saw_time(now);
            let broken =
                reconcile(writes, pending.keys(), Because::AKeyLeaves { before: &before }, now.system)?;
            if broken.is_none() {
                needing.into_iter().try_for_each(|id| writes.delete_session(id))?;
                writes.note(Occurrence::of(Event::KeyRetired));
            }
            Ok(broken)
        },
        || {},
    )?;
    if let Some(broken) = broken {
        return Err(Refusal::AuditBroken(broken));
    }
    pending.put_in_force().map_err(|error| Refusal::KeyStays(error.to_string()))?;
    Ok(Answer::Done)
}

/// Refuses a key whose access tokens may live: whoever holds one was promised that it works until it expires.
fn check_that_tokens_died(keys: &Keys, kid: u8, now: Now) -> Result<(), Refusal> {
    let last_expiry = keys.signed_until(kid).map(|until| until.as_secs_rounded_up() + ACCESS_TTL_SECS_MAX);
    match last_expiry {
        Some(expiry) if expiry <= now.system.as_secs() => Ok(()),
        until => Err(Refusal::TokensLive(until)),
    }
}

fn sessions_that_need(store: &Store, kid: u8, now: Now) -> Result<Vec<SessionId>, StoreError> {
    let mut needing = Vec::new();
    each_session(store, |reads, id, session| {
        let needs =
            session.needs_key(kid) && session.end_reason(reads.user(id.user())?.as_ref(), now).is_none();
        if needs {
            needing.push(id);
        }
        Ok(())
    })?;
    Ok(needing)
}
