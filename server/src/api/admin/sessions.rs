//! Anybody's sessions: list them, end one.

use serde::Serialize;

use super::super::outcome::Answer;
use super::super::{App, Request, Response};
use super::{administer, administrator, page_len};
use crate::administration::sessions_page;
use crate::command;
use crate::problem::{Code, Problem};
use crate::session::{Session, SessionId};
use crate::user::{Role, User, UserId};

/// A session as an administrator sees it; times are seconds of Unix time.
#[derive(Serialize)]
struct Row {
    session: String,
    user: Owner,
    label: String,
    address: String,
    created: u64,
    last_refresh: u64,
    expires: u64,
}

#[derive(Serialize)]
struct Owner {
    id: String,
    name: String,
}

impl Row {
    fn new(id: SessionId, session: Session, user: User) -> Self {
        Self {
            session: id.handle(),
            user: Owner { id: id.user().to_string(), name: user.name },
            address: session.address.to_string(),
            created: session.created.as_secs(),
            last_refresh: session.rotated_at.as_secs(),
            expires: session.ends().as_secs(),
            label: session.label,
        }
    }
}

#[derive(Serialize)]
struct Page {
    sessions: Vec<Row>,
    next: Option<String>,
}

/// `GET /api/admin/sessions`: living ones, those of a user side by side.
pub(in super::super) fn list(app: &App, request: &Request<'_>) -> Result<Answer, Problem> {
    let now = app.authenticate_as(Role::Admin, request)?.now;
    let [user, after, limit] = request.parameters(["user", "after", "limit"])?;
    let user: Option<UserId> =
        user.map(|id| id.parse()).transpose().map_err(|_| Problem::bad_request("the user is no user id"))?;
    let after =
        after.map(|handle| SessionId::from_handle(&handle).ok_or(Problem::bad_request("the cursor is none")));
    let (after, limit) = (after.transpose()?, page_len(limit)?);
    let (living, next) = app.store.read(|reads| sessions_page(reads, user, after, limit, now))?;
    let sessions = living.into_iter().map(|(id, session, user)| Row::new(id, session, user)).collect();
    Ok(Response::json(&Page { sessions, next: next.map(SessionId::handle) }).into())
}

/// `DELETE /api/admin/sessions/{handle}`
pub(in super::super) fn revoke(app: &App, request: &Request<'_>) -> Result<Answer, Problem> {
    let actor = administrator(app, request)?;
    // "", "api", "admin", "sessions", the handle
    let id = SessionId::from_handle(request.segment(4)).ok_or(Code::NotFound)?;
    Ok(administer(
        app,
        actor,
        move |writes, now| {
            Ok(command::revoke_session(writes, id, Some(actor), now)?.then_some(()).ok_or(Code::NotFound))
        },
        |_, ()| Response::no_content(),
    ))
}
