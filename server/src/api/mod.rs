//! The HTTP API without HTTP's bytes: a request in, a response out, and which handler answers which path.

mod admin;
mod attempt;
mod auth;
mod guard;
#[cfg(test)]
mod log_in_tests;
mod message;
mod outcome;
mod precheck;
mod routes;
mod sessions;
mod set_up;
mod token;
mod verify;
mod watch;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::administration::Office;
use crate::clock::Clock;
use crate::cookie::RefreshCookie;
use crate::day::Day;
use crate::gate::TrustedProxies as Networks;
use crate::hasher::Hasher;
use crate::keys::KeyRing;
use crate::metrics::{Count, Metrics};
use crate::notices::{Notice, Notices};
use crate::problem::{Code, Problem};
use crate::session::Policy;
use crate::settings::InForce;
use crate::site::{self, PublicUrl};
use crate::store::{Store, StoreError};
use crate::throttle::Throttle;
use crate::user::NameError;
use crate::web;
pub use auth::{LoginBody, is_retry_key};
pub use guard::Principal;
pub use message::{BODY_LEN_MAX, Method, Request, Response};
pub(crate) use outcome::allow_origin;
use outcome::{Answer, Finish};
pub use outcome::{Commit, Committed, Outcome};
pub use routes::Routes;

/// Everything a handler works with.
#[derive(Debug)]
pub struct App {
    /// Users and sessions.
    pub store: Store,
    /// Signs and checks tokens.
    pub keys: KeyRing,
    /// Verifies passwords.
    pub hasher: Hasher,
    /// Fewest characters of a new password.
    pub password_chars_min: usize,
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
    /// Slows down who guesses passwords.
    pub throttle: Throttle,
    /// Counts what happens.
    pub metrics: Arc<Metrics>,
    /// What happened in the last hours.
    pub day: Day,
    /// Routes beside ours.
    pub routes: Routes,
    /// Who may ask whether we are ready and what we have counted, besides this machine.
    pub monitors: Networks,
    /// What requests show of the settings.
    pub notices: Arc<Notices>,
    /// The settings in force, for whoever compares them with others.
    pub in_force: InForce,
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

/// Which queue a request stands in: slow work has one of its own, so that it never delays fast work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lane {
    /// Answered from memory or by a look at the store.
    Reads,
    /// Answered after a commit.
    Writes,
    /// Answered after argon2 has run.
    LogIns,
}

type Handler = fn(&App, &Request<'_>) -> Result<Answer, Problem>;

/// A path and what answers each of its methods.
type Route = (&'static str, &'static [(Method, Lane, Handler)]);

/// Every route; a name in braces stands for one segment.
const ROUTES: &[Route] = &[
    ("/api/me", &[(Method::Get, Lane::Reads, sessions::me)]),
    ("/api/auth/refresh", &[(Method::Post, Lane::Writes, auth::refresh)]),
    ("/api/auth/login", &[(Method::Post, Lane::LogIns, auth::login)]),
    ("/api/auth/logout", &[(Method::Post, Lane::Writes, auth::logout)]),
    ("/api/auth/logout-all", &[(Method::Post, Lane::Writes, sessions::end_all)]),
    ("/api/auth/password", &[(Method::Post, Lane::LogIns, auth::change_password)]),
    ("/api/auth/sessions", &[(Method::Get, Lane::Reads, sessions::list)]),
    ("/api/auth/sessions/{handle}", &[(Method::Delete, Lane::Writes, sessions::end_one)]),
    ("/api/auth/verify", &[(Method::Get, Lane::Reads, verify::verify)]),
    ("/api/auth/reset", &[(Method::Post, Lane::LogIns, set_up::reset)]),
    ("/api/setup", &[(Method::Post, Lane::LogIns, set_up::set_up)]),
    (
        "/api/admin/users",
        &[(Method::Get, Lane::Reads, admin::list_users), (Method::Post, Lane::LogIns, admin::add_user)],
    ),
    (
        "/api/admin/users/{id}",
        &[
            (Method::Get, Lane::Reads, admin::show_user),
            (Method::Patch, Lane::Writes, admin::change_user),
            (Method::Delete, Lane::Writes, admin::delete_user),
        ],
    ),
    ("/api/admin/users/{id}/reset", &[(Method::Post, Lane::Writes, admin::issue_reset_code)]),
    ("/api/admin/users/{id}/sessions", &[(Method::Delete, Lane::Writes, admin::end_sessions_of_user)]),
    ("/api/admin/sessions", &[(Method::Get, Lane::Reads, admin::list_sessions)]),
    ("/api/admin/sessions/{handle}", &[(Method::Delete, Lane::Writes, admin::revoke_session)]),
    ("/api/admin/audit", &[(Method::Get, Lane::Reads, admin::list_audit)]),
    ("/api/admin/stats", &[(Method::Get, Lane::Reads, admin::stats)]),
    ("/healthz", &[(Method::Get, Lane::Reads, |_, _| Ok(Response::text("ok\n").into()))]),
    ("/readyz", &[(Method::Get, Lane::Reads, watch::ready)]),
    ("/metrics", &[(Method::Get, Lane::Reads, watch::metrics)]),
    ("/openapi.json", &[(Method::Get, Lane::Reads, |_, request| Ok(web::OPENAPI.answer(request)?.into()))]),
    ("/", &[(Method::Get, Lane::Reads, page)]),
    ("/page.js", SCRIPT),
    ("/session.js", SCRIPT),
    ("/dom.js", SCRIPT),
    ("/cycle.js", SCRIPT),
    ("/account.js", SCRIPT),
    ("/administration.js", SCRIPT),
    ("/picture.js", SCRIPT),
    ("/style.css", &[(Method::Get, Lane::Reads, |_, request| Ok(web::STYLE.answer(request)?.into()))]),
    ("/icon.svg", &[(Method::Get, Lane::Reads, |_, request| Ok(web::ICON.answer(request)?.into()))]),
];

/// The page. A browser that calls this machine by another of its names is sent to the one of the public URL: cookies see
/// names, so whoever signed in at `127.0.0.1` would not be signed in at `localhost`.
fn page(app: &App, request: &Request<'_>) -> Result<Answer, Problem> {
    match request.field("host")? {
        Some(host) if app.public_url.is_other_name_of(host) => {
            let location = format!("{}/", app.public_url);
            Ok(Response { status: 307, ..Response::no_content() }.with("Location", location).into())
        }
        _ => Ok(web::page(request)?.into()),
    }
}

/// The refusal of a request from another site, told to the log: with the origin, if it is one, because an administrator
/// may want to list it.
fn cross_site(request: &Request<'_>) -> Problem {
    let origin =
        request.field("origin").ok().flatten().and_then(|origin| PublicUrl::parse_also_plain(origin).ok());
    let page =
        origin.map_or_else(|| "a page of another site".to_owned(), |origin| format!("a page of {origin}"));
    log::info!("{}: {page} refused, from {}", request.id, request.client);
    Code::CrossSite.into()
}

/// What answers for each script of the page.
const SCRIPT: &[(Method, Lane, Handler)] = &[(Method::Get, Lane::Reads, |_, request| {
    let script = web::script(request.path).ok_or(Code::NotFound)?;
    Ok(script.answer(request)?.into())
})];

/// Every endpoint of ours: its path and method.
pub fn endpoints() -> impl Iterator<Item = (&'static str, Method)> {
    ROUTES.iter().flat_map(|(path, methods)| methods.iter().map(|(method, ..)| (*path, *method)))
}

/// Our route of a path.
fn route(path: &str) -> Option<&'static Route> {
    ROUTES.iter().find(|(route, _)| matches(route, path))
}

/// What answers a request: a handler of ours, one of an application around us, or the same for everybody.
enum Answering {
    Ours(Handler),
    Own(routes::Handler),
    Page(Response),
}

impl Answering {
    fn answer(self, app: &App, request: &Request<'_>) -> Result<Answer, Problem> {
        match self {
            Self::Ours(handler) => handler(app, request),
            Self::Own(handler) => handler(app, request).map(Answer::from),
            Self::Page(response) => Ok(response.into()),
        }
    }
}

/// The lane of a request, going by its method and the path of its target. What will be refused is read.
pub fn lane_of(method: &str, target: &str) -> Lane {
    let methods = route(path_of(target)).map(|(_, methods)| *methods);
    let known = methods.unwrap_or_default().iter().find(|(known, ..)| known.as_str() == method);
    known.map_or(Lane::Reads, |(_, lane, _)| *lane)
}

impl App {
    /// What administration works with.
    pub fn office(&self) -> Office<'_> {
        Office {
            store: &self.store,
            keys: &self.keys,
            hasher: &self.hasher,
            clock: &self.clock,
            password_chars_min: self.password_chars_min,
            day: Some(&self.day),
            in_force: Some(&self.in_force),
        }
    }

    /// Counts one more, for the counters and for the picture of the day.
    fn count(&self, count: Count) {
        self.metrics.count(count);
        self.day.count(count, self.clock.now().system);
    }

    /// Whether the system clock is too far behind the time the store has seen.
    pub fn is_clock_behind(&self) -> bool {
        self.clock.lead_secs() > CLOCK_BEHIND_SECS
    }

    /// The route of a target as [`endpoints`] or the application spells it, for the log.
    pub fn route_of(&self, target: &str) -> &'static str {
        let path = path_of(target);
        let ours = route(path).map(|(route, _)| *route);
        ours.or_else(|| self.routes.route_of(path)).unwrap_or("an unknown route")
    }

    /// Answers a request, or says which command has to be committed first; a refusal is an answer too.
    pub fn answer(&self, request: &Request<'_>) -> Outcome {
        let finish = Finish::of(self, request);
        match self.handler(request).and_then(|answering| answering.answer(self, request)) {
            Ok(Answer::Now(response)) => Outcome::Answered(finish.apply(self, Ok(response))),
            Ok(Answer::AfterCommit(command)) => Outcome::Committing(Commit { command, finish }),
            Err(problem) => Outcome::Answered(finish.apply(self, Err(problem))),
        }
    }

    /// Answers a request that would need a password hashed, if it is refused for anything else; `None` when it is not. So
    /// nobody waits behind requests that could never have succeeded.
    pub fn answer_without_hashing(&self, request: &Request<'_>) -> Option<Response> {
        let finish = Finish::of(self, request);
        let checked = self.handler(request).and_then(|answering| match answering {
            Answering::Ours(_) => precheck::check(self, request).map(|()| None),
            Answering::Page(response) => Ok(Some(response)),
            Answering::Own(_) => Ok(None),
        });
        match checked {
            Ok(None) => None,
            Ok(Some(response)) => Some(finish.apply(self, Ok(response))),
            Err(problem) => Some(finish.apply(self, Err(problem))),
        }
    }

    /// What answers a request.
    fn handler(&self, request: &Request<'_>) -> Result<Answering, Problem> {
        // About the server as a whole (RFC 9110 §9.3.7).
        if request.method == Method::Options && request.path == "*" {
            let methods = [Method::Get, Method::Post, Method::Patch, Method::Delete, Method::Options];
            let allow = method_list(methods.into_iter());
            return Ok(Answering::Page(Response::no_content().with("Allow", allow)));
        }
        let methods = || self.methods_of(request.path).map(|(method, _)| method);
        if request.method == Method::Options
            && self.listed_origin(request).is_some()
            && methods().next().is_some()
        {
            return Ok(Answering::Page(preflight(methods())));
        }
        let method = if request.method == Method::Head { Method::Get } else { request.method };
        let Some((_, answering)) = self.methods_of(request.path).find(|(known, _)| *known == method) else {
            methods().next().ok_or(Code::NotFound)?;
            return Err(Problem { allow: Some(method_list(methods())), ..Code::MethodNotAllowed.into() });
        };
        if method != Method::Get && !self.is_from_own_site(request)? {
            return Err(cross_site(request));
        }
        Ok(answering)
    }

    /// The methods of a path and what answers them.
    fn methods_of(&self, path: &str) -> impl Iterator<Item = (Method, Answering)> {
        let ours = route(path).map(|(_, methods)| *methods);
        let own = ours.is_none().then(|| self.routes.of(path)).into_iter().flatten();
        let ours =
            ours.unwrap_or_default().iter().map(|(method, _, handler)| (*method, Answering::Ours(*handler)));
        ours.chain(own.map(|(method, handler)| (method, Answering::Own(handler))))
    }

    fn is_from_own_site(&self, request: &Request<'_>) -> Result<bool, Problem> {
        let from = site::Provenance {
            sec_fetch_site: request.field("sec-fetch-site")?,
            origin: request.field("origin")?,
            host: request.field("host")?,
        };
        self.look_at_origin(request, from);
        Ok(site::is_from_own_site(from, &self.public_url, &self.allowed_origins))
    }

    /// Notices when a browser knows us by another origin than we do, and when a proxy hides that it is one: we speak no
    /// TLS, so what a page over https sends comes through one.
    fn look_at_origin(&self, request: &Request<'_>, from: site::Provenance<'_>) {
        let (Some("same-origin"), Some(origin)) = (from.sec_fetch_site, from.origin) else { return };
        if origin == self.public_url.as_str() {
            if self.public_url.is_https() && !request.is_forwarded {
                self.notices.tell(Notice::SilentProxy(request.client));
            }
            return;
        }
        if site::is_loopback_origin_of(origin, from.host) {
            return;
        }
        // What is no origin is not repeated.
        if let Ok(seen) = PublicUrl::parse_also_plain(origin) {
            self.notices.tell(Notice::OtherOrigin(&seen, &self.public_url));
        }
    }

    /// The request's Origin when it is one of those listed, for CORS.
    fn listed_origin<'a>(&self, request: &Request<'a>) -> Option<&'a str> {
        let origin = request.field("origin").ok()??;
        self.allowed_origins.iter().any(|allowed| allowed == origin).then_some(origin)
    }

    fn refusal(&self, problem: &Problem, request_id: &str) -> Response {
        let mut response = Response::problem(problem, request_id);
        if problem.clear_cookie {
            response.set("Set-Cookie", self.cookie.clear());
        }
        response
    }
}

/// Further behind than this and the system clock is not to be trusted, in seconds.
const CLOCK_BEHIND_SECS: u64 = 600;

/// An id for a request, 16 hexadecimal digits, for the log and the answer. It is no secret and tells nothing: a keyed hash
/// of a counter, so that two ids do not say how many requests came between.
pub fn request_id() -> String {
    static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{:016x}", KEY.hash_one(NEXT.fetch_add(1, Ordering::Relaxed)))
}

/// Whether a path is the one of a route, where a name in braces stands for one segment that is not empty.
fn matches(route: &str, path: &str) -> bool {
    let Some((start, rest)) = route.split_once('{') else { return route == path };
    let (_, end) = rest.split_once('}').expect("a brace that opens is closed");
    let segment = path.strip_prefix(start).and_then(|path| path.strip_suffix(end));
    segment.is_some_and(|segment| !segment.is_empty() && !segment.contains('/'))
}

fn path_of(target: &str) -> &str {
    target.split('?').next().unwrap_or_default()
}

fn method_list(methods: impl Iterator<Item = Method>) -> String {
    let mut names: Vec<_> = methods.map(Method::as_str).collect();
    if names.contains(&"GET") {
        names.push("HEAD");
    }
    names.join(", ")
}

/// The answer to a browser that asks before a cross-origin request (Fetch, CORS-preflight).
fn preflight(methods: impl Iterator<Item = Method>) -> Response {
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
            StoreError::Interrupted | StoreError::Damaged | StoreError::Failed(_) => {
                log::error!("{error}");
                Code::Unavailable.into()
            }
        }
    }
}

impl From<NameError> for Problem {
    fn from(error: NameError) -> Self {
        Self::new(Code::BadRequest, error.to_string())
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
    fn slow_work_has_lanes_of_its_own() {
        assert_eq!(lane_of("POST", "/api/auth/login?x=1"), Lane::LogIns);
        assert_eq!(lane_of("POST", "/api/auth/refresh"), Lane::Writes);
        assert_eq!(lane_of("DELETE", "/api/auth/sessions/AAAA"), Lane::Writes);
        assert_eq!(lane_of("GET", "/api/auth/login"), Lane::Reads);
        assert_eq!(lane_of("GET", "/nowhere"), Lane::Reads);
    }

    #[test]
    fn ids_of_requests_tell_nothing_of_one_another() {
        let ids: Vec<_> = (0..1000).map(|_| u64::from_str_radix(&request_id(), 16).unwrap()).collect();
        let steps = ids.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]));
        let differences = ids.windows(2).map(|pair| pair[1] ^ pair[0]);
        for seen in [ids.clone(), steps.collect(), differences.collect()] {
            let distinct: std::collections::HashSet<_> = seen.iter().collect();
            assert_eq!(distinct.len(), seen.len());
        }
        assert!(request_id().len() == 16);
    }

    #[test]
    fn a_handle_is_one_segment() {
        let route = "/api/auth/sessions/{handle}";
        assert!(matches(route, "/api/auth/sessions/AAAA"));
        assert!(!matches(route, "/api/auth/sessions/"));
        assert!(!matches(route, "/api/auth/sessions/AAAA/BBBB"));
        assert!(!matches("/api/me", "/api/me/"));
        let route = "/api/admin/users/{id}/reset";
        assert!(matches(route, "/api/admin/users/42/reset"));
        assert!(!matches(route, "/api/admin/users//reset"));
        assert!(!matches(route, "/api/admin/users/42/42/reset"));
        assert!(!matches(route, "/api/admin/users/42"));
    }
}
