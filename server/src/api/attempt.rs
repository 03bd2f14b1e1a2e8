//! Attempts to sign in, as the throttle counts them: begun before anybody is looked up, ended as a failure that log,
//! counters and audit log are told of.

use super::{App, Request};
use crate::audit::{Event, Occurrence};
use crate::command::Stale;
use crate::metrics::Count;
use crate::problem::{Code, Problem};
use crate::session::Session;
use crate::throttle::{Attempt, By, Refused, is_one_network};
use crate::user::{Name, User, UserId};

/// Who was looked up for a name: its user, or somebody else in place of a user who does not exist, so that the look takes as
/// long. Nobody at all in an empty store.
pub(super) struct LookedUp(Option<(UserId, User, bool)>);

impl LookedUp {
    /// The user, if it is theirs.
    pub(super) fn named(self) -> Option<(UserId, User)> {
        self.0.and_then(|(id, user, is_named)| is_named.then_some((id, user)))
    }
}

impl Stale {
    /// The answer to somebody whose password was right a moment ago: `over`, or to ask again if it may still be.
    pub(super) fn refusal(self, over: Code) -> Problem {
        match self {
            Self::Over => over.into(),
            Self::Changed => Problem::new(Code::Busy, "the account was changed meanwhile"),
        }
    }
}

/// What failures are counted for: a name however it is typed, or what is no name as it is.
pub(super) fn account_of<'a>(typed: &'a str, name: Option<&'a Name>) -> &'a str {
    name.map_or(typed, Name::folded)
}

impl App {
    /// Refuses an attempt to sign in that would have to wait, without making one.
    pub(super) fn ask(&self, by: By<'_>, request: &Request<'_>) -> Result<(), Problem> {
        self.throttle.ask(by).map_err(|secs| self.refused_for(secs, request))
    }

    /// Begins an attempt to sign in, or refuses it because too many have failed, before anybody is looked up for it.
    pub(super) fn begin(&self, by: By<'_>, request: &Request<'_>) -> Result<Attempt<'_>, Problem> {
        self.throttle.begin(by).map_err(|refused| match refused {
            Refused::Wait(secs) => self.refused_for(secs, request),
            Refused::Busy => {
                Problem::new(Code::Busy, "too many log-ins of this name or from this network are under way")
            }
        })
    }

    /// Ends an attempt that failed, tells everybody who wants to know, and returns the answer: `code`, or that of having
    /// to wait. `what` is for the log, `user` is whom it was about.
    pub(super) fn failed(
        &self,
        attempt: Attempt<'_>,
        request: &Request<'_>,
        what: &str,
        user: Option<UserId>,
        code: Code,
    ) -> Problem {
        // fail2ban reads these lines.
        log::info!("{}: {what}, from {}", request.id, request.client);
        self.count(Count::SignInRefused);
        let refused = Occurrence { user, ..Occurrence::of(Event::SignInRefused) };
        self.store.note(refused.from(request.client), self.clock.now());
        attempt.failed().map_or_else(|secs| self.too_early(secs), |()| code.into())
    }

    fn refused_for(&self, secs: u64, request: &Request<'_>) -> Problem {
        log::info!("{}: too many log-ins have failed, from {}", request.id, request.client);
        self.too_early(secs)
    }

    fn too_early(&self, secs: u64) -> Problem {
        self.count(Count::Throttled);
        Problem { wait_secs: Some(secs), ..Code::Throttled.into() }
    }

    /// Looks up who is `typed`, which reads as `name` if it is one at all.
    pub(super) fn look_up(&self, typed: &str, name: Option<&Name>) -> Result<LookedUp, Problem> {
        let stand_in = self.throttle.stand_in(account_of(typed, name));
        let found = self.store.read(|reads| reads.user_named_or_another(name, stand_in))?;
        Ok(LookedUp(found))
    }

    /// Whether a session of this user lives in the network of the request.
    pub(super) fn is_at_home(
        &self,
        LookedUp(found): &LookedUp,
        request: &Request<'_>,
    ) -> Result<bool, Problem> {
        let Some((id, user, is_named)) = found else { return Ok(false) };
        let (sessions, now) = (self.store.read(|reads| reads.sessions_of(*id))?, self.clock.now());
        let lives_here = |session: &Session| {
            is_one_network(session.address, request.client) && session.end_reason(Some(user), now).is_none()
        };
        // Each is looked at, wherever the first one is.
        Ok(sessions.iter().filter(|(_, session)| lives_here(session)).count() > 0 && *is_named)
    }
}
