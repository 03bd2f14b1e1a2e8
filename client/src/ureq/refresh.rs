//! One attempt to refresh: read, prepare, write, send, write.

use zeroize::Zeroizing;

use crate::ureq::message::{self, Tokens};
use crate::ureq::transport::{Call, NoAnswer};
use crate::ureq::{AccessToken, Client, Error, Event, OpenStore, Response, Saved};
use crate::{Failure, Grant, Moment, Outcome, Prepared, RETRY_KEY_LEN, RetryKey, Turn};

/// How an attempt ended: for the rules, and for the threads that wait for it.
struct Attempted {
    outcome: Outcome,
    access_token: Result<AccessToken, Error>,
}

impl Client {
    /// Makes one attempt and reports it to the session.
    pub(super) fn refresh(&self, turn: Turn) {
        if let Err(error) = self.attempt(turn) {
            // Nothing was sent: the store could not be used, or there was no key to be had.
            self.report(turn, Attempted::failed(Failure::Unsaved, error), self.clock.now());
        }
        self.changed.notify_all();
    }

    fn attempt(&self, turn: Turn) -> Result<(), Error> {
        // Open until the answer is written: another process waits here and then finds the new token.
        let mut store = self.store.open()?;
        let Some(mut saved) = store.read()?.filter(|saved| self.is_ours(saved)) else {
            // Another process has signed out, or in again.
            self.shared().sign_out(None);
            return Ok(());
        };
        let mut grant = saved.grant(&*self.clock);
        let prepared = grant.prepare(fresh_key()?, self.clock.now());
        // A wait is written down, too, because the wall clock may have been set back since it was written
        // last.
        saved.update(&grant, &*self.clock);
        store.write(&saved)?;
        if let Prepared::Wait(until) = prepared {
            self.shared().session.postponed(turn, until);
            return Ok(());
        }

        let sent_at = self.clock.now();
        let attempted = self.ask(&saved, &grant, sent_at);
        grant.finished(&attempted.outcome, self.clock.now());
        saved.update(&grant, &*self.clock);
        self.write_down(&mut *store, &saved, &attempted.outcome);
        self.report(turn, attempted, sent_at);
        Ok(())
    }

    /// Shows the server the refresh token and its key.
    fn ask(&self, saved: &Saved, grant: &Grant, sent_at: Moment) -> Attempted {
        let body = message::refresh_token(grant.token());
        let call = match Call::auth(&saved.identity.origin, "/api/auth/refresh", &body) {
            Ok(call) => Call { retry_key: grant.retry_key().map(RetryKey::as_str), ..call },
            Err(error) => return Attempted::failed(Failure::Refused, error),
        };
        let response = match self.transport.send(&call) {
            Ok(response) => response,
            Err(no_answer) => return no_answer.into(),
        };
        match Tokens::read(&response) {
            // Never the tokens of another session, whoever answers.
            Some(tokens) if tokens.session == saved.identity.session => self.renewed(tokens, sent_at),
            _ => {
                self.transport.tell_answer(&response);
                Attempted::refused(response)
            }
        }
    }

    fn renewed(&self, tokens: Tokens, sent_at: Moment) -> Attempted {
        let Tokens { access_token, expires_in_secs, refresh_token: token, rotated, .. } = tokens;
        self.transport.tell(&Event::Renewed { rotated, expires_in_secs });
        let access_token = AccessToken::new(access_token, expires_in_secs, sent_at);
        let expires_in_secs = self.deadline(expires_in_secs);
        Attempted { outcome: Outcome::Renewed { token, expires_in_secs }, access_token: Ok(access_token) }
    }

    /// That this fails is told but stops nothing: the store still holds the token and the key that were sent,
    /// and showing the server those again brings the same child.
    fn write_down(&self, store: &mut dyn OpenStore, saved: &Saved, outcome: &Outcome) {
        let written = match outcome {
            Outcome::Ended => store.clear(),
            Outcome::Renewed { .. } | Outcome::Failed(_) => store.write(saved),
        };
        if let Err(error) = written {
            self.transport.tell(&Event::NotKept { error: &error });
        }
    }

    fn report(&self, turn: Turn, attempted: Attempted, sent_at: Moment) {
        let Attempted { outcome, access_token } = attempted;
        let mut shared = self.shared();
        if !shared.session.finished(turn, &outcome, sent_at, self.clock.now()) {
            return;
        }
        match access_token {
            Ok(access_token) => shared.access_token = access_token,
            Err(error) if matches!(outcome, Outcome::Ended) => shared.sign_out(error.code()),
            Err(error) => shared.setback = Some(error),
        }
    }
}

impl Attempted {
    fn failed(failure: Failure, error: Error) -> Self {
        Self { outcome: Outcome::Failed(failure), access_token: Err(error) }
    }

    fn refused(response: Response) -> Self {
        let from_latchkey = response.problem().is_some();
        let outcome = Outcome::of_refusal(response.status(), from_latchkey, response.retry_after_secs());
        let error = match &outcome {
            Outcome::Failed(Failure::Foreign { .. }) => Error::foreign(&response),
            _ => Error::Refused(response),
        };
        Self { outcome, access_token: Err(error) }
    }
}

impl From<NoAnswer> for Attempted {
    fn from(no_answer: NoAnswer) -> Self {
        let failure = match &no_answer {
            NoAnswer::Unsent(_) => Failure::Unsent,
            NoAnswer::Lost(_) => Failure::Lost,
            NoAnswer::TooLong => Failure::Foreign { retry_after_secs: None },
        };
        Self::failed(failure, Error::Network(no_answer.to_string()))
    }
}

fn fresh_key() -> Result<RetryKey, Error> {
    let mut random = Zeroizing::new([0; RETRY_KEY_LEN / 2]);
    getrandom::fill(random.as_mut_slice()).map_err(|_| Error::Entropy)?;
    Ok(RetryKey::from_random(*random))
}
