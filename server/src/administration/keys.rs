//! Master keys: which there are, one more, and one less without ending a session or hiding a broken log unasked.

use crate::administration::{Answer, KeyRow, Office, Refusal, each_session};
use crate::audit::{Event, Log, Occurrence};
use crate::keys::Keys;
use crate::session::SessionId;
use crate::settings::ACCESS_TTL_SECS_MAX;
use crate::store::{Store, StoreError};
use crate::time::UnixMillis;

/// Lists the master keys, the signing one last.
pub(super) fn list(office: &Office<'_>, now: UnixMillis) -> Result<Answer, Refusal> {
    let keys = office.keys.current();
    let mut rows: Vec<_> = keys
        .kids()
        .map(|kid| KeyRow {
            kid,
            signs: kid == keys.signing_kid(),
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

/// Adds a master key, which signs from now on, and tells the store.
pub(super) fn rotate(office: &Office<'_>, now: UnixMillis) -> Result<Answer, Refusal> {
    let kid = office.keys.rotate(now)?;
    let keys = office.keys.current();
    office.store.use_audit_key(keys.signing_audit_key().clone());
    let fingerprints = keys.fingerprints();
    office.store.write(move |writes| {
        writes.saw_time(now);
        writes.note(Occurrence::of(Event::KeyRotated));
        writes.put_key_fingerprints(&fingerprints)
    })?;
    Ok(Answer::Rotated(kid))
}

/// What a key may be retired in spite of.
#[derive(Clone, Copy)]
pub(super) struct Retirement {
    pub(super) force: bool,
    pub(super) even_if_tokens_live: bool,
}

/// Removes a master key from the store and then from its file.
pub(super) fn retire(
    office: &Office<'_>,
    kid: u8,
    in_spite_of: Retirement,
    now: UnixMillis,
) -> Result<Answer, Refusal> {
    let keys = office.keys.current();
    if kid == keys.signing_kid() || !keys.kids().any(|known| known == kid) {
        // The ring knows best how to say it.
        office.keys.retire(kid)?;
    }
    let needing = sessions_that_need(office.store, kid, now)?;
    if !needing.is_empty() && !in_spite_of.force {
        return Err(Refusal::KeyNeeded(needing.len()));
    }
    if !in_spite_of.even_if_tokens_live {
        check_that_tokens_died(&keys, kid, now)?;
    }
    // The store forgets the key first: after a crash in between, a key more in the file does no harm.
    let kept: Vec<_> = keys.fingerprints().into_iter().filter(|key| key[0] != kid).collect();
    let bound = office.store.write(move |writes| {
        writes.saw_time(now);
        for log in [Log::Main, Log::Refusals] {
            if let Some(number) = writes.first_broken_entry(log, |kid| keys.audit(kid))? {
                // Binding it anew would hide that somebody tampered with it.
                return Ok(Err(Refusal::AuditBroken(number)));
            }
        }
        for id in needing {
            writes.delete_session(id)?;
        }
        writes.bind_logs_anew(keys.signing_audit_key())?;
        writes.note(Occurrence::of(Event::KeyRetired));
        writes.put_key_fingerprints(&kept)?;
        Ok(Ok(()))
    })?;
    bound?;
    office.keys.retire(kid)?;
    Ok(Answer::Done)
}

/// Refuses a key whose access tokens may live: whoever holds one was promised that it works until it expires.
fn check_that_tokens_died(keys: &Keys, kid: u8, now: UnixMillis) -> Result<(), Refusal> {
    let last_expiry = keys.signed_until(kid).map(|until| until.as_secs_rounded_up() + ACCESS_TTL_SECS_MAX);
    match last_expiry {
        Some(expiry) if expiry <= now.as_secs() => Ok(()),
        until => Err(Refusal::TokensLive(until)),
    }
}

fn sessions_that_need(store: &Store, kid: u8, now: UnixMillis) -> Result<Vec<SessionId>, StoreError> {
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
