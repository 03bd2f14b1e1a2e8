//! How many there are, and what the last day was like.

use serde::Serialize;

use super::super::outcome::Answer;
use super::super::{App, Request, Response};
use crate::day::Hour;
use crate::problem::Problem;
use crate::user::Role;

/// `GET /api/admin/stats`
pub(in super::super) fn stats(app: &App, request: &Request<'_>) -> Result<Answer, Problem> {
    #[derive(Serialize)]
    struct Stats {
        users: u64,
        sessions: u64,
        since: u64,
        hours: [Hour; 24],
    }
    let now = app.authenticate_as(Role::Admin, request)?.now;
    let (users, sessions) = app.store.read(|reads| Ok((reads.user_count()?, reads.session_count()?)))?;
    let since = app.started.as_secs();
    Ok(Response::json(&Stats { users, sessions, since, hours: app.day.hours(now) }).into())
}
