//! The page: static files compiled into the binary, under a policy that lets nothing else in.

use crate::api::Response;

/// What the page may load: its own two scripts, style and icon, and requests to this server. No inline script, no
/// frame, no form that leaves.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(crate) fn page() -> Response {
    Response::asset("text/html; charset=utf-8", include_str!("web/page.html"))
        .with("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        .with("Referrer-Policy", "no-referrer")
}

pub(crate) fn page_script() -> Response {
    Response::asset("text/javascript; charset=utf-8", include_str!("web/page.js"))
}

pub(crate) fn session_module() -> Response {
    Response::asset("text/javascript; charset=utf-8", include_str!("web/session.js"))
}

pub(crate) fn style() -> Response {
    Response::asset("text/css; charset=utf-8", include_str!("web/style.css"))
}

/// What programs read: every endpoint, what it takes and what it answers.
pub(crate) fn openapi() -> Response {
    Response::asset("application/json", include_str!("web/openapi.json"))
}

pub(crate) fn icon() -> Response {
    Response::asset("image/svg+xml", include_str!("web/icon.svg"))
}
