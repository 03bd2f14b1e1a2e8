//! Choosing a password with a one-time code: the first administrator's, or one in place of a password that was lost.

use serde::Deserialize;

use super::auth::Delivery;
use super::outcome::Answer;
use super::{App, Request, Response};
use crate::command::{self, NewUser, Verified};
use crate::entropy;
use crate::metrics::Count;
use crate::one_time_code::Purpose;
use crate::password::{Password, Weakness};
use crate::problem::{Code, Problem};
use crate::store::Reads;
use crate::throttle::{Attempt, By};
use crate::user::{NAME_LEN_MAX, Name, PasswordHash, Role, UserId};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetUpBody {
    code: Password,
    username: String,
    password: Password,
}

/// Refuses a set-up that can be refused without hashing a password.
pub(super) fn precheck_set_up(app: &App, request: &Request<'_>) -> Result<(), Problem> {
    request.json::<SetUpBody>()?;
    app.ask(By::Code(request.client), request)
}

/// `POST /api/setup`: adds the first administrator, who is signed in with it.
pub(super) fn set_up(app: &App, request: &Request<'_>) -> Result<Answer, Problem> {
    let body: SetUpBody = request.json()?;
    let attempt = app.begin(By::Code(request.client), request)?;
    let is_open = !app.store.read(Reads::has_users)?;
    app.check_code(attempt, request, &body.code, is_open.then_some(Purpose::SetUp), None)?;
    let name = Name::chosen(&body.username)?;
    let password_hash = app.new_hash(&name, &body.password)?;

    let user_id = UserId::new(entropy::bytes());
    let sign_in = app.new_sign_in(request, user_id, Verified { hash: password_hash.clone(), epoch: 0 })?;
    let first = NewUser { id: user_id, name, role: Role::Admin, password_hash };
    let (id, now, policy) = (sign_in.id, app.clock.now(), app.policy);
    let request_id = request.id.to_owned();
    Ok(Answer::after_commit(
        move |writes| command::set_up(writes, first, &sign_in, now, &policy),
        move |app, opened| {
            let (user, session) = opened.ok_or(Code::InvalidCode)?;
            log::info!("{request_id}: user {user_id} was set up as the first administrator");
            app.count(Count::SignedIn);
            app.grant(id, &user, &session, now, Delivery::Cookie, None)
        },
    ))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResetBody {
    username: String,
    code: Password,
    new: Password,
}

/// Refuses a reset that can be refused without hashing a password.
pub(super) fn precheck_reset(app: &App, request: &Request<'_>) -> Result<(), Problem> {
    read_reset(request)?;
    app.ask(By::Code(request.client), request)
}

fn read_reset(request: &Request<'_>) -> Result<ResetBody, Problem> {
    let body: ResetBody = request.json()?;
    let typed = body.username.trim();
    if typed.len() > NAME_LEN_MAX {
        return Err(Problem::bad_request("the user name is too long"));
    }
    Ok(body)
}

/// `POST /api/auth/reset`: every session of the user ends in the same commit.
pub(super) fn reset(app: &App, request: &Request<'_>) -> Result<Answer, Problem> {
    let body = read_reset(request)?;
    let attempt = app.begin(By::Code(request.client), request)?;
    let typed = body.username.trim();
    let name = typed.parse::<Name>();
    let named = app.look_up(typed, name.as_ref().ok())?.named();
    // Of an unknown user a code is looked at as well, so that the time tells nothing; there is none for id 0.
    let (user, epoch) = named.as_ref().map_or((UserId(0), 0), |(user, record)| (*user, record.auth_epoch));
    let known = named.as_ref().map(|(user, _)| *user);
    app.check_code(attempt, request, &body.code, Some(Purpose::Reset { user, epoch }), known)?;
    let (Ok(name), Some((id, user))) = (name, named) else { return Err(Code::InvalidCode.into()) };

    let password_hash = app.new_hash(&name, &body.new)?;
    let (epoch, address, now) = (user.auth_epoch, request.client, app.clock.now());
    let request_id = request.id.to_owned();
    Ok(Answer::after_commit(
        move |writes| command::reset_password(writes, id, epoch, password_hash, address, now),
        move |_, reset| {
            if !reset {
                return Err(Code::InvalidCode.into());
            }
            log::info!("{request_id}: user {id} chose a password with a one-time code");
            Ok(Response::no_content())
        },
    ))
}

impl App {
    /// Refuses a code that is none for `purpose`, or for nothing; `user` is whose it would be.
    fn check_code(
        &self,
        attempt: Attempt<'_>,
        request: &Request<'_>,
        code: &Password,
        purpose: Option<Purpose>,
        user: Option<UserId>,
    ) -> Result<(), Problem> {
        let now = self.clock.now();
        let keys = self.keys.current();
        let era = self.store.read(Reads::era)?;
        let is_right = std::str::from_utf8(code.as_bytes()).is_ok_and(|code| {
            purpose.is_some_and(|purpose| {
                keys.code_keys().any(|key| key.accepts(code, era, purpose, now.system))
            })
        });
        if !is_right {
            return Err(self.failed(attempt, request, "one-time code refused", user, Code::InvalidCode));
        }
        attempt.succeeded();
        Ok(())
    }

    /// The hash of a password that somebody chose.
    ///
    /// # Errors
    /// 422 with reasons, and 503.
    pub(super) fn new_hash(&self, name: &Name, password: &Password) -> Result<PasswordHash, Problem> {
        let reasons = password.weaknesses(name, self.password_chars_min);
        if !reasons.is_empty() {
            let problem = Problem::new(Code::WeakPassword, Weakness::describe(&reasons));
            return Err(Problem { reasons, ..problem });
        }
        Ok(self.hasher.hash(password)?)
    }
}
