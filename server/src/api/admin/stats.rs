//! How many there are, and what the last day was like.

use super::super::outcome::Answer;
use super::super::{App, Request, Response};
use crate::administration::Stats;
use crate::problem::Problem;
use crate::user::Role;

/// `GET /api/admin/stats`
pub(in super::super) fn stats(app: &App, request: &Request<'_>) -> Result<Answer, Problem> {
    let now = app.authenticate_as(Role::Admin, request)?.now;
    Ok(Response::json(&Stats::read(&app.store, Some(&app.day), now)?).into())
}
