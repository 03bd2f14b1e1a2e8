//! What administrators do over HTTP: the page's other half, and anybody's who has the role.

mod audit;
mod sessions;
mod stats;
mod users;

pub(super) use audit::list as list_audit;
pub(super) use sessions::{list as list_sessions, revoke as revoke_session};
pub(super) use stats::stats;
pub(super) use users::{
    add as add_user, change as change_user, delete as delete_user, end_sessions as end_sessions_of_user,
    issue_code as issue_reset_code, list as list_users, precheck_add as precheck_add_user, show as show_user,
};

use std::borrow::Cow;

use super::outcome::Answer;
use super::{App, Request, Response};
use crate::audit::Actor;
use crate::command;
use crate::problem::{Code, Problem};
use crate::store::{StoreError, Writes};
use crate::time::Now;
use crate::user::Role;

/// Rows of a page unless the request says otherwise, and at most.
const PAGE_LEN: usize = 50;
const PAGE_LEN_MAX: usize = 100;

/// The administrator who asks.
fn administrator(app: &App, request: &Request<'_>) -> Result<Actor, Problem> {
    let principal = app.authenticate_as(Role::Admin, request)?;
    Ok(Actor { session: principal.id, address: request.client })
}

/// An answer after a command of an administrator's, which is refused when they are none any more by the time it runs:
/// behind a password being hashed or a queue, the look that let the request in may be long ago.
fn administer<T: Send + 'static>(
    app: &App,
    actor: Actor,
    command: impl FnOnce(&mut Writes<'_>, Now) -> Result<Result<T, Code>, StoreError> + Send + 'static,
    respond: impl FnOnce(&App, T) -> Response + Send + 'static,
) -> Answer {
    let now = app.clock.now();
    Answer::after_commit(
        move |writes| {
            if !command::still_administers(writes, actor, now)? {
                return Ok(Err(Code::InvalidToken));
            }
            command(writes, now)
        },
        move |app, done| Ok(respond(app, done?)),
    )
}

/// The `limit` parameter.
fn page_len(limit: Option<Cow<'_, str>>) -> Result<usize, Problem> {
    let Some(limit) = limit else { return Ok(PAGE_LEN) };
    number(&limit)
        .and_then(|len| usize::try_from(len).ok())
        .filter(|len| (1..=PAGE_LEN_MAX).contains(len))
        .ok_or(Problem::bad_request("the limit is a number from 1 to 100"))
}

/// A number in decimal digits and nothing else.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}
