//! What can be refused without hashing a password is refused before a request stands in the line of log-ins.
//!
//! The handlers check all of it again: what was true here may not be when a place is free.

use super::{App, Method, Request, admin, auth, route, set_up};
use crate::problem::Problem;

type Check = fn(&App, &Request<'_>) -> Result<(), Problem>;

/// The check of each route whose handler hashes passwords.
const CHECKS: &[(&str, Method, Check)] = &[
    ("/api/auth/login", Method::Post, auth::precheck_login),
    ("/api/auth/password", Method::Post, auth::precheck_change_password),
    ("/api/auth/reset", Method::Post, set_up::precheck_reset),
    ("/api/setup", Method::Post, set_up::precheck_set_up),
    ("/api/admin/users", Method::Post, admin::precheck_add_user),
];

/// Refuses a request that a handler would refuse without hashing.
pub(super) fn check(app: &App, request: &Request<'_>) -> Result<(), Problem> {
    check_of(request).map_or(Ok(()), |check| check(app, request))
}

fn check_of(request: &Request<'_>) -> Option<Check> {
    let (path, _) = route(request.path)?;
    let found = CHECKS.iter().find(|(route, method, _)| route == path && *method == request.method);
    found.map(|(.., check)| *check)
}

#[cfg(test)]
mod tests {
    use super::super::{Lane, ROUTES};
    use super::*;

    #[test]
    fn every_route_that_hashes_passwords_has_its_check_and_no_other_has() {
        let routes =
            ROUTES.iter().flat_map(|(path, methods)| methods.iter().map(move |entry| (*path, entry)));
        let hashing: Vec<_> = routes
            .filter(|(_, (_, lane, _))| *lane == Lane::LogIns)
            .map(|(path, (method, ..))| (path, *method))
            .collect();
        let checked: Vec<_> = CHECKS.iter().map(|(path, method, _)| (*path, *method)).collect();
        assert!(hashing.iter().all(|route| checked.contains(route)));
        assert_eq!(hashing.len(), checked.len());
    }
}
