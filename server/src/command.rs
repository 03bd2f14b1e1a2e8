//! What can be done to users and sessions: each function gets records, asks the rules, and puts what changed.
//!
//! They run inside the store's transaction, one after another, so what a command read is still true when it writes.
//! Time and random bytes are arguments.

use std::net::IpAddr;

use crate::audit::{Actor, Event, Occurrence};
use crate::one_time_code::Era;
use crate::session::{
    Decision, Declined, EndReason, Policy, Presented, Repetition, Rotation, SESSIONS_PER_USER_MAX, Session,
    SessionId, decide,
};
use crate::store::{StoreError, Writes};
use crate::time::{Now, UnixMillis};
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
    now: Now,
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
        let occurrence = Occurrence::of_session(Event::SessionReplaced, replaced).from(request.address);
        end_session_for(writes, replaced, occurrence, now)?;
    }
    make_room(writes, request, &user, now)?;
    let session = Session::begin(&user, request.kid, request.address, &request.label, now, policy);
    writes.put_session(request.id, &session)?;
    writes.note(Occurrence::of_session(Event::SignedIn, request.id).from(session.address));
    Ok(Some((user, session)))
}

/// Deletes the user's dead sessions, and the longest idle one when the user has as many as allowed.
fn make_room(writes: &mut Writes<'_>, request: &SignIn, user: &User, now: Now) -> Result<(), StoreError> {
    let (dead, mut alive): (Vec<_>, Vec<_>) = writes
        .sessions_of(request.user)?
        .into_iter()
        .partition(|(_, session)| session.end_reason(Some(user), now).is_some());
    alive.sort_by_key(|(_, session)| session.rotated_at);
    let too_many = (alive.len() + 1).saturating_sub(SESSIONS_PER_USER_MAX);
    for (session, _) in &dead {
        writes.delete_session(*session)?;
    }
    for (session, _) in &alive[..too_many] {
        writes.delete_session(*session)?;
        writes.note(Occurrence::of_session(Event::SessionDisplaced, *session).from(request.address));
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
    now: Now,
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

/// Signs one session of `owner` out, who asks from `address`; `false` when there is no such session alive.
pub fn sign_out(
    writes: &mut Writes<'_>,
    owner: UserId,
    id: SessionId,
    address: IpAddr,
    now: Now,
) -> Result<bool, StoreError> {
    if id.user() == owner {
        end_session_for(writes, id, Occurrence::of_session(Event::SignedOut, id).from(address), now)
    } else {
        Ok(false)
    }
}

/// Ends anybody's session for an administrator; `false` when there is no such session alive.
pub fn revoke_session(
    writes: &mut Writes<'_>,
    id: SessionId,
    actor: Option<Actor>,
    now: Now,
) -> Result<bool, StoreError> {
    end_session_for(writes, id, Occurrence::of_session(Event::SessionRevoked, id).by(actor), now)
}

fn end_session_for(
    writes: &mut Writes<'_>,
    id: SessionId,
    occurrence: Occurrence,
    now: Now,
) -> Result<bool, StoreError> {
    let now = writes.saw_time(now);
    let Some(session) = writes.session(id)? else { return Ok(false) };
    let user = writes.user(id.user())?;
    writes.delete_session(id)?;
    let was_alive = session.end_reason(user.as_ref(), now).is_none();
    if was_alive {
        writes.note(occurrence);
    }
    Ok(was_alive)
}

/// Ends every session of a user who asks for it from `address`.
pub fn sign_out_everywhere(
    writes: &mut Writes<'_>,
    id: UserId,
    address: IpAddr,
    now: Now,
) -> Result<(), StoreError> {
    end_all_sessions(writes, id, Occurrence::of_user(Event::SignedOutEverywhere, id).from(address), now)
        .map(drop)
}

/// Ends every session of a user for an administrator; `None` when there is no such user.
pub fn revoke_all_sessions(
    writes: &mut Writes<'_>,
    id: UserId,
    actor: Option<Actor>,
    now: Now,
) -> Result<Option<User>, StoreError> {
    end_all_sessions(writes, id, Occurrence::of_user(Event::SessionsRevoked, id).by(actor), now)
}

/// Moves the epoch of a user on, which ends every session; the sweeper clears the records away.
fn end_all_sessions(
    writes: &mut Writes<'_>,
    id: UserId,
    occurrence: Occurrence,
    now: Now,
) -> Result<Option<User>, StoreError> {
    writes.saw_time(now);
    let Some(mut user) = writes.user(id)? else { return Ok(None) };
    user.end_all_sessions();
    writes.note(occurrence);
    writes.put_user(id, &user)?;
    Ok(Some(user))
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
    address: IpAddr,
    now: Now,
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
    writes.note(Occurrence::of_session(Event::PasswordChanged, keep).from(address));
    Ok(true)
}

/// Whether the session that asks for something still lives, and its user still administers: a command may have waited
/// behind the one that ended that.
pub fn still_administers(writes: &Writes<'_>, actor: Actor, now: Now) -> Result<bool, StoreError> {
    let (session, user) = (writes.session(actor.session)?, writes.user(actor.session.user())?);
    let both = session.zip(user);
    Ok(both.is_some_and(|(session, user)| {
        user.role == Role::Admin && session.end_reason(Some(&user), now).is_none()
    }))
}

/// A user to be.
#[derive(Debug)]
pub struct NewUser {
    /// The id.
    pub id: UserId,
    /// The name.
    pub name: Name,
    /// What the user may do.
    pub role: Role,
    /// The hash of the password.
    pub password_hash: PasswordHash,
}

/// Adds a user; `None` when the name is taken.
pub fn add_user(
    writes: &mut Writes<'_>,
    new: NewUser,
    actor: Option<Actor>,
    now: Now,
) -> Result<Option<User>, StoreError> {
    let now = writes.saw_time(now);
    if writes.user_named(&new.name)?.is_some() {
        return Ok(None);
    }
    let user = User {
        name: new.name.as_str().to_owned(),
        role: new.role,
        disabled: false,
        auth_epoch: 0,
        created: now.system,
        password_hash: new.password_hash,
    };
    writes.add_user(new.id, &new.name, &user)?;
    writes.note(Occurrence::of_user(Event::UserAdded, new.id).by(actor));
    Ok(Some(user))
}

/// Adds the first user and signs them in, which only one can be; `None` when there is somebody already.
pub fn set_up(
    writes: &mut Writes<'_>,
    first: NewUser,
    sign_in: &SignIn,
    now: Now,
    policy: &Policy,
) -> Result<Option<(User, Session)>, StoreError> {
    if writes.has_users()? {
        return Ok(None);
    }
    add_user(writes, first, None, now)?;
    self::sign_in(writes, sign_in, now, policy)
}

/// Gives a user who showed a one-time code the password of their choice and ends every session of theirs; `false` when
/// the code was used already, or something else has ended the epoch it was made in.
pub fn reset_password(
    writes: &mut Writes<'_>,
    id: UserId,
    epoch: u32,
    password_hash: PasswordHash,
    address: IpAddr,
    now: Now,
) -> Result<bool, StoreError> {
    writes.saw_time(now);
    let Some(mut user) = writes.user(id)?.filter(|user| user.auth_epoch == epoch) else { return Ok(false) };
    user.password_hash = password_hash;
    user.end_all_sessions();
    writes.put_user(id, &user)?;
    writes.note(Occurrence::of_user(Event::PasswordReset, id).from(address));
    Ok(true)
}

/// Notes that a one-time code is made for a user, and returns what it is bound to.
pub fn note_code(
    writes: &mut Writes<'_>,
    id: UserId,
    actor: Option<Actor>,
    now: Now,
) -> Result<Option<(User, Era)>, StoreError> {
    writes.saw_time(now);
    let Some(user) = writes.user(id)? else { return Ok(None) };
    writes.note(Occurrence::of_user(Event::CodeIssued, id).by(actor));
    writes.touch();
    Ok(Some((user, writes.era()?)))
}

/// Changes a user, for the log `event`, and ends all of the user's sessions in the same commit; returns the user as
/// they are then, `None` when there is none. A change that changes nothing ends nothing: a configuration tool may ask
/// for the same every hour.
pub fn change_user(
    writes: &mut Writes<'_>,
    id: UserId,
    event: Event,
    actor: Option<Actor>,
    now: Now,
    change: impl FnOnce(&mut User),
) -> Result<Option<User>, StoreError> {
    writes.saw_time(now);
    let Some(before) = writes.user(id)? else { return Ok(None) };
    let mut user = before.clone();
    change(&mut user);
    if user == before {
        return Ok(Some(user));
    }
    user.end_all_sessions();
    writes.note(Occurrence::of_user(event, id).by(actor));
    writes.put_user(id, &user)?;
    Ok(Some(user))
}

/// Whether somebody could still administer the server without this user.
pub fn is_dispensable(writes: &Writes<'_>, id: UserId) -> Result<bool, StoreError> {
    let administers = |user: &User| user.role == Role::Admin && !user.disabled;
    if !writes.user(id)?.as_ref().is_some_and(administers) {
        return Ok(true);
    }
    writes.is_there_a_user(|other, user| other != id && administers(user))
}

/// Deletes a user with every session; `false` when there is none.
pub fn delete_user(
    writes: &mut Writes<'_>,
    id: UserId,
    actor: Option<Actor>,
    now: Now,
) -> Result<bool, StoreError> {
    writes.saw_time(now);
    let Some(user) = writes.user(id)? else { return Ok(false) };
    let name: Name = user.name.parse().map_err(|_| StoreError::damaged())?;
    writes.delete_user(id, &name)?;
    writes.note(Occurrence::of_user(Event::UserDeleted, id).by(actor));
    Ok(true)
}

/// Deletes those of the sessions `ids` that are dead at `now`; returns how many.
pub fn delete_dead(writes: &mut Writes<'_>, ids: &[SessionId], now: Now) -> Result<usize, StoreError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    const POLICY: Policy = Policy { grace_secs: 0, inactivity_secs: 100, lifetime_secs: 1000 };
    const ROOT: UserId = UserId(1);

    /// Whether root, who has signed in at 0, still administers at `now` after `change`.
    fn administers_after(
        now: UnixMillis,
        change: impl FnOnce(&mut Writes<'_>, SessionId) -> Result<(), StoreError> + Send + 'static,
    ) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store"), |_| {}).unwrap();
        let session = SessionId::new(ROOT, [7; 8]);
        let address = [127, 0, 0, 1].into();
        store
            .write(move |writes| {
                let name: Name = "root".parse().expect("a name");
                let password_hash = PasswordHash(String::new());
                let new = NewUser { id: ROOT, name, role: Role::Admin, password_hash };
                let user = add_user(writes, new, None, Now::default())?.expect("the store is empty");
                writes
                    .put_session(session, &Session::begin(&user, 1, address, "", Now::default(), &POLICY))?;
                change(writes, session)?;
                still_administers(writes, Actor { session, address }, Now::at(now))
            })
            .unwrap()
    }

    #[test]
    fn whoever_is_no_administrator_any_more_commands_nothing_any_more() {
        let now = UnixMillis(1000);
        let change = |change: fn(&mut User)| {
            administers_after(now, move |writes, _| {
                change_user(writes, ROOT, Event::RoleChanged, None, Now::at(now), change).map(drop)
            })
        };
        assert!(administers_after(now, |_, _| Ok(())));
        assert!(!change(|user| user.role = Role::User));
        assert!(!change(|user| user.disabled = true));
        assert!(change(|_| {}), "nothing has changed");
        assert!(!administers_after(now, move |writes, _| {
            revoke_all_sessions(writes, ROOT, None, Now::at(now)).map(drop)
        }));
        assert!(!administers_after(now, |writes, session| writes.delete_session(session)));
        assert!(
            !administers_after(now, move |writes, _| delete_user(writes, ROOT, None, Now::at(now)).map(drop))
        );
        assert!(administers_after(UnixMillis(99_999), |_, _| Ok(())));
        assert!(!administers_after(UnixMillis(100_000), |_, _| Ok(())), "the session has expired");
    }
}
