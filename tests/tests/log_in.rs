//! What guessing passwords costs from outside: who has to wait, for how long, and whom it does not concern.

use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use latchkey::command::{self, NewUser};
use latchkey::store::{self, Store};
use latchkey::time::{Now, UnixMillis};
use latchkey::user::{PasswordHash, Role, UserId};
use latchkey_tests::http::{Answer, Request, loopback};
use latchkey_tests::server::{PASSWORD, Server, Setup, Tokens, printed};
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

/// Fails until the wait is `wait_secs` at least, each time from another place, and returns when that was; the waits before
/// double from 1 s.
fn fail_until_wait(server: &Server, name: &str, first_place: u16, wait_secs: u64) -> Instant {
    for number in first_place..first_place + 20 {
        let answer = fail(server, place(number), name);
        if answer.status == 401 {
            continue;
        }
        let asked = assert_throttled(&answer);
        if asked >= wait_secs {
            return Instant::now();
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
    let (alice, nobody) = thread::scope(|scope| {
        let nobody = scope.spawn(|| fail_until_wait(&server, "nobody", 150, 4));
        (fail_until_wait(&server, "alice", 110, 4), nobody.join().unwrap())
    });
    // One of the two may have begun to wait earlier.
    let apart = alice.max(nobody).duration_since(alice.min(nobody)).as_secs() + 1;
    let known = fail(&server, place(100), "alice");
    let unknown = fail(&server, place(101), "nobody");
    assert!(assert_throttled(&known).abs_diff(assert_throttled(&unknown)) <= 1 + apart);
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
        change("wrong wrong wrong").assert_refused(403, "wrong_password", "none");
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

/// Log-ins of one name at the same time, each from an address of its own.
fn at_once(server: &Server, count: u16, password: &str) -> Vec<Answer> {
    thread::scope(|scope| {
        let attempt = |number| move || server.send(Request::login("alice", password).from(place(number)));
        let attempts: Vec<_> = (0..count).map(|number| scope.spawn(attempt(number))).collect();
        attempts.into_iter().map(|attempt| attempt.join().unwrap()).collect()
    })
}

/// Each was once counted as a failure while it was under way.
#[test]
fn eight_right_log_ins_at_once_on_eight_slots_are_let_in() {
    let server = Setup::new(SERVER).with("ARGON2_PROFILE", "low-memory").with("ARGON2_SLOTS", 8).start();
    server.add_user("alice");
    for _ in 0..4 {
        assert!(at_once(&server, 8, PASSWORD).iter().all(|answer| answer.status == 200));
    }
}

/// Now and then nine or ten of them were once looked at. Each wait that is over on a busy machine earns one more.
#[test]
fn of_sixty_four_wrong_log_ins_at_once_five_are_looked_at() {
    let server = Setup::new(SERVER).with("ARGON2_PROFILE", "low-memory").with("ARGON2_SLOTS", 16).start();
    server.add_user("alice");
    let begin = Instant::now();
    let answers = at_once(&server, 64, "wrong wrong wrong wrong");
    // The waits double from a second: 1, 3, 7, 15 seconds after the fifth failure.
    let waits_over = (begin.elapsed().as_secs() + 1).ilog2() as usize;
    let looked_at = answers.iter().filter(|answer| answer.status == 401).count();
    let free = usize::from(FREE_PER_ACCOUNT);
    assert!((free..=free + waits_over).contains(&looked_at), "{looked_at}, {waits_over} waits over");
    answers.iter().filter(|answer| answer.status != 401).for_each(Answer::assert_throttled);
}

/// The first renews the hash, and the second was once refused because the stored one was another than it had seen.
#[test]
fn log_ins_at_once_after_a_change_of_profile_are_all_let_in() {
    let mut server = Setup::new(SERVER).with("ARGON2_PROFILE", "standard").with("ARGON2_SLOTS", 8).start();
    server.add_user("alice");
    server.stop();
    server.set("ARGON2_PROFILE", "low-memory");
    server.start();
    assert!(at_once(&server, 8, PASSWORD).iter().all(|answer| answer.status == 200));
}

/// A server behind a proxy, which says who it was.
fn server_behind_a_proxy() -> Server {
    let setup = Setup::new(SERVER).with("ARGON2_PROFILE", "low-memory").with("TRUSTED_PROXIES", "127.0.0.1");
    let server = setup.start();
    server.add_user("alice");
    server
}

#[test]
fn a_session_makes_its_whole_64_a_home_and_not_the_next_one() {
    let server = server_behind_a_proxy();
    let login_from = |from: &str, password: &str| {
        server.send(Request::login("alice", password).field("X-Forwarded-For", from))
    };
    assert_eq!(login_from("2001:db8:0:1::1", PASSWORD).status, 200);
    for number in 0..FREE_PER_ACCOUNT {
        let answer = login_from(&format!("198.51.100.{number}"), "wrong wrong wrong wrong");
        answer.assert_refused(401, "invalid_credentials", "login");
    }
    assert_throttled(&login_from("2001:db8:0:2::1", PASSWORD));
    assert_eq!(login_from("2001:db8:0:1::2", PASSWORD).status, 200);
}

#[test]
fn the_bearer_of_a_session_changes_the_password_from_an_address_that_has_to_wait() {
    let server = server_with_alice();
    let tokens = server.login("alice");
    for number in 0..FREE_PER_ADDRESS {
        let name = if number < FREE_PER_ACCOUNT { "alice".to_owned() } else { format!("name-{number}") };
        assert_fails(&server, place(1), &name);
    }
    let body = json!({"current": PASSWORD, "new": "another long pass phrase"});
    let change = Request::post("/api/auth/password").bearer(&tokens.access).json(&body).from(place(1));
    assert_eq!(server.send(change).status, 204);
}

#[test]
fn a_space_that_a_keyboard_added_to_a_name_does_not_matter() {
    let server = server_with_alice();
    for typed in ["alice ", " alice", "alice\u{a0}", "Alice\t"] {
        assert_eq!(server.try_login(typed, PASSWORD).status, 200, "{typed:?}");
    }
    let code = |code: &str| json!({"username": "alice ", "code": code, "new": "another long pass phrase"});
    let issued: Value =
        serde_json::from_str(&printed(&server.run(&["user", "reset", "alice", "--json"]))).unwrap();
    let reset = Request::post("/api/auth/reset").json(&code(issued["code"].as_str().unwrap()));
    assert_eq!(server.send(reset).status, 204);
    assert_eq!(server.try_login("ali ce", PASSWORD).status, 401);
}

/// As RFC 8265 asks: set composed, typed decomposed, and with another kind of space, by every way that sets a password.
#[test]
fn a_password_is_the_same_however_a_keyboard_composes_it() {
    let (composed, decomposed) =
        ("caf\u{e9} au lait \u{e0} Paris", "cafe\u{301}\u{a0}au lait a\u{300} Paris");
    let server = Setup::new(SERVER).with("ARGON2_PROFILE", "low-memory").start();
    let logs_in =
        |name: &str, password: &str| assert_eq!(server.try_login(name, password).status, 200, "{name}");

    let set_up = json!({"code": server.set_up_code(), "username": "root", "password": decomposed});
    assert_eq!(server.send(Request::post("/api/setup").json(&set_up)).status, 200);
    logs_in("root", composed);
    printed(&server.run_with_input(&["user", "add", "ann", "--password-stdin"], decomposed));
    logs_in("ann", composed);
    printed(&server.run_with_input(&["user", "passwd", "ann", "--password-stdin"], composed));
    logs_in("ann", decomposed);

    let root = Tokens::from(&server.try_login("root", composed));
    let post = |path: &str, body: Value| server.send(Request::post(path).bearer(&root.access).json(&body));
    assert_eq!(post("/api/admin/users", json!({"username": "ben", "password": decomposed})).status, 201);
    logs_in("ben", composed);
    let added = post("/api/admin/users", json!({"username": "eve"})).json();
    let reset = json!({"username": "eve", "code": added["reset"]["code"], "new": composed});
    assert_eq!(server.send(Request::post("/api/auth/reset").json(&reset)).status, 204, "{added}");
    logs_in("eve", decomposed);
    let change = json!({"current": decomposed, "new": composed.replace("Paris", "Lyon")});
    assert_eq!(post("/api/auth/password", change).status, 204);
    logs_in("root", &decomposed.replace("Paris", "Lyon"));
    assert_eq!(server.try_login("root", "cafe au lait a Lyon").status, 401);
}

#[test]
fn names_that_do_not_show_what_they_are_are_refused_and_those_of_an_older_store_can_go() {
    let mut server = server_with_alice();
    server.add_admin("root");
    let root = server.login("root");
    for name in ["ad\u{200b}min", "\u{202e}nimda", "\u{3164}", "a\u{a0}b", "\u{301}x"] {
        assert_ne!(
            server.run_with_input(&["user", "add", name, "--password-stdin"], PASSWORD).status.code(),
            Some(0)
        );
        let body = json!({"username": name, "password": PASSWORD});
        let added = server.send(Request::post("/api/admin/users").bearer(&root.access).json(&body));
        added.assert_refused(400, "bad_request", "none");
    }
    server.stop();
    let store = Store::open(&server.data().join(store::FILE_NAME), |_| {}).unwrap();
    for (id, name) in [(1, "al\u{200b}ice"), (2, "\u{202e}ecila")] {
        let password_hash = PasswordHash(stored_hash_in(&store));
        let new = NewUser { id: UserId(id), name: name.parse().unwrap(), role: Role::User, password_hash };
        store
            .write(move |writes| command::add_user(writes, new, None, Now::at(UnixMillis(1))))
            .unwrap()
            .unwrap();
    }
    drop(store);
    server.start();
    let alike = Tokens::from(&server.try_login("al\u{200b}ice", PASSWORD));
    assert_eq!(server.get("/api/me", &alike.access).status, 200, "who has such a name can still sign in");
    let change = json!({"current": PASSWORD, "new": "another long pass phrase"});
    assert_eq!(
        server.send(Request::post("/api/auth/password").bearer(&alike.access).json(&change)).status,
        204
    );
    let users = server.get("/api/admin/users", &root.access).json();
    assert_eq!(users["users"].as_array().unwrap().len(), 4, "{users}");
    let by_id = Request::delete(&format!("/api/admin/users/{:016x}", 1)).bearer(&root.access);
    assert_eq!(server.send(by_id).status, 204);
    assert!(
        printed(&server.run(&["user", "list"])).contains("\\u{202e}ecila "),
        "a terminal is not turned around"
    );
    printed(&server.run(&["user", "delete", "\u{202e}ecila", "--yes"]));
    assert_eq!(server.get("/api/admin/users", &root.access).json()["users"].as_array().unwrap().len(), 2);
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
    stored_hash_in(&Store::open(&server.data().join(store::FILE_NAME), |_| {}).unwrap())
}

fn stored_hash_in(store: &Store) -> String {
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
