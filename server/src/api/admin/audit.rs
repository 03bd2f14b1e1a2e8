//! The audit logs, newest entries first.

use serde::Serialize;

use super::super::outcome::Answer;
use super::super::{App, Request, Response};
use super::{number, page_len};
use crate::administration::AuditRow;
use crate::audit::Log;
use crate::problem::Problem;
use crate::user::Role;

/// Numbers above are none of an entry: programs whose numbers are floating point do not tell them apart.
const ENTRY_NUMBER_MAX: u64 = (1 << 53) - 1;

/// `GET /api/admin/audit`
pub(in super::super) fn list(app: &App, request: &Request<'_>) -> Result<Answer, Problem> {
    #[derive(Serialize)]
    struct Page {
        entries: Vec<AuditRow>,
        next: Option<u64>,
    }
    app.authenticate_as(Role::Admin, request)?;
    let [log, before, limit] = request.parameters(["log", "before", "limit"])?;
    let log = match log.as_deref() {
        None | Some("main") => Log::Main,
        Some("refusals") => Log::Refusals,
        Some(_) => return Err(Problem::bad_request("the logs are main and refusals")),
    };
    let entry = |text: &str| number(text).filter(|number| *number <= ENTRY_NUMBER_MAX);
    let before =
        before.map(|text| entry(&text).ok_or(Problem::bad_request("before is the number of an entry")));
    let (before, limit) = (before.transpose()?, page_len(limit)? as u64);
    let page = app.store.read(|reads| {
        let (oldest, next) = (reads.oldest(log)?, reads.end_of(log)?.next);
        let end = before.unwrap_or(next).min(next);
        let start = end.saturating_sub(limit).max(oldest);
        let rows = (start..end).rev().map(|number| AuditRow::read(reads, log, number));
        let entries = rows.filter_map(Result::transpose).collect::<Result<_, _>>()?;
        Ok(Page { entries, next: (start > oldest && start < end).then_some(start) })
    })?;
    Ok(Response::json(&page).into())
}
