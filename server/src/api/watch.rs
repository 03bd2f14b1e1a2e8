//! For whoever watches over the server, on this machine or from a listed one: whether it is ready, and what it has counted.

use super::outcome::Answer;
use super::{App, Request, Response};
use crate::problem::{Code, Problem};
use crate::site;

/// `GET /readyz`
pub(super) fn ready(app: &App, request: &Request<'_>) -> Result<Answer, Problem> {
    refuse_strangers(app, request)?;
    if app.is_clock_behind() {
        return Err(Problem::new(Code::NotReady, "the system clock is behind; see `latchkey clock accept`"));
    }
    app.store.read(|reads| reads.has_users())?;
    Ok(Response::text("ready\n").into())
}

/// `GET /metrics`, in the text format of Prometheus.
pub(super) fn metrics(app: &App, request: &Request<'_>) -> Result<Answer, Problem> {
    refuse_strangers(app, request)?;
    Ok(Response::text_of("text/plain; version=0.0.4; charset=utf-8", app.metrics.to_string()).into())
}

/// 404 unless the request comes from this machine, and neither through a proxy on it nor from a page that a browser on it
/// shows under a name that leads here (DNS rebinding); or straight from one of the monitors, by whatever name.
fn refuse_strangers(app: &App, request: &Request<'_>) -> Result<(), Problem> {
    let is_asked_for_here =
        || -> Result<bool, Problem> { Ok(request.field("host")?.is_none_or(site::is_loopback_authority)) };
    let is_known = if request.client.is_loopback() {
        is_asked_for_here()?
    } else {
        app.monitors.contain(request.client)
    };
    (is_known && !request.is_forwarded).then_some(()).ok_or_else(|| Code::NotFound.into())
}
