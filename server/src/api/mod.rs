//! The HTTP API without HTTP's bytes: a request in, a response out, and which handler answers which path.

mod auth;
mod guard;
mod message;
mod sessions;
mod token;

use std::fmt;

use crate::administration::Office;
use crate::clock::Clock;
use crate::cookie::RefreshCookie;
use crate::entropy;
use crate::hasher::Hasher;
use crate::keys::KeyRing;
use crate::problem::{Code, Problem};
use crate::session::Policy;
use crate::site::{self, PublicUrl};
use crate::store::{Store, StoreError};
use crate::web;
pub use message::{BODY_LEN_MAX, Method, Request, Response};

/// Everything a handler works with.
#[derive(Debug)]
pub struct App {
    /// Users and sessions.
    pub store: Store,
    /// Signs and checks tokens.
    pub keys: KeyRing,
    /// Verifies passwords.
    pub hasher: Hasher,
    /// The time.
    pub clock: Clock,
    /// How long sessions live.
    pub policy: Policy,
    /// What tokens say of us, and how long they are good for.
    pub tokens: TokenTerms,
    /// What we are called from outside.
    pub public_url: PublicUrl,
    /// Other sites whose pages may call us.
    pub allowed_origins: Vec<String>,
    /// How the refresh cookie is set and read.
    pub cookie: RefreshCookie,
}

/// What every access token says.
#[derive(Clone, Debug)]
pub struct TokenTerms {
    /// The `iss` claim.
    pub issuer: String,
    /// The `aud` claim.
    pub audience: String,
    /// Seconds an access token lives at most.
    pub access_ttl_secs: u64,
}

type Handler = fn(&App, &Request<'_>) -> Result<Response, Problem>;

/// Every path and what answers it; `{handle}` stands for one segment.
const ROUTES: &[(&str, &[(Method, Handler)])] = &[
    ("/api/auth/login", &[(Method::Post, auth::login)]),
    ("/api/auth/refresh", &[(Method::Post, auth::refresh)]),
    ("/api/auth/logout", &[(Method::Post, auth::logout)]),
    ("/api/auth/logout-all", &[(Method::Post, sessions::end_all)]),
    ("/api/auth/password", &[(Method::Post, auth::change_password)]),
    ("/api/auth/sessions", &[(Method::Get, sessions::list)]),
    ("/api/auth/sessions/{handle}", &[(Method::Delete, sessions::end_one)]),
    ("/api/me", &[(Method::Get, sessions::me)]),
    ("/healthz", &[(Method::Get, |_, _| Ok(Response::text("ok\n")))]),
    ("/readyz", &[(Method::Get, ready)]),
    ("/", &[(Method::Get, |_, _| Ok(web::page()))]),
    ("/page.js", &[(Method::Get, |_, _| Ok(web::page_script()))]),
    ("/session.js", &[(Method::Get, |_, _| Ok(web::session_module()))]),
    ("/style.css", &[(Method::Get, |_, _| Ok(web::style()))]),
    ("/icon.svg", &[(Method::Get, |_, _| Ok(web::icon()))]),
];

impl App {
    /// What administration works with.
    pub fn office(&self) -> Office<'_> {
        Office { store: &self.store, keys: &self.keys, hasher: &self.hasher, clock: &self.clock }
    }

    /// Whether the system clock is too far behind the time the store has seen.
    pub fn is_clock_behind(&self) -> bool {
        self.clock.secs_behind() > CLOCK_BEHIND_SECS
    }

    /// Answers a request; never fails, a refusal is an answer too.
    pub fn answer(&self, request: &Request<'_>) -> Response {
        let mut response = self.route(request).unwrap_or_else(|problem| self.refusal(&problem, request));
        if let Some(origin) = self.listed_origin(request) {
            response.set("Access-Control-Allow-Origin", origin);
            response.set("Access-Control-Allow-Credentials", "true");
            response.set("Access-Control-Expose-Headers", "Retry-After, WWW-Authenticate");
            response.set("Vary", "Origin");
        }
        response
    }

    fn route(&self, request: &Request<'_>) -> Result<Response, Problem> {
        let (_, methods) =
            ROUTES.iter().find(|(route, _)| matches(route, request.path)).ok_or(Code::NotFound)?;
        if request.method == Method::Options && self.listed_origin(request).is_some() {
            return Ok(preflight(methods));
        }
        let method = if request.method == Method::Head { Method::Get } else { request.method };
        let Some((_, handler)) = methods.iter().find(|(known, _)| *known == method) else {
            let allow = Some(method_list(methods));
            return Err(Problem { allow, ..Code::MethodNotAllowed.into() });
        };
        if method != Method::Get && !self.is_from_own_site(request)? {
            return Err(Code::CrossSite.into());
        }
        handler(self, request)
    }

    fn is_from_own_site(&self, request: &Request<'_>) -> Result<bool, Problem> {
        let from = site::Provenance {
            sec_fetch_site: request.field("sec-fetch-site")?,
            origin: request.field("origin")?,
            host: request.field("host")?,
        };
        Ok(site::is_from_own_site(from, &self.public_url, &self.allowed_origins))
    }

    /// The request's Origin when it is one of those listed, for CORS.
    fn listed_origin<'a>(&self, request: &Request<'a>) -> Option<&'a str> {
        let origin = request.field("origin").ok()??;
        self.allowed_origins.iter().any(|allowed| allowed == origin).then_some(origin)
    }

    fn refusal(&self, problem: &Problem, request: &Request<'_>) -> Response {
        let mut response = Response::problem(problem, request.id);
        if problem.clear_cookie {
            response.set("Set-Cookie", self.cookie.clear());
        }
        response
    }
}

/// Further behind than this and the system clock is not to be trusted, in seconds.
const CLOCK_BEHIND_SECS: u64 = 600;

/// `GET /readyz`, for whoever watches over the server on this machine.
fn ready(app: &App, request: &Request<'_>) -> Result<Response, Problem> {
    let is_forwarded =
        request.fields.iter().any(|(name, _)| name == "forwarded" || name.starts_with("x-forwarded-"));
    if is_forwarded || !request.peer.ip().is_loopback() {
        return Err(Code::NotFound.into());
    }
    if app.is_clock_behind() {
        return Err(Problem::new(Code::NotReady, "the system clock is behind; see `latchkey clock accept`"));
    }
    app.store.read(|reads| reads.has_users())?;
    Ok(Response::text("ready\n"))
}

/// A random id for a request, 16 hexadecimal digits, for the log and the answer.
pub fn request_id() -> String {
    format!("{:016x}", u64::from_ne_bytes(entropy::bytes()))
}

/// Whether a path is the one of a route, where `{handle}` stands for one segment that is not empty.
fn matches(route: &str, path: &str) -> bool {
    match route.split_once("{handle}") {
        None => route == path,
        Some((start, _)) => {
            path.strip_prefix(start).is_some_and(|rest| !rest.is_empty() && !rest.contains('/'))
        }
    }
}

fn method_list(methods: &[(Method, Handler)]) -> String {
    let mut names: Vec<_> = methods.iter().map(|(method, _)| method.as_str()).collect();
    if names.contains(&"GET") {
        names.push("HEAD");
    }
    names.join(", ")
}

/// The answer to a browser that asks before a cross-origin request (Fetch, CORS-preflight).
fn preflight(methods: &[(Method, Handler)]) -> Response {
    let mut response = Response::no_content();
    response.set("Access-Control-Allow-Methods", method_list(methods));
    response.set("Access-Control-Allow-Headers", "Authorization, Content-Type, Idempotency-Key");
    response.set("Access-Control-Max-Age", "600");
    response
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full => Code::Busy.into(),
            StoreError::Failed(_) => {
                log::error!("{error}");
                Code::Unavailable.into()
            }
        }
    }
}

impl From<crate::hasher::Busy> for Problem {
    fn from(_: crate::hasher::Busy) -> Self {
        Self::new(Code::Busy, "too many passwords are being checked")
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_one_segment() {
        let route = "/api/auth/sessions/{handle}";
        assert!(matches(route, "/api/auth/sessions/AAAA"));
        assert!(!matches(route, "/api/auth/sessions/"));
        assert!(!matches(route, "/api/auth/sessions/AAAA/BBBB"));
        assert!(!matches("/api/me", "/api/me/"));
    }
}
