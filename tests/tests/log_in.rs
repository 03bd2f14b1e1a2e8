//! What guessing passwords costs from outside: who has to wait, for how long, and whom it does not concern.

use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use latchkey::store::{self, Store};
use latchkey_tests::http::{Answer, Request, loopback};
use latchkey_tests::server::{PASSWORD, Server, Setup, Tokens};
use serde_json::{Value, json};

const SERVER: &str = env!("CARGO_BIN_EXE_server-under-test");
const FREE_PER_ACCOUNT: u16 = 5;
const FREE_PER_ADDRESS: u16 = 20;

/// A server whose hashes are quick, with alice.
fn server_with_alice() -> Server {
    let server = Setup::new(SERVER).with("ARGON2_PROFILE", "low-memory").start();
    server.add_user("alice");
    server
}

/// An address of the test's own.
fn place(number: u16) -> IpAddr {
    loopback(1, number)
}

fn fail(server: &Server, from: IpAddr, name: &str) -> Answer {
    server.send(Request::login(name, "wrong wrong wrong wrong").from(from))
}

#[track_caller]
fn assert_fails(server: &Server, from: IpAddr, name: &str) {
    fail(server, from, name).assert_refused(401, "invalid_credentials", "login");
}

/// Asserts that a log-in has to wait, and returns how long.
#[track_caller]
fn assert_throttled(answer: &Answer) -> u64 {
    answer.assert_throttled();
    answer.field("retry-after").unwrap().parse().unwrap()
}

/// Fails until the wait is `wait_secs` at least, each time from another place; the waits before double from 1 s.
fn fail_until_wait(server: &Server, name: &str, first_place: u16, wait_secs: u64) {
    for number in first_place..first_place + 20 {
        let answer = fail(server, place(number), name);
        if answer.status == 401 {
            continue;
        }
        let asked = assert_throttled(&answer);
        if asked >= wait_secs {
            return;
        }
        thread::sleep(Duration::from_secs(asked));
    }
    panic!("the waits of {name} do not grow");
}

#[test]
fn log_ins_are_throttled_the_same_for_unknown_names() {
    let server = server_with_alice();
    for name in ["alice", "nobody"] {
        for number in 0..FREE_PER_ACCOUNT {
            assert_fails(&server, place(number), name);
        }
    }
    // Both go on failing, as often as they are let, until a busy machine has seconds to look at what they are told.
    thread::scope(|scope| {
        scope.spawn(|| fail_until_wait(&server, "nobody", 150, 4));
        fail_until_wait(&server, "alice", 110, 4);
    });
    let known = fail(&server, place(100), "alice");
    let unknown = fail(&server, place(101), "nobody");
    assert!(assert_throttled(&known).abs_diff(assert_throttled(&unknown)) <= 1);
    let without_id = |answer: &Answer| {
        let mut body = answer.json();
        body["request_id"] = Value::Null;
        body
    };
    assert_eq!(without_id(&known), without_id(&unknown));
    assert_throttled(&server.send(Request::login("Alice", PASSWORD).from(place(102))));
    thread::sleep(Duration::from_secs(4));
    assert_eq!(
        server.send(Request::login("alice", PASSWORD).from(place(130))).status,
        200,
        "nobody is locked out"
    );
}

#[test]
fn twenty_failures_of_an_address_are_free_whatever_the_names() {
    let server = server_with_alice();
    for number in 0..FREE_PER_ADDRESS {
        assert_fails(&server, place(1), &format!("name-{number}"));
    }
    assert_throttled(&fail(&server, place(1), "another"));
    assert_throttled(&server.send(Request::login("alice", PASSWORD).from(place(1))));
    assert_fails(&server, place(2), "another");
    assert_eq!(server.send(Request::login("alice", PASSWORD).from(place(2))).status, 200);
}

#[test]
fn who_signs_in_often_is_not_throttled() {
    let server = server_with_alice();
    for _ in 0..=FREE_PER_ADDRESS {
        assert_eq!(server.send(Request::login("alice", PASSWORD).from(place(1))).status, 200);
    }
}

#[test]
fn wrong_current_passwords_are_throttled_like_log_ins() {
    let server = server_with_alice();
    let tokens = server.login("alice");
    let change = |current: &str| {
        let body = json!({"current": current, "new": "another long pass phrase"});
        server.send(Request::post("/api/auth/password").bearer(&tokens.access).json(&body))
    };
    for _ in 0..FREE_PER_ACCOUNT {
        change("wrong wrong wrong").assert_refused(401, "wrong_password", "none");
    }
    assert_throttled(&change("wrong wrong wrong"));
    assert_throttled(&change(PASSWORD));
    thread::sleep(Duration::from_secs(1));
    assert_eq!(change(PASSWORD).status, 204);
}

#[test]
fn strangers_failures_do_not_keep_out_whoever_has_a_session() {
    let server = server_with_alice();
    let login_from = |from: IpAddr| server.send(Request::login("alice", PASSWORD).from(from));
    let home = place(7);
    let tokens = Tokens::from(&login_from(home));
    for number in 100..100 + FREE_PER_ACCOUNT {
        assert_fails(&server, place(number), "alice");
    }
    assert_throttled(&login_from(place(8)));
    assert_eq!(login_from(home).status, 200);

    assert_eq!(server.send(Request::post("/api/auth/logout-all").bearer(&tokens.access)).status, 204);
    assert_throttled(&login_from(home));
}

#[test]
fn without_a_trusted_proxy_nobody_is_believed_to_be_another() {
    let server = server_with_alice();
    let fail_as = |claimed: u16| {
        let request = Request::login(&format!("name-{claimed}"), "wrong wrong wrong wrong").from(place(1));
        server.send(request.field("X-Forwarded-For", &format!("203.0.113.{claimed}")))
    };
    for claimed in 0..FREE_PER_ADDRESS {
        fail_as(claimed).assert_refused(401, "invalid_credentials", "login");
    }
    assert_throttled(&fail_as(99));
}

#[test]
fn a_trusted_proxy_says_who_it_was_and_nobody_else_does() {
    let proxy = place(1);
    let setup = Setup::new(SERVER).with("ARGON2_PROFILE", "low-memory").with("TRUSTED_PROXIES", proxy);
    let server = setup.start();
    server.add_user("alice");
    let fail_by_way_of = |peer: IpAddr, name: u16, forwarded_for: &str| {
        let request = Request::login(&format!("name-{name}"), "wrong wrong wrong wrong").from(peer);
        server.send(request.field("X-Forwarded-For", forwarded_for))
    };
    for number in 0..FREE_PER_ADDRESS {
        let answer = fail_by_way_of(proxy, number, "203.0.113.7");
        answer.assert_refused(401, "invalid_credentials", "login");
    }
    assert_throttled(&fail_by_way_of(proxy, 100, "203.0.113.7"));
    assert_throttled(&fail_by_way_of(proxy, 101, "198.51.100.1, 203.0.113.7")); // the client wrote the first one
    let other_client = fail_by_way_of(proxy, 102, "203.0.113.8");
    other_client.assert_refused(401, "invalid_credentials", "login");
    let no_proxy = fail_by_way_of(place(2), 103, "203.0.113.7");
    no_proxy.assert_refused(401, "invalid_credentials", "login");

    let login = Request::login("alice", PASSWORD).from(proxy).field("X-Forwarded-For", "203.0.113.9");
    let tokens = Tokens::from(&server.send(login));
    let sessions = server.get("/api/auth/sessions", &tokens.access).json();
    assert_eq!(sessions[0]["address"], "203.0.113.9");
}

/// The hash of alice's password as a stopped server's store has it.
fn stored_hash(server: &Server) -> String {
    let store = Store::open(&server.data().join(store::FILE_NAME), |_| {}).unwrap();
    let (_, alice) = store.read(|reads| reads.user_named(&"alice".parse().unwrap())).unwrap().unwrap();
    alice.password_hash.0
}

#[test]
fn a_good_log_in_renews_a_hash_of_another_profile() {
    let mut server = server_with_alice();
    server.stop();
    let old = stored_hash(&server);
    assert!(old.starts_with("$argon2id$v=19$m=7168,t=5,p=1$"), "{old}");

    server.set("ARGON2_PROFILE", "standard");
    server.start();
    assert_eq!(server.try_login("alice", "wrong wrong wrong wrong").status, 401);
    server.stop();
    assert_eq!(stored_hash(&server), old, "whoever does not know the password cannot have it renewed");

    server.start();
    let tokens = server.login("alice");
    server.login("alice");
    server.stop();
    let renewed = stored_hash(&server);
    assert!(renewed.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{renewed}");

    server.start();
    assert_eq!(server.get("/api/me", &tokens.access).status, 200, "renewing ends no session");
    server.login("alice");
    server.stop();
    assert_eq!(stored_hash(&server), renewed);
}
