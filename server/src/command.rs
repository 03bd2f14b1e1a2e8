//! What can be done to users and sessions: each function gets records, asks the rules, and puts what changed.
//!
//! They run inside the store's transaction, one after another, so what a command read is still true when it writes.
//! Time and random bytes are arguments.

use std::net::IpAddr;

use crate::audit::{Event, Occurrence};
use crate::session::{
    Decision, Declined, EndReason, Policy, Presented, Repetition, Rotation, SESSIONS_PER_USER_MAX, Session,
    SessionId, decide,
};
use crate::store::{StoreError, Writes};
use crate::time::UnixMillis;
use crate::user::{Name, PasswordHash, Role, User, UserId};

/// A log-in whose password was right.
#[derive(Debug)]
pub struct SignIn {
    /// Who signs in.
    pub user: UserId,
    /// The hash the password was verified against.
    pub verified: PasswordHash,
    /// The same password hashed anew, when the stored hash has other parameters than new ones have.
    pub upgraded: Option<PasswordHash>,
    /// A session the same browser presented along; it ends.
    pub replaces: Option<SessionId>,
    /// The new session.
    pub id: SessionId,
    /// The master key that issues its first refresh token.
    pub kid: u8,
    /// Where the user signs in from.
    pub address: IpAddr,
    /// What the user signs in with.
    pub label: String,
}

/// Opens a session, unless the user was disabled, deleted or given another password since the password was verified.
pub fn sign_in(
    writes: &mut Writes<'_>,
    request: &SignIn,
    now: UnixMillis,
    policy: &Policy,
) -> Result<Option<(User, Session)>, StoreError> {
    let now = writes.saw_time(now);
    let Some(mut user) = writes.user(request.user)? else { return Ok(None) };
    if user.disabled || user.password_hash != request.verified {
        return Ok(None);
    }
    if let Some(upgraded) = &request.upgraded {
        user.password_hash = upgraded.clone();
        writes.put_user(request.user, &user)?;
    }
    if let Some(replaced) = request.replaces {
        writes.delete_session(replaced)?;
    }
    make_room(writes, request.user, &user, now)?;
    let session = Session::begin(&user, request.kid, request.address, &request.label, now, policy);
    writes.put_session(request.id, &session)?;
    writes.note(Occurrence::of_session(Event::SignedIn, request.id).from(session.address));
    Ok(Some((user, session)))
}

/// Deletes the user's dead sessions, and the longest idle one when the user has as many as allowed.
fn make_room(writes: &mut Writes<'_>, id: UserId, user: &User, now: UnixMillis) -> Result<(), StoreError> {
    let (dead, mut alive): (Vec<_>, Vec<_>) = writes
        .sessions_of(id)?
        .into_iter()
        .partition(|(_, session)| session.end_reason(Some(user), now).is_some());
    alive.sort_by_key(|(_, session)| session.rotated_at);
    let too_many = (alive.len() + 1).saturating_sub(SESSIONS_PER_USER_MAX);
    for (session, _) in dead.iter().chain(&alive[..too_many]) {
        writes.delete_session(*session)?;
    }
    Ok(())
}

/// What came of a refresh.
#[derive(Debug)]
pub struct Refreshed {
    /// The decision, for the answer and the log.
    pub decision: Decision,
    /// The session after it, and its user; `None` when the session is over or nothing is given.
    pub current: Option<(User, Session)>,
}

/// Refreshes a session for somebody at `address`, or ends it when the rules say so; either is committed before the
/// answer.
pub fn refresh(
    writes: &mut Writes<'_>,
    id: SessionId,
    presented: Presented,
    address: IpAddr,
    now: UnixMillis,
    policy: &Policy,
) -> Result<Refreshed, StoreError> {
    let now = writes.saw_time(now);
    let record = writes.session(id)?;
    let user = writes.user(id.user())?;
    let decision = decide(record.as_ref(), user.as_ref(), presented, now, policy);
    if let Some(event) = worth_noting(&decision) {
        let other_address = record.as_ref().filter(|_| event == Event::Reused).map(|record| record.address);
        writes.note(Occurrence { other_address, ..Occurrence::of_session(event, id).from(address) });
    }
    let session = match &decision {
        Decision::Rotate(next, _) => {
            let next = Session { address: address.to_canonical(), ..next.clone() };
            writes.put_session(id, &next)?;
            Some(next)
        }
        Decision::Repeat(_) => record,
        Decision::Decline(_) | Decision::End(EndReason::Gone) => None,
        Decision::End(_) => {
            writes.delete_session(id)?;
            None
        }
    };
    Ok(Refreshed { decision, current: user.zip(session) })
}

/// The event for the audit log that a decision is; the plain rotation, which is all day long, is none.
fn worth_noting(decision: &Decision) -> Option<Event> {
    match decision {
        Decision::Rotate(_, Rotation::Ahead) => Some(Event::Ahead),
        Decision::Repeat(Repetition::Concurrent) => Some(Event::Concurrent),
        Decision::Repeat(Repetition::Retried) => Some(Event::Retried),
        Decision::Decline(Declined::Superseded) => Some(Event::Superseded),
        Decision::End(EndReason::Reused) => Some(Event::Reused),
        Decision::Rotate(_, Rotation::Current)
        | Decision::Repeat(Repetition::Unrotated)
        | Decision::Decline(Declined::RetryKeyReused)
        | Decision::End(EndReason::Gone | EndReason::Expired | EndReason::Revoked) => None,
    }
}

/// Ends one session of `owner`, for the reason `event`; `false` when there is no such session alive.
pub fn end_session(
    writes: &mut Writes<'_>,
    owner: UserId,
    id: SessionId,
    event: Event,
    now: UnixMillis,
) -> Result<bool, StoreError> {
    let now = writes.saw_time(now);
    let Some(session) = writes.session(id)?.filter(|_| id.user() == owner) else { return Ok(false) };
    let user = writes.user(owner)?;
    writes.delete_session(id)?;
    writes.note(Occurrence::of_session(event, id));
    Ok(session.end_reason(user.as_ref(), now).is_none())
}

/// Ends every session of a user by moving the epoch on; the sweeper clears the records away.
pub fn end_all_sessions(writes: &mut Writes<'_>, id: UserId, now: UnixMillis) -> Result<(), StoreError> {
    writes.saw_time(now);
    let Some(mut user) = writes.user(id)? else { return Ok(()) };
    user.end_all_sessions();
    writes.note(Occurrence::of_user(Event::SignedOutEverywhere, id));
    writes.put_user(id, &user)
}

/// Changes a password, ending every session of the user but `keep`, in one commit.
///
/// `verified` is the hash the current password was verified against; when the user has another one by now, or
/// `keep` is over, nothing happens and the answer is `false`.
pub fn change_password(
    writes: &mut Writes<'_>,
    keep: SessionId,
    verified: &PasswordHash,
    new: PasswordHash,
    now: UnixMillis,
) -> Result<bool, StoreError> {
    let now = writes.saw_time(now);
    let id = keep.user();
    let (Some(mut user), Some(mut session)) = (writes.user(id)?, writes.session(keep)?) else {
        return Ok(false);
    };
    if session.end_reason(Some(&user), now).is_some() || user.password_hash != *verified {
        return Ok(false);
    }
    user.password_hash = new;
    user.end_all_sessions();
    session.auth_epoch = user.auth_epoch;
    writes.put_user(id, &user)?;
    writes.put_session(keep, &session)?;
    writes.note(Occurrence::of_session(Event::PasswordChanged, keep));
    Ok(true)
}

/// Adds a user; `false` when the name is taken.
pub fn add_user(
    writes: &mut Writes<'_>,
    id: UserId,
    name: &Name,
    role: Role,
    password_hash: PasswordHash,
    now: UnixMillis,
) -> Result<bool, StoreError> {
    let now = writes.saw_time(now);
    if writes.user_named(name)?.is_some() {
        return Ok(false);
    }
    let user = User {
        name: name.as_str().to_owned(),
        role,
        disabled: false,
        auth_epoch: 0,
        created: now,
        password_hash,
    };
    writes.add_user(id, name, &user)?;
    writes.note(Occurrence::of_user(Event::UserAdded, id));
    Ok(true)
}

/// Changes a user by name, for the log `event`, and ends all of the user's sessions in the same commit; `false` when
/// there is none.
pub fn change_user(
    writes: &mut Writes<'_>,
    name: &Name,
    event: Event,
    now: UnixMillis,
    change: impl FnOnce(&mut User),
) -> Result<bool, StoreError> {
    writes.saw_time(now);
    let Some((id, mut user)) = writes.user_named(name)? else { return Ok(false) };
    change(&mut user);
    user.end_all_sessions();
    writes.note(Occurrence::of_user(event, id));
    writes.put_user(id, &user)?;
    Ok(true)
}

/// Deletes a user with every session; `false` when there is none.
pub fn delete_user(writes: &mut Writes<'_>, name: &Name, now: UnixMillis) -> Result<bool, StoreError> {
    writes.saw_time(now);
    let Some((id, _)) = writes.user_named(name)? else { return Ok(false) };
    writes.delete_user(id, name)?;
    writes.note(Occurrence::of_user(Event::UserDeleted, id));
    Ok(true)
}

/// Deletes those of the sessions `ids` that are dead at `now`; returns how many.
pub fn delete_dead(writes: &mut Writes<'_>, ids: &[SessionId], now: UnixMillis) -> Result<usize, StoreError> {
    let now = writes.saw_time(now);
    let mut deleted = 0;
    for &id in ids {
        let Some(session) = writes.session(id)? else { continue };
        let user = writes.user(id.user())?;
        if session.end_reason(user.as_ref(), now).is_some() {
            writes.delete_session(id)?;
            deleted += 1;
        }
    }
    Ok(deleted)
}

/// Makes `now`, which is earlier, the highest time seen, and ends every session: their times mean nothing any more.
pub fn accept_clock(writes: &mut Writes<'_>, now: UnixMillis) -> Result<(), StoreError> {
    writes.lower_time(now)?;
    end_every_session(writes)?;
    writes.note(Occurrence::of(Event::ClockAccepted));
    Ok(())
}

/// Ends every session of every user.
pub fn end_every_session(writes: &mut Writes<'_>) -> Result<(), StoreError> {
    for (id, mut user) in writes.users()? {
        user.end_all_sessions();
        writes.put_user(id, &user)?;
    }
    Ok(())
}
