//! How one attempt to refresh ended, and what an answer that is not a 200 means.

use crate::RefreshToken;

/// How one attempt to refresh ended.
#[derive(Debug)]
pub enum Outcome {
    /// A 200 with tokens. The refresh token may be the one that was sent: within the grace period it is not
    /// rotated.
    Renewed {
        /// The refresh token in force from now on.
        token: RefreshToken,
        /// `expires_in` of the answer; `None` makes the client purely reactive: it refreshes on 401 and never
        /// before.
        expires_in_secs: Option<u32>,
    },
    /// The server says that the session is over. Nothing else signs out.
    Ended,
    /// Anything else. The session is kept.
    Failed(Failure),
}

/// Why an attempt to refresh brought no token although the session may well be alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// The grant could not be written down, so nothing was sent.
    Unsaved,
    /// The request never left: no route, no name, connection refused.
    Unsent,
    /// The request left, or may have, and no whole answer came: a time-out, a broken connection.
    Lost,
    /// Somebody else answered: a captive portal, a proxy in front of a server that is away.
    Foreign {
        /// `Retry-After` in seconds, if the answer had one.
        retry_after_secs: Option<u32>,
    },
    /// Latchkey answered 409, 429 or 5xx.
    Busy {
        /// `Retry-After` in seconds, if the answer had one.
        retry_after_secs: Option<u32>,
    },
    /// Latchkey answered something that trying again will not change.
    Refused,
}

impl Outcome {
    /// What an answer to a refresh means when it brought no tokens.
    ///
    /// `from_latchkey` says that the body was an `application/problem+json` whose `type` begins with
    /// `urn:latchkey:`. Without that a 401 proves nothing: any proxy on the way can say 401, and believing it
    /// would sign people out.
    pub fn of_refusal(status: u16, from_latchkey: bool, retry_after_secs: Option<u32>) -> Self {
        match (from_latchkey, status) {
            (true, 401) => Self::Ended,
            (true, 409 | 429 | 500..=599) => Self::Failed(Failure::Busy { retry_after_secs }),
            (true, _) => Self::Failed(Failure::Refused),
            (false, _) => Self::Failed(Failure::Foreign { retry_after_secs }),
        }
    }

    /// Whether the request may still be travelling towards the server although nobody waits for it any more.
    ///
    /// A proxy that answers by itself counts: what it had passed on before may arrive later.
    pub(crate) fn is_abandoned(&self) -> bool {
        matches!(self, Self::Failed(Failure::Lost | Failure::Foreign { .. }))
    }
}

impl Failure {
    /// The wait that the answer itself asked for.
    pub(crate) fn retry_after_secs(self) -> Option<u32> {
        match self {
            Self::Foreign { retry_after_secs } | Self::Busy { retry_after_secs } => retry_after_secs,
            Self::Unsaved | Self::Unsent | Self::Lost | Self::Refused => None,
        }
    }

    /// Whether another attempt could end differently.
    pub(crate) fn is_passing(self) -> bool {
        !matches!(self, Self::Unsaved | Self::Refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(outcome: Outcome) -> Failure {
        match outcome {
            Outcome::Failed(failure) => failure,
            other => panic!("expected a failure, got {other:?}"),
        }
    }

    #[test]
    fn a_401_with_our_problem_type_ends_the_session() {
        assert!(matches!(Outcome::of_refusal(401, true, None), Outcome::Ended));
    }

    #[test]
    fn a_401_without_our_problem_type_does_not() {
        assert_eq!(
            failure(Outcome::of_refusal(401, false, None)),
            Failure::Foreign { retry_after_secs: None }
        );
    }

    #[test]
    fn conflict_throttling_and_server_errors_ask_for_another_try() {
        for status in [409, 429, 500, 503, 599] {
            let busy = Failure::Busy { retry_after_secs: Some(7) };
            assert_eq!(failure(Outcome::of_refusal(status, true, Some(7))), busy, "{status}");
        }
    }

    #[test]
    fn other_refusals_of_ours_are_final_but_keep_the_session() {
        for status in [400, 403, 404, 422] {
            assert_eq!(failure(Outcome::of_refusal(status, true, None)), Failure::Refused, "{status}");
        }
    }

    #[test]
    fn whatever_a_stranger_says_is_foreign() {
        for status in [200, 204, 302, 401, 403, 404, 407, 409, 429, 502, 511] {
            let foreign = Failure::Foreign { retry_after_secs: None };
            assert_eq!(failure(Outcome::of_refusal(status, false, None)), foreign, "{status}");
        }
    }

    #[test]
    fn only_attempts_that_may_still_travel_count_as_abandoned() {
        let abandoned = |failure| Outcome::Failed(failure).is_abandoned();
        assert!(abandoned(Failure::Lost));
        assert!(abandoned(Failure::Foreign { retry_after_secs: None }));
        assert!(!abandoned(Failure::Unsent));
        assert!(!abandoned(Failure::Unsaved));
        assert!(!abandoned(Failure::Busy { retry_after_secs: None }));
        assert!(!abandoned(Failure::Refused));
        assert!(!Outcome::Ended.is_abandoned());
    }
}
