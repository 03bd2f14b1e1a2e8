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
    /// What the password was verified against.
    pub verified: Verified,
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

/// What a password was verified against: the hash, and the epoch of its user then.
///
/// A log-in may hash the same password anew, which changes the hash and not the epoch; what ends sessions changes the
/// epoch and not the hash; another password changes both. So a user of whom one is as it was has the same password.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The hash.
    pub hash: PasswordHash,
    /// The epoch.
    pub epoch: u32,
}

impl Verified {
    /// What a password of `user` is verified against now.
    pub fn of(user: &User) -> Self {
        Self { hash: user.password_hash.clone(), epoch: user.auth_epoch }
    }

    /// Whether the password is certainly still the one of `user`.
    fn still_holds(&self, user: &User) -> bool {
        user.auth_epoch == self.epoch || user.password_hash == self.hash
    }
}

/// Why a right password opens no session or changes nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stale {
    /// The user was disabled or deleted, or the session is over.
    Over,
    /// Password and epoch are others than those seen: it cannot be told whether the password is still right.
    Changed,
}

/// Opens a session, unless the user was disabled, deleted or given another password since the password was verified.
pub fn sign_in(
    writes: &mut Writes<'_>,
    request: &SignIn,
    now: Now,
    policy: &Policy,
) -> Result<Result<(User, Session), Stale>, StoreError> {
    let now = writes.saw_time(now);
    let user = writes.user(request.user)?.filter(|user| !user.disabled);
    let Some(mut user) = user else { return Ok(Err(Stale::Over)) };
    if !request.verified.still_holds(&user) {
        return Ok(Err(Stale::Changed));
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
    Ok(Ok((user, session)))
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
/// `verified` is what the current password was verified against; when the user has another one by now, or `keep` is
/// over, nothing happens.
pub fn change_password(
    writes: &mut Writes<'_>,
    keep: SessionId,
    verified: &Verified,
    new: PasswordHash,
    address: IpAddr,
    now: Now,
) -> Result<Result<(), Stale>, StoreError> {
    let now = writes.saw_time(now);
    let id = keep.user();
    let (Some(mut user), Some(mut session)) = (writes.user(id)?, writes.session(keep)?) else {
        return Ok(Err(Stale::Over));
    };
    if session.end_reason(Some(&user), now).is_some() {
        return Ok(Err(Stale::Over));
    }
    if !verified.still_holds(&user) {
        return Ok(Err(Stale::Changed));
    }
    user.password_hash = new;
    user.end_all_sessions();
    session.auth_epoch = user.auth_epoch;
    writes.put_user(id, &user)?;
    writes.put_session(keep, &session)?;
    writes.note(Occurrence::of_session(Event::PasswordChanged, keep).from(address));
    Ok(Ok(()))
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
    Ok(self::sign_in(writes, sign_in, now, policy)?.ok())
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
    const NOW: Now = Now::at(UnixMillis(1));
    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    /// A store with root, and what root's password was verified against.
    fn store_with_root() -> (tempfile::TempDir, Store, Verified) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store"), |_| {}).unwrap();
        let new = NewUser {
            id: ROOT,
            name: "root".parse().unwrap(),
            role: Role::Admin,
            password_hash: hash("old"),
        };
        let root = store.write(move |writes| add_user(writes, new, None, Now::default())).unwrap().unwrap();
        (folder, store, Verified::of(&root))
    }

    fn hash(text: &str) -> PasswordHash {
        PasswordHash(text.to_owned())
    }

    /// What comes of a log-in whose password was verified before.
    fn log_in(store: &Store, verified: &Verified, upgraded: Option<&str>) -> Result<SessionId, Stale> {
        let id = SessionId::new(ROOT, crate::entropy::bytes());
        let sign_in = SignIn {
            user: ROOT,
            verified: verified.clone(),
            upgraded: upgraded.map(hash),
            replaces: None,
            id,
            kid: 1,
            address: [127, 0, 0, 1].into(),
            label: String::new(),
        };
        let opened = store.write(move |writes| self::sign_in(writes, &sign_in, NOW, &POLICY));
        opened.unwrap().map(|_| id)
    }

    fn set_password(store: &Store) {
        let change = |writes: &mut Writes<'_>| {
            change_user(writes, ROOT, Event::PasswordSet, None, NOW, |user| {
                user.password_hash = hash("new");
            })
        };
        store.write(change).unwrap().unwrap();
    }

    #[test]
    fn of_log_ins_at_once_that_renew_a_hash_all_are_let_in() {
        let (_folder, store, verified) = store_with_root();
        for _ in 0..3 {
            log_in(&store, &verified, Some("the same, of another profile")).expect("the password is right");
        }
        log_in(&store, &verified, None).expect("also without renewing it");
    }

    #[test]
    fn a_log_in_that_meets_a_sign_out_everywhere_is_let_in_and_one_that_meets_another_password_is_not() {
        let (_folder, store, verified) = store_with_root();
        store.write(|writes| sign_out_everywhere(writes, ROOT, HERE, NOW)).unwrap();
        log_in(&store, &verified, None).expect("the password is right");
        set_password(&store);
        assert_eq!(log_in(&store, &verified, None), Err(Stale::Changed));
    }

    #[test]
    fn a_log_in_that_meets_both_is_asked_to_come_again() {
        let (_folder, store, verified) = store_with_root();
        log_in(&store, &verified, Some("renewed")).unwrap();
        store.write(|writes| sign_out_everywhere(writes, ROOT, HERE, NOW)).unwrap();
        assert_eq!(log_in(&store, &verified, None), Err(Stale::Changed), "which is no wrong password");
    }

    #[test]
    fn a_change_of_password_meets_a_renewed_hash_and_no_other_password() {
        let (_folder, store, verified) = store_with_root();
        let id = log_in(&store, &verified, Some("renewed")).unwrap();
        let seen = verified.clone();
        let change =
            move |writes: &mut Writes<'_>| change_password(writes, id, &seen, hash("chosen"), HERE, NOW);
        assert_eq!(store.write(change).unwrap(), Ok(()));
        let again =
            move |writes: &mut Writes<'_>| change_password(writes, id, &verified, hash("late"), HERE, NOW);
        assert_eq!(store.write(again).unwrap(), Err(Stale::Changed));
    }

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
