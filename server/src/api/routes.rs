//! Routes of an application of one's own, beside ours.

use std::fmt;

use super::{App, Method, Request, Response, matches};
use crate::problem::Problem;

/// What answers a request to a route of one's own.
pub(super) type Handler = fn(&App, &Request<'_>) -> Result<Response, Problem>;

/// Routes of one's own. They stand behind the same gate as ours, and behind the same rule against other sites.
///
/// They share the lane of the reads, so a handler should answer at once: what computes or waits for long belongs into a
/// service of its own, behind a proxy that asks `GET /api/auth/verify`. A path of ours cannot be taken over. A response that
/// would not be one HTTP answer (see [`Response`]) is answered 500 and told to the log.
///
/// ```
/// use latchkey::api::{App, Request, Response, Routes};
/// use latchkey::problem::Problem;
///
/// fn hello(app: &App, request: &Request<'_>) -> Result<Response, Problem> {
///     let principal = app.authenticate(request)?;
///     Ok(Response::json(&format!("hello, {}", principal.user.name)))
/// }
///
/// let routes = Routes::default().get("/api/hello", hello);
/// # let _ = routes;
/// ```
#[derive(Clone, Default)]
pub struct Routes(Vec<(&'static str, Method, Handler)>);

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(path, method, _)| (path, method))).finish()
    }
}

impl Routes {
    /// Adds a route for GET and HEAD; one name in braces stands for one segment of the path.
    #[must_use]
    pub fn get(self, path: &'static str, handler: Handler) -> Self {
        self.with(Method::Get, path, handler)
    }

    /// Adds a route for POST.
    #[must_use]
    pub fn post(self, path: &'static str, handler: Handler) -> Self {
        self.with(Method::Post, path, handler)
    }

    /// Adds a route for any method.
    ///
    /// # Panics
    /// When the path does not begin with a slash, or has more than one name in braces, or half of one.
    #[must_use]
    pub fn with(mut self, method: Method, path: &'static str, handler: Handler) -> Self {
        let braces: Vec<_> = path.match_indices(['{', '}']).map(|(_, brace)| brace).collect();
        assert!(
            path.starts_with('/') && (braces.is_empty() || braces == ["{", "}"]),
            "{path} is no path of a route"
        );
        self.0.push((path, method, handler));
        self
    }

    /// The route of a path as the application spells it.
    pub(super) fn route_of(&self, path: &str) -> Option<&'static str> {
        self.0.iter().map(|(route, ..)| *route).find(|route| matches(route, path))
    }

    /// The methods of a path and what answers them.
    pub(super) fn of(&self, path: &str) -> impl Iterator<Item = (Method, Handler)> {
        self.0
            .iter()
            .filter(move |(route, ..)| matches(route, path))
            .map(|(_, method, handler)| (*method, *handler))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Code;

    fn nothing(_: &App, _: &Request<'_>) -> Result<Response, Problem> {
        Err(Code::NotFound.into())
    }

    #[test]
    fn a_path_that_could_never_match_is_refused_at_start() {
        let routes = Routes::default().get("/a/{b}/c", nothing).post("/a/{b}/c", nothing);
        assert_eq!(routes.of("/a/1/c").count(), 2);
        assert_eq!(routes.of("/a/1/2/c").count(), 0);
        for path in ["a", "/a/{b", "/a/b}", "/a/}b{", "/{a}/{b}"] {
            let added = std::panic::catch_unwind(|| Routes::default().get(path, nothing));
            assert!(added.is_err(), "{path}");
        }
    }
}
