//! Log-in, refresh, logout and password change.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use token_core::RefreshToken;

use super::attempt::account_of;
use super::outcome::Answer;
use super::{App, Principal, Request, Response};
use crate::command::{self, Refreshed, SignIn, Verified};
use crate::entropy;
use crate::label;
use crate::metrics::Count;
use crate::notices::Notice;
use crate::password::Password;
use crate::problem::{Code, Problem};
use crate::session::{Decision, Declined, EndReason, Presented, Repetition, Rotation, Session, SessionId};
use crate::site::PublicUrl;
use crate::store::StoreError;
use crate::throttle::By;
use crate::time::Now;
use crate::user::{NAME_LEN_MAX, Name, Role, User, UserId};

/// Lengths of an `Idempotency-Key` in visible ASCII characters.
const RETRY_KEY_LEN: std::ops::RangeInclusive<usize> = 16..=64;

/// The body of a log-in.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginBody {
    /// The name as it was typed.
    pub username: String,
    /// The password.
    pub password: Password,
    #[serde(default)]
    delivery: Delivery,
}

/// Where the refresh token goes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) enum Delivery {
    /// Into the httpOnly cookie, where no script can read it.
    #[default]
    Cookie,
    /// Into the body, for clients that are no browsers.
    Body,
}

/// Left to itself, serde would take `{"body": null}` as well.
impl TryFrom<String> for Delivery {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_str() {
            "cookie" => Ok(Self::Cookie),
            "body" => Ok(Self::Body),
            _ => Err("the delivery is neither cookie nor body"),
        }
    }
}

/// The answer to a log-in or a refresh.
#[derive(Serialize)]
struct Grant<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: u64,
    session: String,
    user: UserView<'a>,
    /// Whether this answer brings another refresh token than the one presented: only then a client drops its
    /// retry key, and a browser, which cannot see the cookie, learns it from here.
    #[serde(skip_serializing_if = "Option::is_none")]
    rotated: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
}

/// A user as answers show them.
#[derive(Serialize)]
pub(super) struct UserView<'a> {
    id: String,
    name: &'a str,
    role: Role,
}

impl<'a> UserView<'a> {
    pub(super) fn new(session: SessionId, user: &'a User) -> Self {
        Self { id: session.user().to_string(), name: &user.name, role: user.role }
    }
}

/// Refuses a log-in that can be refused without hashing its password.
pub(super) fn precheck_login(app: &App, request: &Request<'_>) -> Result<(), Problem> {
    let body = read_login(request)?;
    let typed = body.username.trim();
    let name = typed.parse::<Name>().ok();
    app.ask(By::Name(account_of(typed, name.as_ref()), request.client), request)
}

fn read_login(request: &Request<'_>) -> Result<LoginBody, Problem> {
    let body: LoginBody = request.json()?;
    let typed = body.username.trim();
    if typed.len() > NAME_LEN_MAX || body.password.is_too_long() {
        return Err(Problem::bad_request("the user name or the password is too long"));
    }
    if body.delivery == Delivery::Body && request.is_from_browser() {
        return Err(Problem::bad_request("a browser gets its refresh token as a cookie"));
    }
    Ok(body)
}

/// `POST /api/auth/login`
pub(super) fn login(app: &App, request: &Request<'_>) -> Result<Answer, Problem> {
    let body = read_login(request)?;
    let typed = body.username.trim();
    app.look_at_delivery(request, body.delivery)?;
    let replaces = app.cookie_token(request)?.and_then(|token| app.read_refresh_token(token));

    let name = typed.parse::<Name>().ok();
    let attempt = app.begin(By::Name(account_of(typed, name.as_ref()), request.client), request)?;
    let looked_up = app.look_up(typed, name.as_ref())?;
    let may_enter = !attempt.is_second_chance() || app.is_at_home(&looked_up, request)?;

    // Unknown, disabled, empty and away from home take the way of a wrong password, argon2 run included.
    let named = looked_up.named();
    let named_id = named.as_ref().map(|(id, _)| *id);
    let known = named.filter(|(_, user)| may_enter && !user.disabled);
    let is_right = app.hasher.verify(&body.password, known.as_ref().map(|(_, user)| &user.password_hash))?;
    let Some((user_id, user)) = known.filter(|_| is_right) else {
        return Err(app.failed(attempt, request, "log-in refused", named_id, Code::InvalidCredentials));
    };
    attempt.succeeded();

    let sign_in = SignIn {
        // A busy pool is no reason to refuse: the next log-in upgrades the hash.
        upgraded: app.hasher.upgrade(&body.password, &user.password_hash).unwrap_or_default(),
        replaces: replaces.map(|token| SessionId(token.session)),
        ..app.new_sign_in(request, user_id, Verified::of(&user))?
    };
    let (id, now, policy, delivery) = (sign_in.id, app.clock.now(), app.policy, body.delivery);
    let request_id = request.id.to_owned();
    Ok(Answer::after_commit(
        move |writes| command::sign_in(writes, &sign_in, now, &policy),
        move |app, opened| {
            let (user, session) = opened.map_err(|stale| stale.refusal(Code::InvalidCredentials))?;
            log::info!("{request_id}: user {user_id} signed in, session {}", id.handle());
            app.count(Count::SignedIn);
            app.grant(id, &user, &session, now, delivery, None)
        },
    ))
}

/// `POST /api/auth/refresh`
pub(super) fn refresh(app: &App, request: &Request<'_>) -> Result<Answer, Problem> {
    let retry_key = request.field("idempotency-key")?;
    if !retry_key.is_none_or(is_retry_key) {
        return Err(Problem::bad_request("an Idempotency-Key has 16 to 64 visible ASCII characters"));
    }
    let (token, delivery) = app.presented_token(request)?;
    let token = token.ok_or(Code::InvalidRefreshToken)?; // row 0

    let (id, keys) = (SessionId(token.session), app.keys.current());
    let presented = Presented {
        generation: token.generation,
        retry_key: retry_key.and_then(|key| keys.retry_key(token.kid, key)),
        signing_kid: keys.signing_kid(),
    };
    let (address, now, policy) = (request.client, app.clock.now(), app.policy);
    let request_id = request.id.to_owned();
    Ok(Answer::after_commit(
        move |writes| command::refresh(writes, id, presented, address, now, &policy),
        move |app, refreshed| {
            app.note(&request_id, id, &refreshed, address);
            match (refusal(&refreshed.decision), refreshed.current) {
                (None, Some((user, session))) => {
                    app.grant(id, &user, &session, now, delivery, Some(&refreshed.decision))
                }
                (Some(code), _) => {
                    let is_over = matches!(refreshed.decision, Decision::End(_));
                    Err(Problem { clear_cookie: is_over && delivery == Delivery::Cookie, ..code.into() })
                }
                (None, None) => unreachable!("a decision that gives a token has a session and a user"),
            }
        },
    ))
}

/// Whether this can be an `Idempotency-Key`: 16 to 64 visible ASCII characters.
pub fn is_retry_key(key: &str) -> bool {
    RETRY_KEY_LEN.contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The answer a decision that gives nothing turns into.
fn refusal(decision: &Decision) -> Option<Code> {
    match decision {
        Decision::Rotate(..) | Decision::Repeat(_) => None,
        Decision::Decline(Declined::RetryKeyReused) => Some(Code::RetryKeyReused), // row 5a
        Decision::Decline(Declined::Superseded) => Some(Code::Superseded),         // row 8a
        Decision::End(EndReason::Gone) => Some(Code::SessionEnded),                // row 1
        Decision::End(EndReason::Expired) => Some(Code::SessionExpired),           // row 2
        Decision::End(EndReason::Revoked | EndReason::Reused) => Some(Code::SessionRevoked), // rows 3 and 9
    }
}

/// `POST /api/auth/logout`: 204 always, also for a dead or foreign token (RFC 7009 §2.2).
pub(super) fn logout(app: &App, request: &Request<'_>) -> Result<Answer, Problem> {
    let (token, _) = app.presented_token(request)?;
    let signed_out = |app: &App| Response::no_content().with("Set-Cookie", app.cookie.clear());
    let Some(token) = token else { return Ok(signed_out(app).into()) };
    let (id, address, now) = (SessionId(token.session), request.client, app.clock.now());
    let request_id = request.id.to_owned();
    Ok(Answer::after_commit(
        move |writes| command::sign_out(writes, id.user(), id, address, now),
        move |app, _| {
            log::info!("{request_id}: session {} signed out", id.handle());
            Ok(signed_out(app))
        },
    ))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PasswordBody {
    current: Password,
    new: Password,
}

/// Refuses a change of a password that can be refused without hashing it.
pub(super) fn precheck_change_password(app: &App, request: &Request<'_>) -> Result<(), Problem> {
    read_password_change(app, request).map(|_| ())
}

fn read_password_change(app: &App, request: &Request<'_>) -> Result<(Principal, PasswordBody), Problem> {
    let principal = app.authenticate(request)?;
    let body: PasswordBody = request.json()?;
    if body.current.is_too_long() {
        return Err(Problem::bad_request("the current password is too long"));
    }
    Ok((principal, body))
}

/// `POST /api/auth/password`: every other session ends in the same commit.
pub(super) fn change_password(app: &App, request: &Request<'_>) -> Result<Answer, Problem> {
    let (principal, body) = read_password_change(app, request)?;
    let name: Name = principal.user.name.parse().map_err(|_| StoreError::damaged())?;
    let (id, verified) = (principal.id, Verified::of(&principal.user));
    let attempt = app.begin(By::Session(id), request)?;
    if !app.hasher.verify(&body.current, Some(&verified.hash))? {
        let what = "wrong current password";
        return Err(app.failed(attempt, request, what, Some(id.user()), Code::WrongPassword));
    }
    attempt.succeeded();
    let new = app.new_hash(&name, &body.new)?;
    let (address, now) = (request.client, app.clock.now());
    let request_id = request.id.to_owned();
    Ok(Answer::after_commit(
        move |writes| command::change_password(writes, id, &verified, new, address, now),
        move |_, changed| {
            changed.map_err(|stale| stale.refusal(Code::InvalidToken))?;
            log::info!("{request_id}: user {} changed the password", id.user());
            Ok(Response::no_content())
        },
    ))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenBody {
    refresh_token: Option<String>,
}

impl App {
    /// Notices when a browser will not keep the cookie that a log-in sets: a listed origin may be of another site.
    fn look_at_delivery(&self, request: &Request<'_>, delivery: Delivery) -> Result<(), Problem> {
        let is_lost = delivery == Delivery::Cookie && request.field("sec-fetch-site")? == Some("cross-site");
        let origin = request.field("origin")?.filter(|_| is_lost).map(PublicUrl::parse_also_plain);
        if let Some(Ok(origin)) = origin {
            self.notices.tell(Notice::LostCookie(&origin));
        }
        Ok(())
    }

    /// Tells log and counters what an administrator wants to know about a refresh.
    fn note(&self, request_id: &str, id: SessionId, refreshed: &Refreshed, address: IpAddr) {
        let handle = id.handle();
        match &refreshed.decision {
            Decision::Rotate(_, Rotation::Current) => {
                self.count(Count::Rotated);
                log::debug!("{request_id}: session {handle} refreshed");
            }
            Decision::Repeat(Repetition::Unrotated) => {
                log::debug!("{request_id}: session {handle} refreshed");
            }
            Decision::Rotate(_, Rotation::Ahead) => {
                self.count(Count::Rotated);
                log::warn!("{request_id}: session {handle} was behind its token and has been healed");
            }
            Decision::Repeat(repetition) => {
                let rotated_here = refreshed
                    .current
                    .as_ref()
                    .is_some_and(|(_, session)| session.address == address.to_canonical());
                self.count(match repetition {
                    Repetition::Retried => Count::Retried,
                    _ if rotated_here => Count::Concurrent,
                    _ => Count::ConcurrentElsewhere,
                });
                log::info!("{request_id}: session {handle} refreshed, {repetition:?}");
            }
            Decision::Decline(reason) => log::info!("{request_id}: session {handle} declined, {reason:?}"),
            Decision::End(EndReason::Reused) => {
                self.count(Count::Reused);
                log::warn!(
                    "{request_id}: session {handle} revoked: a spent refresh token was presented, from {address}"
                );
            }
            Decision::End(reason) => log::info!("{request_id}: session {handle} is over, {reason:?}"),
        }
    }

    /// The refresh token of a request whose tag is right, and where it came from, which is where the answer goes.
    fn presented_token(&self, request: &Request<'_>) -> Result<(Option<RefreshToken>, Delivery), Problem> {
        let body: TokenBody = if request.body.is_empty() { TokenBody::default() } else { request.json()? };
        let cookie = self.cookie_token(request)?;
        if body.refresh_token.is_some() && request.is_from_browser() {
            return Err(Problem::bad_request("a browser presents its refresh token as a cookie"));
        }
        match (body.refresh_token, cookie) {
            (Some(_), Some(_)) => {
                Err(Problem::bad_request("two refresh tokens, a cookie and one in the body"))
            }
            (Some(token), None) => Ok((self.read_refresh_token(&token), Delivery::Body)),
            (None, cookie) => Ok((cookie.and_then(|token| self.read_refresh_token(token)), Delivery::Cookie)),
        }
    }

    pub(super) fn cookie_token<'a>(&self, request: &Request<'a>) -> Result<Option<&'a str>, Problem> {
        self.cookie
            .find(request.all("cookie").map(str::as_bytes))
            .map_err(|_| Problem::bad_request("the refresh cookie is there twice"))
    }

    /// A session to be opened for whoever proved to be `user` with the password of `verified`.
    pub(super) fn new_sign_in(
        &self,
        request: &Request<'_>,
        user: UserId,
        verified: Verified,
    ) -> Result<SignIn, Problem> {
        Ok(SignIn {
            user,
            verified,
            upgraded: None,
            replaces: None,
            id: SessionId::new(user, entropy::bytes()),
            kid: self.keys.current().signing_kid(),
            address: request.client,
            label: label::of_user_agent(request.field("user-agent")?.unwrap_or_default()),
        })
    }

    /// The answer that hands out an access token and, unless the caller holds it already, the refresh token.
    pub(super) fn grant(
        &self,
        id: SessionId,
        user: &User,
        session: &Session,
        now: Now,
        delivery: Delivery,
        decision: Option<&Decision>,
    ) -> Result<Response, Problem> {
        // Not of the time before, if the clock was put back meanwhile.
        let now = now.min(self.clock.now());
        let access = self.issue_access_token(id, session, user, now)?;
        let refresh = self.refresh_token(id, session)?;
        let is_unrotated = decision == Some(&Decision::Repeat(Repetition::Unrotated));
        let grant = Grant {
            access_token: &access.text,
            token_type: "Bearer",
            expires_in: access.expires_in_secs,
            session: id.handle(),
            user: UserView::new(id, user),
            rotated: decision.map(|_| !is_unrotated),
            refresh_token: (delivery == Delivery::Body).then_some(&refresh),
        };
        let mut response = Response::json(&grant);
        // Row 5: setting the cookie again would bring a spent token back over one that another tab got meanwhile.
        if delivery == Delivery::Cookie && !is_unrotated {
            response.set("Set-Cookie", self.cookie.set(&refresh, now.latest.secs_until(session.ends())));
        }
        Ok(response)
    }
}
