//! An application and its sign-in in one binary: a route of one's own beside Latchkey's, for whoever is signed in.
//!
//! `cargo run --release -p latchkey --example own_route` serves both, and is the whole command line too.

use std::process::ExitCode;

use latchkey::api::{App, Request, Response, Routes};
use latchkey::problem::Problem;
use latchkey::user::Role;
use serde_json::json;

fn hello(app: &App, request: &Request<'_>) -> Result<Response, Problem> {
    // 401 with what a client has to do next, unless an access token of a living session came along.
    let principal = app.authenticate(request)?;
    let may_administer = principal.user.role.covers(Role::Admin);
    Ok(Response::json(&json!({"hello": principal.user.name, "may_administer": may_administer})))
}

fn main() -> ExitCode {
    latchkey::cli::main(Routes::default().get("/api/hello", hello))
}
