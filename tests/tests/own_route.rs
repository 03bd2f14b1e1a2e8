//! The server as a library: an application's own route beside ours, in one binary.

use latchkey_tests::http::Request;
use latchkey_tests::server::Setup;
use serde_json::json;

const APPLICATION: &str = env!("CARGO_BIN_EXE_own-route");
const WITH_A_BUG: &str = env!("CARGO_BIN_EXE_panics");

#[test]
fn a_route_of_ones_own_knows_who_is_signed_in() {
    let server = Setup::new(APPLICATION).start();
    server.add_admin("root");
    server.add_user("alice");
    let (root, alice) = (server.login("root"), server.login("alice"));
    server.send(Request::get("/api/hello")).assert_refused(401, "missing_token", "refresh");
    server.get("/api/hello", "x.y.z").assert_refused(401, "invalid_token", "refresh");
    let greeting = server.get("/api/hello", &alice.access);
    assert_eq!((greeting.status, greeting.json()), (200, json!({"hello": "alice", "may_administer": false})));
    assert_eq!(greeting.field("cache-control"), Some("no-store"));
    assert_eq!(server.get("/api/hello", &root.access).json()["may_administer"], true);
    assert!(server.run(&["user", "disable", "alice"]).status.success());
    server.get("/api/hello", &alice.access).assert_refused(401, "invalid_token", "refresh");
    assert_eq!(server.get("/api/me", &root.access).status, 200, "and ours are there as ever");
}

#[test]
fn a_route_of_ones_own_has_its_methods_and_no_others() {
    let server = Setup::new(APPLICATION).start();
    let refused = server.send(Request::post("/api/hello"));
    refused.assert_refused(405, "method_not_allowed", "none");
    assert_eq!(refused.field("allow"), Some("GET, HEAD"));
    server.send(Request::get("/api/hello/")).assert_refused(404, "not_found", "none");
}

#[test]
fn a_handler_that_panics_is_a_500_and_the_server_goes_on() {
    let server = Setup::new(WITH_A_BUG).start();
    server.add_user("alice");
    for _ in 0..3 {
        let answer = server.send(Request::get("/api/bug"));
        answer.assert_refused(500, "internal", "retry");
        assert!(!answer.body.contains("application"), "the client learns nothing of it: {}", answer.body);
    }
    assert!(server.log().contains("the handler of a request panicked"));
    assert_eq!(server.get("/api/me", &server.login("alice").access).status, 200);
}

#[test]
fn the_example_is_short() {
    let example = include_str!("../../server/examples/own_route.rs");
    assert!(example.lines().count() < 40);
}
