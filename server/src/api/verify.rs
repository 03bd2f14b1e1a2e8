//! Forward-auth: tells a reverse proxy whether to let a request through to a service that knows nothing of Latchkey.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::guard::bearer_token;
use super::outcome::Answer;
use super::{App, Request, Response};
use crate::problem::{Code, Problem};
use crate::session::{Decision, Presented, SessionId, decide};
use crate::user::{Role, User, UserId};

/// What a name is sent as: anything but the unreserved characters of RFC 3986 §2.3 encoded, so that no name can forge a
/// header field.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// `GET /api/auth/verify`: 204 and who it is, or the refusal that the proxy passes on. Nothing is rotated, written or
/// set.
pub(super) fn verify(app: &App, request: &Request<'_>) -> Result<Answer, Problem> {
    let [role] = request.parameters(["role"])?;
    let role: Option<Role> = role
        .map(|role| role.parse())
        .transpose()
        .map_err(|_| Problem::bad_request("there is no such role"))?;
    // A service may have credentials of its own in the field; a bearer token is meant for us, and no cookie mends it.
    let (id, user) = match request.field("authorization")?.and_then(bearer_token) {
        Some(_) => app.authenticate(request).map(|principal| (principal.id.user(), principal.user))?,
        None => app.user_of_cookie(request)?,
    };
    if role.is_some_and(|role| !user.role.covers(role)) {
        return Err(Code::InsufficientScope.into());
    }
    Ok(Response::no_content()
        .with("X-Auth-User", id.to_string())
        .with("X-Auth-Name", utf8_percent_encode(&user.name, ENCODED).to_string())
        .with("X-Auth-Role", user.role.as_str())
        .into())
}

impl App {
    /// The user of the refresh cookie, judged as a refresh would judge it, but changing nothing.
    fn user_of_cookie(&self, request: &Request<'_>) -> Result<(UserId, User), Problem> {
        let token = self.cookie_token(request)?.ok_or(Code::MissingToken)?;
        // A page of another site of ours could otherwise use the service as the user: the method is not known here.
        let is_navigation =
            request.field("sec-fetch-mode")? == Some("navigate") && request.field("origin")?.is_none();
        if !is_navigation && !self.is_from_own_site(request)? {
            return Err(super::cross_site(request));
        }
        let token = self.read_refresh_token(token).ok_or(Code::InvalidToken)?;
        let id = SessionId(token.session);
        let (session, user) = self.store.session_and_user(id)?;
        let signing_kid = self.keys.current().signing_kid();
        let presented = Presented { generation: token.generation, retry_key: None, signing_kid };
        let decision = decide(session.as_ref(), user.as_ref(), presented, self.clock.now(), &self.policy);
        match (decision, user) {
            (Decision::Rotate(..) | Decision::Repeat(_), Some(user)) => Ok((id.user(), user)),
            _ => Err(Code::InvalidToken.into()),
        }
    }
}
