//! The guard of protected endpoints: an access token that is valid, of a session that lives, of a user who may.

use super::{App, Request};
use crate::problem::{Code, Problem};
use crate::session::{Session, SessionId};
use crate::time::Now;
use crate::user::{Role, User};

/// Who a verified access token speaks for, as the store knows them now.
#[derive(Debug)]
pub struct Principal {
    /// The session, which names the user.
    pub id: SessionId,
    /// Its record.
    pub session: Session,
    /// The user's record.
    pub user: User,
    /// When that was so.
    pub now: Now,
}

impl App {
    /// Checks the bearer token, then that its session lives: signing out ends an access token here at once.
    ///
    /// # Errors
    /// 401 with the challenge of RFC 6750 §3.
    pub fn authenticate(&self, request: &Request<'_>) -> Result<Principal, Problem> {
        let now = self.clock.now();
        let authorization = request.field("authorization")?;
        let Some(token) = authorization.and_then(bearer_token) else { return Err(Code::MissingToken.into()) };
        let id = self.session_of_access_token(token, now).ok_or(Code::InvalidToken)?;
        let (session, user) = self.store.session_and_user(id)?;
        let alive = session.zip(user).filter(|(session, user)| session.end_reason(Some(user), now).is_none());
        let (session, user) = alive.ok_or(Code::InvalidToken)?;
        Ok(Principal { id, session, user, now })
    }

    /// The same for what only some users may. The record's role counts, not the token's, which may be older.
    ///
    /// # Errors
    /// As [`authenticate`](Self::authenticate), and 403 with the challenge of RFC 6750 §3.1.
    pub fn authenticate_as(&self, role: Role, request: &Request<'_>) -> Result<Principal, Problem> {
        let principal = self.authenticate(request)?;
        if principal.user.role.covers(role) { Ok(principal) } else { Err(Code::InsufficientScope.into()) }
    }
}

/// The token of an `Authorization` field (RFC 6750 §2.1); the scheme's case does not matter (RFC 9110 §11.1).
pub(super) fn bearer_token(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}
