//! Who am I, and my sessions: list them, end one, end all.

use serde::Serialize;

use super::auth::UserView;
use super::outcome::Answer;
use super::{App, Request, Response};
use crate::command;
use crate::problem::{Code, Problem};
use crate::session::SessionId;

/// A session as its owner sees it; times are seconds of Unix time.
#[derive(Serialize)]
struct SessionView {
    session: String,
    current: bool,
    label: String,
    address: String,
    created: u64,
    last_refresh: u64,
    expires: u64,
}

/// `GET /api/me`
pub(super) fn me(app: &App, request: &Request<'_>) -> Result<Answer, Problem> {
    #[derive(Serialize)]
    struct Me<'a> {
        user: UserView<'a>,
        session: String,
        session_expires: u64,
    }
    let principal = app.authenticate(request)?;
    Ok(Response::json(&Me {
        user: UserView::new(principal.id, &principal.user),
        session: principal.id.handle(),
        session_expires: principal.session.ends().as_secs(),
    })
    .into())
}

/// `GET /api/auth/sessions`: the living ones, last used first.
pub(super) fn list(app: &App, request: &Request<'_>) -> Result<Answer, Problem> {
    let principal = app.authenticate(request)?;
    let mut sessions = app.store.read(|reads| reads.sessions_of(principal.id.user()))?;
    sessions.retain(|(_, session)| session.end_reason(Some(&principal.user), principal.now).is_none());
    sessions.sort_by_key(|(_, session)| std::cmp::Reverse(session.rotated_at));
    let views: Vec<_> = sessions
        .into_iter()
        .map(|(id, session)| SessionView {
            session: id.handle(),
            current: id == principal.id,
            address: session.address.to_string(),
            created: session.created.as_secs(),
            last_refresh: session.rotated_at.as_secs(),
            expires: session.ends().as_secs(),
            label: session.label,
        })
        .collect();
    Ok(Response::json(&views).into())
}

/// `DELETE /api/auth/sessions/{handle}`: 404 also for somebody else's session, so that handles cannot be probed.
pub(super) fn end_one(app: &App, request: &Request<'_>) -> Result<Answer, Problem> {
    let principal = app.authenticate(request)?;
    let (_, handle) = request.path.rsplit_once('/').ok_or(Code::NotFound)?;
    let id = SessionId::from_handle(handle).ok_or(Code::NotFound)?;
    let (own, owner, now) = (principal.id, principal.id.user(), principal.now);
    let address = request.client;
    let request_id = request.id.to_owned();
    Ok(Answer::after_commit(
        move |writes| command::sign_out(writes, owner, id, address, now),
        move |app, was_alive| {
            if !was_alive {
                return Err(Code::NotFound.into());
            }
            log::info!("{request_id}: user {owner} ended session {}", id.handle());
            let mut response = Response::no_content();
            if id == own {
                response.set("Set-Cookie", app.cookie.clear());
            }
            Ok(response)
        },
    ))
}

/// `POST /api/auth/logout-all`
pub(super) fn end_all(app: &App, request: &Request<'_>) -> Result<Answer, Problem> {
    let principal = app.authenticate(request)?;
    let (owner, address, now) = (principal.id.user(), request.client, principal.now);
    let request_id = request.id.to_owned();
    Ok(Answer::after_commit(
        move |writes| command::sign_out_everywhere(writes, owner, address, now),
        move |app, ()| {
            log::info!("{request_id}: user {owner} signed out everywhere");
            Ok(Response::no_content().with("Set-Cookie", app.cookie.clear()))
        },
    ))
}
