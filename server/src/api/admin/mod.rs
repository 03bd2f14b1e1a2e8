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
    issue_code as issue_reset_code, list as list_users, show as show_user,
};

use std::borrow::Cow;

use crate::problem::Problem;

/// Rows of a page unless the request says otherwise, and at most.
const PAGE_LEN: usize = 50;
const PAGE_LEN_MAX: usize = 100;

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
