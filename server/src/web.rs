//! The page: static files compiled into the binary, under a policy that lets nothing else in.

use crate::api::Response;

/// What the page may load: its own scripts, style and icon, and requests to this server. No inline script, no frame, no
/// form that leaves, and no text that becomes markup or script.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'";

pub(crate) fn page() -> Response {
    Response::asset("text/html; charset=utf-8", include_str!("web/page.html"))
        .with("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        .with("Cross-Origin-Opener-Policy", "same-origin")
        .with("Referrer-Policy", "no-referrer")
}

/// A script of the page, by its path.
pub(crate) fn script(path: &str) -> Option<Response> {
    let text = match path {
        "/page.js" => include_str!("web/page.js"),
        "/session.js" => include_str!("web/session.js"),
        "/dom.js" => include_str!("web/dom.js"),
        "/cycle.js" => include_str!("web/cycle.js"),
        "/account.js" => include_str!("web/account.js"),
        "/administration.js" => include_str!("web/administration.js"),
        "/picture.js" => include_str!("web/picture.js"),
        _ => return None,
    };
    Some(Response::asset("text/javascript; charset=utf-8", text))
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
