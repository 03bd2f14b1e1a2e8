//! For whoever watches over the server on this machine: whether it is ready, and what it has counted.

use super::outcome::Answer;
use super::{App, Request, Response};
use crate::problem::{Code, Problem};
use crate::site;

/// `GET /readyz`
pub(super) fn ready(app: &App, request: &Request<'_>) -> Result<Answer, Problem> {
    refuse_strangers(request)?;
    if app.is_clock_behind() {
        return Err(Problem::new(Code::NotReady, "the system clock is behind; see `latchkey clock accept`"));
    }
    app.store.read(|reads| reads.has_users())?;
    Ok(Response::text("ready\n").into())
}

/// `GET /metrics`, in the text format of Prometheus.
pub(super) fn metrics(app: &App, request: &Request<'_>) -> Result<Answer, Problem> {
    refuse_strangers(request)?;
    Ok(Response::text(app.metrics.to_string()).into())
}

/// 404 unless the request comes from this machine, and neither through a proxy on it nor from a page that a browser on it
/// shows under a name that leads here (DNS rebinding).
fn refuse_strangers(request: &Request<'_>) -> Result<(), Problem> {
    let is_asked_for_here = request.field("host")?.is_none_or(site::is_loopback_authority);
    let is_local = request.client.is_loopback() && !request.is_forwarded && is_asked_for_here;
    is_local.then_some(()).ok_or_else(|| Code::NotFound.into())
}
