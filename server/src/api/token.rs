//! Tokens at the edge: what an access token of ours says, and reading a refresh token back.

use std::fmt;

use token_core::{Claims, NewClaims, RefreshToken, SignError, Verifier};

use super::App;
use crate::entropy;
use crate::problem::{Code, Problem};
use crate::session::{Session, SessionId};
use crate::time::{Now, UnixMillis};
use crate::user::User;

/// Room for an access token of ours: 255 bytes each for issuer and audience, and the rest. `App` checks it at start.
const ACCESS_TOKEN_LEN_MAX: usize = 2048;

/// An access token and how long it is good for.
pub(super) struct AccessToken {
    pub(super) text: String,
    pub(super) expires_in_secs: u64,
}

impl App {
    /// Issues an access token for a living session; it never outlives the session.
    pub(super) fn issue_access_token(
        &self,
        id: SessionId,
        session: &Session,
        user: &User,
        Now { system: now, .. }: Now,
    ) -> Result<AccessToken, Problem> {
        // Rounded up, so that the token lives at least as long as is announced; sessions end at whole seconds.
        let expires_at =
            (now.as_secs_rounded_up() + self.tokens.access_ttl_secs).min(session.expires.as_secs());
        let left_secs = now.secs_until(UnixMillis::from_secs(expires_at));
        let expires_in_secs = left_secs.min(self.tokens.access_ttl_secs);
        let token_id = u64::from_ne_bytes(entropy::bytes());
        let mut room = [0; ACCESS_TOKEN_LEN_MAX];
        let claims = NewClaims {
            issuer: Some(&self.tokens.issuer),
            subject: Some(&id.user().to_string()),
            audience: Some(&self.tokens.audience),
            expires_at,
            issued_at: Some(now.as_secs()),
            id: Some(&format!("{token_id:016x}")),
            session: Some(&id.handle()),
            role: Some(user.role.as_str()),
            ..NewClaims::default()
        };
        let text =
            self.keys.current().access_signing().sign(&claims, &mut room).map_err(internal)?.to_owned();
        Ok(AccessToken { text, expires_in_secs })
    }

    /// The session an access token names.
    pub(super) fn session_of_access_token(&self, token: &str, now: Now) -> Option<SessionId> {
        let keys = self.keys.current();
        let mut room = [0; ACCESS_TOKEN_LEN_MAX];
        let claims: Claims<'_> = Verifier::new(keys.access())
            .issuer(&self.tokens.issuer)
            .audience(&self.tokens.audience)
            .verify(token, now.system.as_secs(), &mut room)
            .ok()?;
        claims.session().and_then(SessionId::from_handle)
    }

    /// The current refresh token of a session, the same whenever it is asked for: nothing of it is stored.
    pub(super) fn refresh_token(&self, id: SessionId, session: &Session) -> Result<String, Problem> {
        let keys = self.keys.current();
        let key = keys.refresh(session.kid).ok_or_else(|| {
            log::error!("the key file has no key {}, which a living session was issued under", session.kid);
            Problem::from(Code::Internal)
        })?;
        let token = RefreshToken { kid: session.kid, session: id.0, generation: session.generation };
        Ok(token.encode(key).as_str().to_owned())
    }

    /// Row 0: reads a refresh token whose tag is right, without a look at the store.
    pub(super) fn read_refresh_token(&self, token: &str) -> Option<RefreshToken> {
        let keys = self.keys.current();
        RefreshToken::decode(token, |kid| keys.refresh(kid)).ok()
    }

    /// Whether issuer and audience leave room for an access token; asked once, at start.
    ///
    /// # Errors
    /// Why not.
    pub fn check_token_room(&self) -> Result<(), SignError> {
        let mut room = [0; ACCESS_TOKEN_LEN_MAX / 2];
        let longest = "x".repeat(SessionId::HANDLE_LEN);
        let claims = NewClaims {
            issuer: Some(&self.tokens.issuer),
            subject: Some(&longest),
            audience: Some(&self.tokens.audience),
            expires_at: u64::MAX,
            issued_at: Some(u64::MAX),
            id: Some(&longest),
            session: Some(&longest),
            role: Some("admin"),
            ..NewClaims::default()
        };
        self.keys.current().access_signing().sign(&claims, &mut room).map(drop)
    }
}

fn internal(error: impl fmt::Display) -> Problem {
    log::error!("an access token could not be signed: {error}");
    Code::Internal.into()
}
