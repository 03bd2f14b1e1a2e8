//! The cross-site rule said once more, too plainly to be wrong.

use std::net::IpAddr;

/// The origin that the servers here list.
pub const LISTED: &str = "https://app.example.com";

/// Whether a server at `ours` may take a request with these three fields that changes something.
pub fn passes(ours: &str, sec_fetch_site: Option<&str>, origin: Option<&str>, host: Option<&str>) -> bool {
    let is_listed = origin == Some(LISTED);
    match (sec_fetch_site, origin) {
        (Some("same-origin" | "none"), _) | (None, None) => true,
        (Some(_), _) => is_listed,
        (None, Some(origin)) => is_listed || origin == ours || is_own_loopback(origin, host),
    }
}

/// Whether an origin is the very host the request was sent to, and that is this machine.
fn is_own_loopback(origin: &str, host: Option<&str>) -> bool {
    host.is_some_and(|host| origin == format!("http://{host}") && is_loopback(host))
}

/// Whether a Host, which may end with a port, is `localhost` or a loopback address.
fn is_loopback(host: &str) -> bool {
    let (name, port) = match host.trim_end_matches(|end: char| end.is_ascii_digit()).strip_suffix(':') {
        Some(name) => (name, host[name.len() + 1..].parse().unwrap_or(0)),
        None => (host, 80_u16),
    };
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    let is_address = bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    port != 0 && (is_address || name.eq_ignore_ascii_case("localhost"))
}
