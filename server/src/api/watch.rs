//! For whoever watches over the server, on this machine or from a listed one: whether it is ready, and what it has counted.

use super::outcome::Answer;
use super::{App, Request, Response};
use crate::metrics::{Gauge, gauges_text};
use crate::problem::{Code, Problem};
use crate::site;
use crate::time::UnixMillis;

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
    let text = app.metrics.to_string() + &gauges_text(&gauges(app)?);
    Ok(Response::text_of("text/plain; version=0.0.4; charset=utf-8", text).into())
}

fn gauges(app: &App) -> Result<Vec<Gauge>, Problem> {
    let now = app.clock.now().system;
    let age = |since: UnixMillis| since.secs_until(now);
    let (users, sessions, signing_since, last_backup) = app.store.read(|reads| {
        let signing_since = reads.signing_since()?.map_or(now, |(_, since)| since);
        let last_backup = reads.last_backup()?.unwrap_or_default();
        Ok((reads.user_count()?, reads.session_count()?, signing_since, last_backup))
    })?;
    Ok(vec![
        ("users", "Users, disabled ones included", users),
        ("sessions", "Session records; dead ones are swept within a minute", sessions),
        ("store_bytes", "Bytes of the store's file", app.store.file_len()),
        ("signing_key_age_seconds", "Seconds since the key that signs began to", age(signing_since)),
        (
            "last_backup_timestamp_seconds",
            "When the last backup was made, 0 if none was",
            last_backup.as_secs(),
        ),
        (
            "clock_lead_seconds",
            "Seconds by which the highest time seen is ahead of the system clock",
            app.clock.lead_secs(),
        ),
    ])
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
