//! For whoever watches over the server on this machine: whether it is ready, and what it has counted.

use super::outcome::Answer;
use super::{App, Request, Response};
use crate::problem::{Code, Problem};

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

/// 404 unless the request comes from this machine, and not through a proxy on it.
fn refuse_strangers(request: &Request<'_>) -> Result<(), Problem> {
    let is_local = request.client.is_loopback() && !request.is_forwarded;
    is_local.then_some(()).ok_or_else(|| Code::NotFound.into())
}
