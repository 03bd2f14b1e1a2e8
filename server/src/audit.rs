//! The audit log: what is worth remembering of sign-ins, refreshes and administration, each entry bound to the one
//! before by a MAC, so that a log that was tampered with shows where.

use std::collections::BTreeMap;
use std::net::IpAddr;

use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::session::SessionId;
use crate::time::UnixMillis;
use crate::user::UserId;

/// Bytes of a MAC in the chain.
pub const MAC_LEN: usize = 32;

/// Most different occurrences of a log that wait for a commit; more are counted together, without saying who.
const WAITING_MAX: usize = 1024;

/// What happened. The number is what the store keeps; none is ever given to something else.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Event {
    /// A user signed in.
    SignedIn = 1,
    /// A log-in or a one-time code was refused; a user is named if there is one of that name.
    SignInRefused = 2,
    /// A session was signed out by its owner.
    SignedOut = 3,
    /// A user ended all of their sessions.
    SignedOutEverywhere = 4,
    /// A user changed their password, which ended all of their other sessions.
    PasswordChanged = 5,
    /// Row 4: a token ahead of the record healed it.
    Ahead = 6,
    /// Row 7: two parties refreshed within the grace period, and the second got the same child.
    Concurrent = 7,
    /// Row 8: a lost answer was given again.
    Retried = 8,
    /// Row 8a: a late duplicate got nothing.
    Superseded = 9,
    /// Row 9: a spent token ended the session. The other address is that of the last rotation.
    Reused = 10,
    /// An administrator added a user.
    UserAdded = 11,
    /// An administrator deleted a user.
    UserDeleted = 12,
    /// An administrator set a user's password.
    PasswordSet = 13,
    /// An administrator disabled a user.
    UserDisabled = 14,
    /// An administrator enabled a user.
    UserEnabled = 15,
    /// An administrator ended a session.
    SessionRevoked = 16,
    /// A new master key signs.
    KeyRotated = 17,
    /// A master key was retired.
    KeyRetired = 18,
    /// The stored time was lowered to the system clock, which ended all sessions.
    ClockAccepted = 19,
    /// The store was restored from a backup.
    Restored = 20,
    /// An administrator changed a user's role.
    RoleChanged = 21,
    /// A one-time code was made, with which a user can choose a password.
    CodeIssued = 22,
    /// A user chose a password with a one-time code.
    PasswordReset = 23,
    /// An administrator ended every session of a user.
    SessionsRevoked = 24,
    /// A session ended because a log-in brought its cookie along. The address is that of the log-in.
    SessionReplaced = 25,
    /// The session that was idle for longest ended because its user opened one more than may live at once.
    SessionDisplaced = 26,
    /// A master key was made that is known and does not sign yet.
    KeyAdded = 27,
    /// A master key that was known before signs from now on.
    KeyActivated = 28,
    /// Where the log ends was missing or not as it was sealed when the store was opened: somebody removed or changed it.
    LogLost = 29,
    /// An administrator sealed both logs as they stood, broken or not.
    LogSealed = 30,
    /// The logs of a store of an earlier version were sealed for the first time.
    LogBegan = 31,
}

impl Event {
    const ALL: [Self; 31] = [
        Self::SignedIn,
        Self::SignInRefused,
        Self::SignedOut,
        Self::SignedOutEverywhere,
        Self::PasswordChanged,
        Self::Ahead,
        Self::Concurrent,
        Self::Retried,
        Self::Superseded,
        Self::Reused,
        Self::UserAdded,
        Self::UserDeleted,
        Self::PasswordSet,
        Self::UserDisabled,
        Self::UserEnabled,
        Self::SessionRevoked,
        Self::KeyRotated,
        Self::KeyRetired,
        Self::ClockAccepted,
        Self::Restored,
        Self::RoleChanged,
        Self::CodeIssued,
        Self::PasswordReset,
        Self::SessionsRevoked,
        Self::SessionReplaced,
        Self::SessionDisplaced,
        Self::KeyAdded,
        Self::KeyActivated,
        Self::LogLost,
        Self::LogSealed,
        Self::LogBegan,
    ];

    /// The event of a stored number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|event| *event as u8 == number)
    }

    /// Whether strangers or clients can cause it without a commit, so that it has to wait for one, and for a limit.
    const fn waits(self) -> bool {
        matches!(self, Self::SignInRefused | Self::Concurrent | Self::Retried | Self::Superseded)
    }

    /// The log this event belongs to. What strangers cause has one of its own, so that they cannot wash out a reuse.
    pub const fn log(self) -> Log {
        match self {
            Self::SignInRefused => Log::Refusals,
            _ => Log::Main,
        }
    }
}

/// One of the two logs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Log {
    /// What users and administrators did, and what happened to sessions.
    Main,
    /// Refused log-ins.
    Refusals,
}

/// Something that happened, to somebody, from somewhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Occurrence {
    /// What.
    pub event: Event,
    /// To whom.
    pub user: Option<UserId>,
    /// To which session. For what an administrator did to a user over HTTP: the administrator's own session.
    pub session: Option<SessionId>,
    /// From where.
    pub address: Option<IpAddr>,
    /// For a reuse: from where the session was last refreshed.
    pub other_address: Option<IpAddr>,
}

impl Occurrence {
    /// Something that happened to nobody in particular.
    pub const fn of(event: Event) -> Self {
        Self { event, user: None, session: None, address: None, other_address: None }
    }

    /// Something that happened to a user.
    pub const fn of_user(event: Event, user: UserId) -> Self {
        Self { user: Some(user), ..Self::of(event) }
    }

    /// Something that happened to a session.
    pub fn of_session(event: Event, session: SessionId) -> Self {
        Self { session: Some(session), ..Self::of_user(event, session.user()) }
    }

    /// The same, done by an administrator.
    ///
    /// Where no session is named, it is the administrator's that is; where one is, the user is the administrator.
    #[must_use]
    pub fn by(self, actor: Option<Actor>) -> Self {
        let Some(Actor { session, address }) = actor else { return self };
        let by = match self.session {
            None => Self { session: Some(session), ..self },
            Some(_) => Self { user: Some(session.user()), ..self },
        };
        by.from(address)
    }

    /// Who did it, when that is somebody else than whom it was done to.
    pub fn actor(&self) -> Option<UserId> {
        let (user, session) = (self.user?, self.session?);
        let actor = if self.event == Event::SessionRevoked { user } else { session.user() };
        let is_by_somebody_else = user != session.user();
        is_by_somebody_else.then_some(actor)
    }

    /// Whom it was done to.
    pub fn subject(&self) -> Option<UserId> {
        match (self.event, self.session) {
            (Event::SessionRevoked, Some(session)) => Some(session.user()),
            _ => self.user,
        }
    }

    /// The same, from somewhere.
    #[must_use]
    pub const fn from(self, address: IpAddr) -> Self {
        Self { address: Some(address), ..self }
    }
}

/// An administrator who does something over HTTP.
#[derive(Clone, Copy, Debug)]
pub struct Actor {
    /// The session that asks for it.
    pub session: SessionId,
    /// From where.
    pub address: IpAddr,
}

/// An entry of a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Counts the entries of its log from 0, those that the ring has overwritten included.
    pub number: u64,
    /// When it happened first.
    pub time: UnixMillis,
    /// How often within the minute.
    pub count: u32,
    /// What happened.
    pub occurrence: Occurrence,
    /// The master key its MAC is made with.
    pub kid: u8,
    /// The MAC of the entry before; zeros for the first.
    pub previous: [u8; MAC_LEN],
}

/// The key of the chain, derived from a master key.
#[derive(Clone)]
pub struct AuditKey {
    kid: u8,
    keyed: Hmac<Sha256>,
}

impl std::fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AuditKey({})", self.kid)
    }
}

impl AuditKey {
    pub(crate) fn new(kid: u8, keyed: Hmac<Sha256>) -> Self {
        Self { kid, keyed }
    }

    /// The id of its master key.
    pub fn kid(&self) -> u8 {
        self.kid
    }

    /// The seal of what is said of both logs: without it, cutting off the newest entries would go unnoticed.
    pub fn seal(&self, state: &[u8]) -> [u8; MAC_LEN] {
        self.keyed.clone().chain_update(b"logs").chain_update(state).finalize().into_bytes().into()
    }

    /// The seal that schema 2 put on the head of one log.
    pub fn seal_of_schema_2(&self, next: u64, mac: &[u8; MAC_LEN]) -> [u8; MAC_LEN] {
        let sealed =
            self.keyed.clone().chain_update(b"head").chain_update(next.to_be_bytes()).chain_update(mac);
        sealed.finalize().into_bytes().into()
    }

    /// The MAC of an entry as it is stored.
    pub fn mac(&self, record: &[u8]) -> [u8; MAC_LEN] {
        self.keyed.clone().chain_update(record).finalize().into_bytes().into()
    }
}

/// What happened without a commit of its own: it waits for the next one, counted by the minute.
///
/// Refusals and repeated answers cost no write; a stranger must not be able to make them cost one.
#[derive(Debug, Default)]
pub struct Waiting {
    main: Minutes,
    refusals: Minutes,
    /// How many were taken in, to hand them out in the same order.
    taken_in: u64,
}

/// Occurrences by the minute.
type Minutes = BTreeMap<(u64, Occurrence), Counted>;

/// When something happened first, how often, and how many other occurrences were taken in before.
#[derive(Debug)]
struct Counted {
    time: UnixMillis,
    count: u32,
    place: u64,
}

impl Waiting {
    /// Takes in an occurrence.
    pub fn add(&mut self, occurrence: Occurrence, now: UnixMillis) {
        let minute = now.as_secs() / 60;
        let minutes = match occurrence.event.log() {
            Log::Main => &mut self.main,
            Log::Refusals => &mut self.refusals,
        };
        let has_room = minutes.len() < WAITING_MAX || minutes.contains_key(&(minute, occurrence));
        // What comes with a commit of its own is gone a moment later, and never given up.
        let is_kept = has_room || !occurrence.event.waits();
        let kept = if is_kept { occurrence } else { Occurrence::of(occurrence.event) };
        let place = self.taken_in;
        let counted = minutes.entry((minute, kept)).or_insert(Counted { time: now, count: 0, place });
        counted.count = counted.count.saturating_add(1);
        self.taken_in += 1;
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.main.is_empty() && self.refusals.is_empty()
    }

    /// Hands out all that waits, in the order in which it happened.
    pub fn take(&mut self) -> impl Iterator<Item = (Occurrence, UnixMillis, u32)> + use<> {
        let Self { main, refusals, .. } = std::mem::take(self);
        let mut all: Vec<_> = main.into_iter().chain(refusals).collect();
        all.sort_by_key(|(_, counted)| counted.place);
        all.into_iter().map(|((_, occurrence), Counted { time, count, .. })| (occurrence, time, count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(n: u64) -> Occurrence {
        Occurrence::of_user(Event::SignInRefused, UserId(n))
    }

    #[test]
    fn events_keep_their_numbers() {
        for (index, event) in Event::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(event as u8), index + 1);
            assert_eq!(Event::from_number(event as u8), Some(event));
        }
        assert_eq!(Event::from_number(0), None);
        assert_eq!(Event::from_number(Event::ALL.len() as u8 + 1), None);
    }

    #[test]
    fn equal_occurrences_of_a_minute_are_counted_together() {
        let mut waiting = Waiting::default();
        for millis in [60_000, 61_000, 119_999, 120_000] {
            waiting.add(refused(1), UnixMillis(millis));
        }
        let taken: Vec<_> = waiting.take().map(|(_, time, count)| (time.0, count)).collect();
        assert_eq!(taken, [(60_000, 3), (120_000, 1)]);
        assert!(waiting.is_empty());
    }

    #[test]
    fn what_happened_in_the_same_moment_keeps_its_order() {
        let mut waiting = Waiting::default();
        let events = [Event::SessionReplaced, Event::SignedIn, Event::KeyAdded, Event::SignedOut];
        for event in events {
            waiting.add(Occurrence::of(event), UnixMillis(5));
        }
        assert!(waiting.take().map(|(occurrence, ..)| occurrence.event).eq(events));
    }

    #[test]
    fn strangers_cannot_make_the_waiting_room_grow() {
        let mut waiting = Waiting::default();
        for n in 0..5000 {
            waiting.add(refused(n), UnixMillis(0));
        }
        waiting.add(refused(1), UnixMillis(0));
        let taken: Vec<_> = waiting.take().collect();
        assert_eq!(taken.len(), WAITING_MAX + 1);
        let total: u32 = taken.iter().map(|(.., count)| count).sum();
        assert_eq!(total, 5001);
    }

    #[test]
    fn strangers_cannot_push_out_what_happens_to_a_session() {
        let mut waiting = Waiting::default();
        for n in 0..5000 {
            waiting.add(refused(n), UnixMillis(0));
            waiting.add(Occurrence::of_user(Event::Concurrent, UserId(n)), UnixMillis(0));
        }
        let reuse = Occurrence::of_user(Event::Reused, UserId(1));
        waiting.add(reuse, UnixMillis(1));
        assert!(waiting.take().any(|taken| taken == (reuse, UnixMillis(1), 1)));
    }
}
