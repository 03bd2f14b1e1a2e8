//! One attempt to refresh: read, prepare, write, send, write.

use zeroize::Zeroizing;

use crate::ureq::message::{self, Tokens};
use crate::ureq::transport::{Call, NoAnswer};
use crate::ureq::{Client, Error, Event, OpenStore, Response, Saved};
use crate::{Failure, Grant, Moment, Outcome, Prepared, RETRY_KEY_LEN, RetryKey, Turn};

/// An attempt that brought no tokens: what the rules make of it, and what the caller is told.
struct Setback {
    outcome: Outcome,
    error: Error,
}

impl Client {
    /// Makes one attempt and reports it to the session.
    pub(super) fn refresh(&self, turn: Turn) {
        if let Err(error) = self.attempt(turn) {
            // Nothing was sent: the store could not be used, or there was no key to be had.
            let now = self.clock.now();
            self.report(turn, &Outcome::Failed(Failure::Unsaved), now, Err(error));
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
        if let Prepared::Wait(until) = grant.prepare(fresh_key()?, self.clock.now()) {
            // Written down anew, because the wall clock that it was written by may have been set back since.
            saved.update(&grant, &*self.clock);
            store.write(&saved)?;
            self.shared().session.postponed(turn, until);
            return Ok(());
        }
        saved.update(&grant, &*self.clock);
        store.write(&saved)?;

        let sent_at = self.clock.now();
        let (outcome, access_token) = match self.ask(&saved, &grant) {
            Ok(tokens) => self.renewed(tokens),
            Err(setback) => (setback.outcome, Err(setback.error)),
        };
        grant.finished(&outcome, self.clock.now());
        saved.update(&grant, &*self.clock);
        self.write_down(&mut *store, &saved, &outcome);
        self.report(turn, &outcome, sent_at, access_token);
        Ok(())
    }

    /// Shows the server the refresh token and its key.
    fn ask(&self, saved: &Saved, grant: &Grant) -> Result<Tokens, Setback> {
        let body = message::refresh_token(grant.token());
        let call = Call::auth(&saved.identity.origin, "/api/auth/refresh", &body)
            .map_err(|error| Setback { outcome: Outcome::Failed(Failure::Refused), error })?;
        let call = Call { retry_key: grant.retry_key().map(RetryKey::as_str), ..call };
        let response = self.transport.send(&call).map_err(Setback::no_answer)?;
        match Tokens::read(&response) {
            // Never the tokens of another session, whoever answers.
            Some(tokens) if tokens.session == saved.identity.session => {
                let (rotated, expires_in_secs) = (tokens.rotated, tokens.expires_in_secs);
                self.transport.tell(&Event::Renewed { rotated, expires_in_secs });
                Ok(tokens)
            }
            _ => {
                self.transport.tell_answer(&response);
                Err(Setback::refusal(response))
            }
        }
    }

    fn renewed(&self, tokens: Tokens) -> (Outcome, Result<Zeroizing<String>, Error>) {
        let expires_in_secs = self.deadline(tokens.expires_in_secs);
        (Outcome::Renewed { token: tokens.refresh_token, expires_in_secs }, Ok(tokens.access_token))
    }

    /// That this fails is told but stops nothing: the store still holds the token and the key that were sent, and showing
    /// the server those again brings the same child.
    fn write_down(&self, store: &mut dyn OpenStore, saved: &Saved, outcome: &Outcome) {
        let written = match outcome {
            Outcome::Ended => store.clear(),
            Outcome::Renewed { .. } | Outcome::Failed(_) => store.write(saved),
        };
        if let Err(error) = written {
            self.transport.tell(&Event::NotKept { error: &error });
        }
    }

    fn report(
        &self,
        turn: Turn,
        outcome: &Outcome,
        sent_at: Moment,
        access_token: Result<Zeroizing<String>, Error>,
    ) {
        let mut shared = self.shared();
        if !shared.session.finished(turn, outcome, sent_at, self.clock.now()) {
            return;
        }
        match access_token {
            Ok(access_token) => shared.access_token = access_token,
            Err(error) if matches!(outcome, Outcome::Ended) => shared.sign_out(error.code()),
            Err(error) => shared.setback = Some(error),
        }
    }
}

impl Setback {
    fn no_answer(no_answer: NoAnswer) -> Self {
        let failure = match &no_answer {
            NoAnswer::Unsent(_) => Failure::Unsent,
            NoAnswer::Lost(_) => Failure::Lost,
            NoAnswer::TooLong => Failure::Foreign { retry_after_secs: None },
        };
        let error = Error::Network(no_answer.to_string());
        Self { outcome: Outcome::Failed(failure), error }
    }

    fn refusal(response: Response) -> Self {
        let from_latchkey = response.problem().is_some();
        let outcome = Outcome::of_refusal(response.status(), from_latchkey, response.retry_after_secs());
        let error = match &outcome {
            Outcome::Failed(Failure::Foreign { .. }) => Error::foreign(&response),
            _ => Error::Refused(response),
        };
        Self { outcome, error }
    }
}

fn fresh_key() -> Result<RetryKey, Error> {
    let mut random = Zeroizing::new([0; RETRY_KEY_LEN / 2]);
    getrandom::fill(random.as_mut_slice()).map_err(|_| Error::Entropy)?;
    Ok(RetryKey::from_random(*random))
}
