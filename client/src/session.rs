//! The volatile half of the rules: which request may be sent, who refreshes, who waits, and what a 401 means.

use crate::{Advice, Failure, Moment, Outcome};

/// Attempts that one refresh makes before the requests that wait for it are told of the failure.
pub const TRIES_MAX: u8 = 3;

/// The longest `Retry-After` that is waited for inside a request, in seconds. Longer ones are reported to the
/// caller.
pub const RETRY_AFTER_MAX_SECS: u32 = 10;

/// The longest `Retry-After` that is believed, in seconds: the server never asks for more.
pub const HOLD_MAX_SECS: u32 = 60;

/// How long an attempt may take before another request takes the refresh over, in seconds.
///
/// A thread can panic and a future can be dropped in the middle of an attempt. The limit leaves room for two
/// attempts of 10 s, because another process may have the session store open for one, and for slow disks.
pub const TAKE_OVER_SECS: u32 = 30;

const _: () = assert!(RETRY_AFTER_MAX_SECS <= TAKE_OVER_SECS && RETRY_AFTER_MAX_SECS <= HOLD_MAX_SECS);

/// Decides what a client with one session does next. It does no I/O, reads no clock and allocates nothing.
///
/// Many requests share one `Session`; each has its own [`Request`] and asks [`next`](Self::next) until it is
/// done. The tokens themselves are elsewhere: the caller keeps the one access token in memory, and the
/// refresh token is in a [`Grant`](crate::Grant). **The caller reads the access token under the same lock as
/// the [`Step::Send`] that allows it, and stores a new one under the same lock as the
/// [`finished`](Self::finished) that reports it, if that says `true`.**
///
/// ```text
///   ┌────────────┐  signed_in, from any state                ┌───────┐
///   │ signed out │ ────────────────────────────────────────► │ ready │ ─► Send
///   └────────────┘                                           └───────┘
///     │        ▲  Ended, or sign_out from any state            │   ▲
///     │        └───────────────────────┐                       │   │
///     │ resumed                        │    its access token   │   │ Renewed
///     ▼                                │   met a 401, or its   │   │
///   ┌───────┐  a request asks: Refresh │     deadline passed:  │   │
///   │ stale │ ─────────────────────► ┌────────────┐  Refresh   │   │
///   └───────┘ ◄───────────────────── │ refreshing │ ◄──────────┘   │
///               Failed, not passing  │            │ ───────────────┘
///               or the last try      └────────────┘ ─► Join, to every other request
///                                      │        ▲
///                    Failed, postponed │        │ the wait is over: Refresh
///                                      ▼        │
///                                    ┌────────────┐
///                                    │  pausing   │ ─► Wait, to the request that refreshes; Join, to others
///                                    └────────────┘
/// ```
///
/// While the server's `Retry-After` runs, a refresh begins in *pausing*, or not at all when that is too long to
/// wait for. An attempt that does not report within [`TAKE_OVER_SECS`] is taken over by the next request that
/// asks.
///
/// # Example
/// The whole cycle: the access token is refused, one refresh fails on the way, the next succeeds, the request
/// is repeated.
/// ```
/// use latchkey_client::{
///     Failure, Grant, Moment, Outcome, Prepared, RefreshToken, Request, RetryKey, Session, Step, Verdict,
/// };
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // Signed in: the answer to the log-in brought an access token for 600 s and this refresh token.
/// let mut now = Moment::from_millis(0);
/// let mut session = Session::signed_out();
/// session.signed_in(Some(600), now);
/// let mut grant = Grant::new(RefreshToken::parse(&"a".repeat(72))?);
///
/// // What the network will do, first to last.
/// let mut statuses = [401, 200].into_iter();
/// let child = RefreshToken::parse(&"b".repeat(72))?;
/// let mut outcomes = [
///     Outcome::Failed(Failure::Lost),
///     Outcome::Renewed { token: child, expires_in_secs: Some(600) },
/// ]
/// .into_iter();
///
/// let mut log = Vec::new();
/// let mut request = Request::new();
/// loop {
///     match session.next(&mut request, now) {
///         Step::Send => {
///             let status = statuses.next().expect("the network answers twice");
///             log.push(format!("request {status}"));
///             if request.answered(status, None) == Verdict::Return {
///                 break;
///             }
///         }
///         Step::Refresh(turn) => match grant.prepare(RetryKey::from_random([7; 16]), now) {
///             Prepared::Wait(until) => session.postponed(turn, until),
///             Prepared::Send => {
///                 // Here the grant is written down. Only then is its token sent, with its key.
///                 let sent_at = now;
///                 let outcome = outcomes.next().expect("the network answers twice");
///                 grant.finished(&outcome, now);
///                 // Here it is written down again.
///                 let is_renewed = matches!(outcome, Outcome::Renewed { .. });
///                 log.push(format!("refresh {}", if is_renewed { "200" } else { "lost" }));
///                 if session.finished(turn, &outcome, sent_at, now) {
///                     // Here a new access token replaces the old one.
///                 }
///             }
///         },
///         // A program sleeps; here time is a number. `Join` also ends when another request reports.
///         Step::Wait(until) | Step::Join(until) => now = until,
///         Step::Failed(failure) => panic!("the session is kept, but there is no access token: {failure:?}"),
///         Step::SignedOut => panic!("sign in again"),
///     }
/// }
/// assert_eq!(log, ["request 401", "refresh lost", "refresh 200", "request 200"]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Session {
    state: State,
    /// Counts sign-ins and sign-outs, so that what belongs to an earlier session is recognised.
    sign_in: u32,
    last_access: u32,
    last_turn: u32,
    /// The server asked for patience until then, across all requests.
    hold_until: Moment,
}

/// What one request remembers between its steps.
#[derive(Debug, Default)]
pub struct Request {
    sign_in: Option<u32>,
    sent_with: Option<u32>,
    rejected: Option<u32>,
    repeated: bool,
    /// The refresh that this request runs, as opposed to one that it waits for.
    own_turn: Option<Turn>,
    /// It ran a refresh or waited for one: what came of that is its answer, however soon the clock calls it
    /// old.
    took_part: bool,
}

/// What a request does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send the request with the current access token, and tell [`Request::answered`].
    Send,
    /// Make one attempt to refresh, and tell [`Session::finished`] or [`Session::postponed`].
    Refresh(Turn),
    /// Another request refreshes: ask again when it has reported, at the latest at this moment.
    Join(Moment),
    /// Ask again at this moment.
    Wait(Moment),
    /// There is no access token to be had now. The session is kept.
    Failed(Failure),
    /// There is no session, or not the one that the request began with.
    SignedOut,
}

/// What to do with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a 401 that could be cured would be returned"]
pub enum Verdict {
    /// Return it to the caller.
    Return,
    /// Throw it away and ask [`Session::next`] again.
    Again,
}

/// Names one refresh, so that a report which comes too late changes nothing that it must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    sign_in: u32,
    number: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    SignedOut,
    /// No access token. After a refresh that failed, with the reason.
    Stale(Option<Failure>),
    Ready(Access),
    /// An attempt is on the wire, until `until` at the most.
    Refreshing(Flight),
    /// The next attempt may be made at `until`.
    Pausing(Flight),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Access {
    number: u32,
    deadline: Option<Moment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Flight {
    turn: Turn,
    tries: u8,
    until: Moment,
}

impl Session {
    /// Nobody is signed in.
    pub const fn signed_out() -> Self {
        let zero = Moment::from_millis(0);
        Self { state: State::SignedOut, sign_in: 0, last_access: 0, last_turn: 0, hold_until: zero }
    }

    /// A refresh token was found where an earlier run of the program left it.
    pub fn resumed(&mut self) {
        self.begin_session(State::Stale(None));
    }

    /// A log-in, sent at `sent_at`, brought an access token for `expires_in_secs`.
    ///
    /// The deadline counts from the sending, so it is never later than the server's. `None` means that only a
    /// 401 tells.
    pub fn signed_in(&mut self, expires_in_secs: Option<u32>, sent_at: Moment) {
        self.begin_session(State::SignedOut);
        self.ready(expires_in_secs, sent_at);
    }

    /// The session is over: signed out here, or ended by the server.
    pub fn sign_out(&mut self) {
        self.begin_session(State::SignedOut);
    }

    /// Whether there is a session.
    pub fn is_signed_in(&self) -> bool {
        self.state != State::SignedOut
    }

    /// Says what `request` does next.
    pub fn next(&mut self, request: &mut Request, now: Moment) -> Step {
        // A request that began under one sign-in is never repeated under another: it may be another user's.
        if *request.sign_in.get_or_insert(self.sign_in) != self.sign_in {
            return Step::SignedOut;
        }
        match self.state {
            State::SignedOut => Step::SignedOut,
            State::Ready(access) if request.may_use(access, now) => {
                request.sent_with = Some(access.number);
                Step::Send
            }
            State::Stale(Some(failure)) if request.took_part => Step::Failed(failure),
            State::Ready(_) | State::Stale(_) => self.begin_refresh(request, now),
            State::Pausing(flight) if request.own_turn == Some(flight.turn) => self.go_on(flight, now),
            State::Refreshing(flight) => self.join(flight.until, request, now),
            State::Pausing(flight) => self.join(flight.until.plus_secs(TAKE_OVER_SECS), request, now),
        }
    }

    /// The grant must not be sent before `until`: the refresh pauses without having used up a try.
    pub fn postponed(&mut self, turn: Turn, until: Moment) {
        if let State::Refreshing(flight) = self.state
            && flight.turn == turn
        {
            self.state = State::Pausing(Flight { tries: flight.tries - 1, until, ..flight });
        }
    }

    /// Takes in how an attempt, sent at `sent_at`, ended at `now`, and says whether that concerned anybody.
    ///
    /// A late report of an attempt that was taken over still counts when it brings tokens or the end of the
    /// session, for both are true whoever learns them. Its failure does not, and nothing of an earlier
    /// session does.
    #[must_use = "tokens that concern nobody must not replace those in use"]
    pub fn finished(&mut self, turn: Turn, outcome: &Outcome, sent_at: Moment, now: Moment) -> bool {
        if turn.sign_in != self.sign_in {
            return false;
        }
        match outcome {
            Outcome::Renewed { expires_in_secs, .. } => self.ready(*expires_in_secs, sent_at),
            Outcome::Ended => self.sign_out(),
            Outcome::Failed(failure) => return self.failed(turn, *failure, now),
        }
        true
    }

    fn begin_session(&mut self, state: State) {
        self.sign_in = self.sign_in.wrapping_add(1);
        self.hold_until = Moment::default();
        self.state = state;
    }

    fn ready(&mut self, expires_in_secs: Option<u32>, sent_at: Moment) {
        self.last_access = self.last_access.wrapping_add(1);
        let deadline = expires_in_secs.map(|secs| sent_at.plus_secs(secs));
        self.state = State::Ready(Access { number: self.last_access, deadline });
    }

    fn begin_refresh(&mut self, request: &mut Request, now: Moment) -> Step {
        let hold_secs = self.hold_until.secs_left(now) as u32;
        if hold_secs > RETRY_AFTER_MAX_SECS {
            return Step::Failed(Failure::Busy { retry_after_secs: Some(hold_secs) });
        }
        self.last_turn = self.last_turn.wrapping_add(1);
        let turn = Turn { sign_in: self.sign_in, number: self.last_turn };
        request.own_turn = Some(turn);
        request.took_part = true;
        self.go_on(Flight { turn, tries: 0, until: self.hold_until }, now)
    }

    fn go_on(&mut self, flight: Flight, now: Moment) -> Step {
        if now < flight.until {
            self.state = State::Pausing(flight);
            return Step::Wait(flight.until);
        }
        let until = now.plus_secs(TAKE_OVER_SECS);
        self.state = State::Refreshing(Flight { tries: flight.tries + 1, until, ..flight });
        Step::Refresh(flight.turn)
    }

    fn join(&mut self, until: Moment, request: &mut Request, now: Moment) -> Step {
        if now >= until {
            return self.begin_refresh(request, now);
        }
        request.took_part = true;
        Step::Join(until)
    }

    fn failed(&mut self, turn: Turn, failure: Failure, now: Moment) -> bool {
        let flight = match self.state {
            State::Refreshing(flight) if flight.turn == turn => flight,
            _ => return false,
        };
        let asked_secs = failure.retry_after_secs().map(|secs| secs.min(HOLD_MAX_SECS));
        if let Some(secs) = asked_secs {
            self.hold_until = now.plus_secs(secs);
        }
        let pause_secs = asked_secs.unwrap_or(pause_secs(failure, flight.tries));
        self.state = if failure.is_passing() && flight.tries < TRIES_MAX && pause_secs <= RETRY_AFTER_MAX_SECS
        {
            State::Pausing(Flight { until: now.plus_secs(pause_secs), ..flight })
        } else {
            State::Stale(Some(failure))
        };
        true
    }
}

/// The first repetition of a lost attempt follows at once, since most losses are of one packet; a server that
/// says it is busy, and a network that failed twice, get a second.
fn pause_secs(failure: Failure, tries: u8) -> u32 {
    u32::from(tries > 1 || matches!(failure, Failure::Busy { .. }))
}

impl Request {
    /// A request that was not sent yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in the answer to the request: its status and, if its body was a problem document of Latchkey,
    /// the advice.
    ///
    /// The first 401 is worth a refresh, unless the server itself advises something else. The second is the
    /// answer. So is a stranger's, met with an access token that this very request had waited for: a newer one
    /// would not please him, and each needless rotation outdates what may still be travelling.
    pub fn answered(&mut self, status: u16, advice: Option<Advice>) -> Verdict {
        let curable = match advice {
            Some(advice) => advice == Advice::Refresh,
            None => !self.took_part,
        };
        let curable = status == 401 && curable;
        if !curable || self.repeated {
            return Verdict::Return;
        }
        self.repeated = true;
        self.rejected = self.sent_with;
        Verdict::Again
    }

    fn may_use(&self, access: Access, now: Moment) -> bool {
        // An access token other than the rejected one is newer: somebody already refreshed, so the request
        // just repeats.
        let expired = access.deadline.is_some_and(|deadline| now >= deadline);
        self.rejected != Some(access.number) && (self.took_part || !expired)
    }
}

#[cfg(test)]
mod tests;
