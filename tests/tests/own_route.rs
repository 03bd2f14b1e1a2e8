//! The server as a library: an application's own route beside ours, in one binary.

use latchkey_tests::http::{Request, exchange, statuses};
use latchkey_tests::server::Setup;
use serde_json::json;

const APPLICATION: &str = env!("CARGO_BIN_EXE_own-route");
const WITH_A_BUG: &str = env!("CARGO_BIN_EXE_panics");
const ODD: &str = env!("CARGO_BIN_EXE_odd-routes");

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
fn a_body_where_the_status_allows_none_is_left_out_and_told_to_the_log() {
    let server = Setup::new(ODD).start();
    for status in [204, 205, 304] {
        let requests = format!("GET /api/odd/{status} HTTP/1.1\r\nHost: a\r\n\r\n").repeat(2);
        let answers = exchange(server.address(), requests);
        assert_eq!(statuses(&answers), [status, status], "{answers}");
        assert!(!answers.contains("stolen") && answers.ends_with("\r\n\r\n"), "{answers}");
    }
    let log = server.log();
    assert!(log.contains("GET /api/odd/{status}: a 204 has no content, so its body is left out"), "{log}");
}

#[test]
fn an_answer_that_would_not_be_one_is_a_500_and_told_to_the_log() {
    let server = Setup::new(ODD).start();
    let paths = [0, 99, 100, 101, 103, 199, 600, 999, 65535].map(|status| format!("/api/odd/{status}"));
    for path in paths.into_iter().chain((0..12).map(|number| format!("/api/field/{number}"))) {
        server.send(Request::get(&path)).assert_refused(500, "internal", "retry");
        let next = "GET /api/echo/next HTTP/1.1\r\nHost: a\r\n\r\n";
        let answers = exchange(server.address(), format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n{next}"));
        assert_eq!(statuses(&answers), [500, 200], "{path}: {answers}");
        assert!(answers.ends_with("\r\n\r\necho next") && !answers.contains("stolen"), "{path}: {answers}");
    }
    let log = server.log();
    for why in
        ["its status is none of an answer", "a header field that the server sets", "not one line of ASCII"]
    {
        assert!(
            log.contains(&format!("the answer cannot be sent: {why}")) || log.contains(why),
            "{why}: {log}"
        );
    }
}

#[test]
fn answers_of_any_length_arrive_whole_and_in_order() {
    let server = Setup::new(ODD).start();
    let lens = [0, 1, 16_383, 16_384, 100_000, 2_000_000, 3];
    let requests = lens.map(|len| format!("GET /api/large/{len} HTTP/1.1\r\nHost: a\r\n\r\n"));
    let answers = exchange(server.address(), requests.concat());
    assert_eq!(statuses(&answers), [200; 7]);
    let bodies: usize = answers.matches('x').count();
    assert!(bodies >= lens.iter().sum(), "{bodies}");
}

#[test]
fn the_example_is_short() {
    let example = include_str!("../../server/examples/own_route.rs");
    assert!(example.lines().count() < 40);
}
