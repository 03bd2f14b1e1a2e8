//! The first administrator's set-up link, and one-time codes in place of lost passwords.

use latchkey_tests::http::{Answer, Request};
use latchkey_tests::server::{PASSWORD, Server, Setup, Tokens};
use serde_json::{Value, json};

const SERVER: &str = env!("CARGO_BIN_EXE_server-under-test");
const OTHER_PASSWORD: &str = "another long pass phrase";

fn set_up(server: &Server, code: &str, name: &str, password: &str) -> Answer {
    let body = json!({"code": code, "username": name, "password": password});
    server.send(Request::post("/api/setup").json(&body))
}

fn reset(server: &Server, name: &str, code: &str, new: &str) -> Answer {
    server.send(Request::post("/api/auth/reset").json(&json!({"username": name, "code": code, "new": new})))
}

/// A server with the administrator `root`, signed in, and the user `alice`.
fn server_with_root_and_alice() -> (Server, Tokens) {
    let server = Setup::new(SERVER).start();
    server.add_admin("root");
    server.add_user("alice");
    let root = server.login("root");
    (server, root)
}

fn id_of(server: &Server, root: &Tokens, name: &str) -> String {
    let found = server.get(&format!("/api/admin/users?search={name}"), &root.access).json();
    found["users"][0]["id"].as_str().unwrap().to_owned()
}

fn reset_code(server: &Server, root: &Tokens, name: &str) -> String {
    let path = format!("/api/admin/users/{}/reset", id_of(server, root, name));
    let answer = server.send(Request::post(&path).bearer(&root.access));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["code"].as_str().unwrap().to_owned()
}

#[test]
fn the_set_up_link_makes_the_first_administrator_and_signs_them_in() {
    let server = Setup::new(SERVER).start();
    let answer = set_up(&server, &server.set_up_code(), "Root", PASSWORD);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["user"]["role"], "admin");
    assert!(answer.field("set-cookie").unwrap().contains("HttpOnly"));
    let root = Tokens::from(&answer);
    assert_eq!(server.get("/api/admin/users", &root.access).status, 200);
    assert_eq!(server.refresh(&root.refresh, None).status, 200);
    assert_eq!(server.try_login("root", PASSWORD).status, 200);
}

#[test]
fn a_set_up_code_is_good_for_nothing_once_there_is_a_user() {
    let mut server = Setup::new(SERVER).start();
    let code = server.set_up_code();
    assert_eq!(set_up(&server, &code, "root", PASSWORD).status, 200);
    set_up(&server, &code, "mallory", PASSWORD).assert_refused(403, "invalid_code", "none");
    server.stop();
    server.start();
    set_up(&server, &code, "mallory", PASSWORD).assert_refused(403, "invalid_code", "none");

    let server = Setup::new(SERVER).start();
    let code = server.set_up_code();
    server.add_user("alice");
    set_up(&server, &code, "mallory", PASSWORD).assert_refused(403, "invalid_code", "none");
}

#[test]
fn of_two_that_set_up_at_the_same_time_one_becomes_the_administrator() {
    let server = Setup::new(SERVER).start();
    let code = server.set_up_code();
    let answers = std::thread::scope(|scope| {
        let racers: Vec<_> =
            ["anne", "ben"].map(|name| scope.spawn(|| set_up(&server, &code, name, PASSWORD).status)).into();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(answers == [200, 403] || answers == [403, 200], "{answers:?}");
}

#[test]
fn a_mistake_does_not_use_the_set_up_code_up() {
    let server = Setup::new(SERVER).start();
    let code = server.set_up_code();
    let weak = set_up(&server, &code, "root", "password");
    weak.assert_refused(422, "weak_password", "none");
    assert_eq!(weak.json()["reasons"], json!(["too_short", "common"]));
    set_up(&server, &code, " root", PASSWORD).assert_refused(400, "bad_request", "none");
    assert_eq!(set_up(&server, &code, "root", PASSWORD).status, 200);
}

#[test]
fn guessing_codes_is_throttled_like_guessing_passwords() {
    let server = Setup::new(SERVER).start();
    for _ in 0..5 {
        set_up(&server, "AAAAAAAAAAAAAAAAAAAAAA", "root", PASSWORD).assert_refused(
            403,
            "invalid_code",
            "none",
        );
    }
    set_up(&server, &server.set_up_code(), "root", PASSWORD).assert_refused(429, "throttled", "wait");

    let (server, root) = server_with_root_and_alice();
    let code = reset_code(&server, &root, "alice");
    for _ in 0..5 {
        reset(&server, "alice", "AAAAAAAAAAAAAAAAAAAAAA", PASSWORD).assert_refused(
            403,
            "invalid_code",
            "none",
        );
    }
    reset(&server, "alice", &code, OTHER_PASSWORD).assert_refused(429, "throttled", "wait");
}

#[test]
fn a_reset_code_lets_its_user_choose_a_password_once_and_ends_every_session() {
    let (server, root) = server_with_root_and_alice();
    let alice = server.login("alice");
    let code = reset_code(&server, &root, "alice");
    assert_eq!(server.get("/api/me", &alice.access).status, 200, "nothing changes until it is used");

    assert_eq!(reset(&server, "ALICE", &code, OTHER_PASSWORD).status, 204);
    server.get("/api/me", &alice.access).assert_refused(401, "invalid_token", "refresh");
    assert_eq!(server.try_login("alice", PASSWORD).status, 401);
    assert_eq!(server.try_login("alice", OTHER_PASSWORD).status, 200);
    reset(&server, "alice", &code, PASSWORD).assert_refused(403, "invalid_code", "none");
    assert_eq!(server.get("/api/me", &root.access).status, 200, "and of nobody else");
}

#[test]
fn a_reset_code_is_for_its_user_only_and_unknown_users_look_no_different() {
    let (server, root) = server_with_root_and_alice();
    let code = reset_code(&server, &root, "alice");
    let strip = |answer: &Answer| {
        let mut body = answer.json();
        body["request_id"] = Value::Null;
        (answer.status, body)
    };
    let of_another = reset(&server, "root", &code, OTHER_PASSWORD);
    of_another.assert_refused(403, "invalid_code", "none");
    assert_eq!(strip(&reset(&server, "nobody", &code, OTHER_PASSWORD)), strip(&of_another));
    assert_eq!(strip(&reset(&server, "\u{7}", &code, OTHER_PASSWORD)), strip(&of_another));
    assert_eq!(server.try_login("root", PASSWORD).status, 200);
}

#[test]
fn a_reset_code_survives_a_restart_and_a_new_key_but_not_a_change_of_the_user() {
    let (mut server, root) = server_with_root_and_alice();
    let code = reset_code(&server, &root, "alice");
    server.stop();
    server.start();
    assert!(server.run(&["key", "rotate"]).status.success());
    reset(&server, "alice", &code, "weak").assert_refused(422, "weak_password", "none");
    assert!(server.run(&["user", "disable", "alice"]).status.success());
    assert!(server.run(&["user", "enable", "alice"]).status.success());
    reset(&server, "alice", &code, OTHER_PASSWORD).assert_refused(403, "invalid_code", "none");
}

#[test]
fn bodies_that_are_none_are_refused() {
    let server = Setup::new(SERVER).start();
    for (path, body) in [
        ("/api/setup", json!({"code": 1, "username": "a", "password": "b"})),
        ("/api/setup", json!({"code": "a", "username": "a"})),
        ("/api/setup", json!({"code": "a", "username": "a", "password": "b", "role": "admin"})),
        ("/api/auth/reset", json!({"username": "a".repeat(65), "code": "a", "new": "b"})),
        ("/api/auth/reset", json!([])),
    ] {
        server.send(Request::post(path).json(&body)).assert_refused(400, "bad_request", "none");
    }
}

#[test]
fn strangers_who_guess_codes_keep_nobody_from_using_theirs() {
    let guess = |server: &Server, path: &str, body: Value| {
        for number in 0..10 {
            let from = latchkey_tests::http::loopback(9, number);
            server.send(Request::post(path).json(&body).from(from)).assert_refused(
                403,
                "invalid_code",
                "none",
            );
        }
    };
    let server = Setup::new(SERVER).start();
    let code = "AAAAAAAAAAAAAAAAAAAAAA";
    guess(&server, "/api/setup", json!({"code": code, "username": "mallory", "password": PASSWORD}));
    assert_eq!(set_up(&server, &server.set_up_code(), "root", PASSWORD).status, 200);

    let (server, root) = server_with_root_and_alice();
    guess(&server, "/api/auth/reset", json!({"username": "alice", "code": code, "new": OTHER_PASSWORD}));
    assert_eq!(reset(&server, "alice", &reset_code(&server, &root, "alice"), OTHER_PASSWORD).status, 204);
}

#[test]
fn a_code_that_was_used_is_none_again_after_a_restore() {
    let mut server = Setup::new(SERVER).with("ARGON2_PROFILE", "low-memory").start();
    server.add_user("alice");
    assert!(server.run(&["backup", "copy.redb"]).status.success());
    // So that the user is in the same epoch when the code is made as after the restore.
    assert!(server.run(&["session", "revoke-all", "--user", "alice"]).status.success());
    let code = String::from_utf8(server.run(&["user", "reset", "alice"]).stdout).unwrap();
    assert_eq!(reset(&server, "alice", code.trim(), OTHER_PASSWORD).status, 204);
    assert!(server.run(&["restore", "copy.redb"]).status.success());
    reset(&server, "alice", code.trim(), PASSWORD).assert_refused(403, "invalid_code", "none");
    server.login("alice");
    server.stop();
}
