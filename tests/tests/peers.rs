//! Mistakes that were published of other systems (`tests/peers-cves.md`) and that no other test excludes.

use latchkey_tests::http::{Request, loopback};
use latchkey_tests::server::{PASSWORD, Server, Setup, printed};
use serde_json::{Value, json};

const SERVER: &str = env!("CARGO_BIN_EXE_server-under-test");

fn server_with_alice() -> Server {
    let server = Setup::new(SERVER).with("ARGON2_PROFILE", "low-memory").start();
    server.add_user("alice");
    server
}

/// Authelia counted the failures of each spelling of a name by itself (CVE-2025-24806, CVE-2026-47203).
#[test]
fn however_a_name_is_spelled_its_failures_count_together() {
    let server = server_with_alice();
    server.add_user("zoë");
    for spellings in [
        ["alice", "ALICE", "Alice", " alice", "alice ", "aLICE"],
        ["zoë", "ZOË", "zoe\u{308}", "Zoe\u{308} ", " zoë", "zOE\u{308}"],
        ["nobody", "NOBODY", "Nobody", " nobody", "nobody ", "nOBODY"],
    ] {
        for (number, name) in (0..).zip(spellings) {
            let answer = server.send(Request::login(name, "wrong wrong wrong").from(loopback(1, number)));
            if number < 5 {
                answer.assert_refused(401, "invalid_credentials", "login");
            } else {
                answer.assert_throttled();
            }
        }
    }
}

/// ZITADEL put a new user where a deleted one with the same identifier had been (CVE-2026-55670).
#[test]
fn a_name_that_is_given_again_brings_nothing_of_its_last_bearer() {
    let server = server_with_alice();
    server.add_admin("root");
    let root = server.login("root");
    let admin = |method: &str, path: &str| server.send(Request::new(method, path).bearer(&root.access));
    let id_of_alice = || {
        let found: Value = admin("GET", "/api/admin/users?search=alice").json();
        found["users"][0]["id"].as_str().unwrap().to_owned()
    };
    let (first, first_id) = (server.login("alice"), id_of_alice());
    let code = admin("POST", &format!("/api/admin/users/{first_id}/reset")).json();
    assert_eq!(admin("DELETE", &format!("/api/admin/users/{first_id}")).status, 204);
    server.add_user("alice");

    assert_ne!(id_of_alice(), first_id);
    server.get("/api/me", &first.access).assert_refused(401, "invalid_token", "refresh");
    server.refresh(&first.refresh, None).assert_refused(401, "session_ended", "login");
    let reset = json!({"username": "alice", "code": code["code"], "new": "another long pass phrase"});
    server.send(Request::post("/api/auth/reset").json(&reset)).assert_refused(403, "invalid_code", "none");
    let second = server.login("alice");
    let sessions = server.get("/api/auth/sessions", &second.access).json();
    assert_eq!(sessions.as_array().unwrap().len(), 1, "{sessions}");
}

/// Rack wrote a session that was signed out back into its store at the end of another request (CVE-2025-32441).
#[test]
fn a_refresh_that_meets_a_sign_out_brings_no_session_back() {
    // Without a grace period every refresh writes a rotation.
    let server = Setup::new(SERVER).with("ARGON2_PROFILE", "low-memory").with("GRACE_SECS", 0).start();
    server.add_user("alice");
    let retry_key = Some("one-key-for-all-of-them");
    for _ in 0..20 {
        let alice = server.login("alice");
        let log_out = Request::post("/api/auth/logout").field("Cookie", &server.cookie(&alice.refresh));
        let (refreshed, status) = std::thread::scope(|scope| {
            let refreshes: Vec<_> =
                (0..4).map(|_| scope.spawn(|| server.refresh(&alice.refresh, retry_key))).collect();
            let status = server.send(log_out).status;
            (refreshes.into_iter().map(|refresh| refresh.join().unwrap()).collect::<Vec<_>>(), status)
        });
        assert_eq!(status, 204);
        server.refresh(&alice.refresh, retry_key).assert_refused(401, "session_ended", "login");
        for answer in refreshed.iter().filter(|answer| answer.status == 200) {
            let access = answer.json()["access_token"].as_str().unwrap().to_owned();
            server.get("/api/me", &access).assert_refused(401, "invalid_token", "refresh");
            if let Some(child) = answer.cookie_value() {
                server.refresh(&child, None).assert_refused(401, "session_ended", "login");
            }
        }
    }
}

/// A malformed cookie made authentik's forward authentication let a request through without a name (CVE-2026-25748).
#[test]
fn whatever_is_in_the_cookie_only_a_good_token_says_who_it_is() {
    let server = server_with_alice();
    let good = server.cookie(&server.login("alice").refresh);
    let name = good.split_once('=').unwrap().0;
    let verify = |cookie: &str| server.send(Request::get("/api/auth/verify").field("Cookie", cookie));
    assert_eq!(verify(&good).status, 204);
    assert_eq!(verify(&format!("a=\u{e4}; =; ;; {good}")).status, 204, "others may be of any kind");
    for cookie in [
        name.to_owned(),
        format!("{name}="),
        format!("{name}=\""),
        format!("{name}=\u{e4}"),
        format!("{name}=%00"),
        format!("{name}={{\"a\":1}}"),
        format!("{good}="),
        format!("{good}A"),
        format!("{good}, a=b"),
        format!("{good}; {good}"),
        format!("={good}"),
        good[..good.len() - 1].to_owned(),
        good.replace('=', "=\""),
        "a".repeat(4096),
    ] {
        let answer = verify(&cookie);
        assert!([400, 401].contains(&answer.status), "{cookie}: {answer:?}");
        assert_eq!(answer.field("x-auth-user"), None, "{cookie}");
    }
}

/// NextAuth took the token of a half-finished sign-in for a session (CVE-2023-48309), nuts-node a presentation for an
/// access token (CVE-2026-41164).
#[test]
fn a_token_of_one_kind_is_none_of_another() {
    let server = server_with_alice();
    server.add_admin("root");
    let (alice, root) = (server.login("alice"), server.login("root"));
    let id = server.get("/api/me", &alice.access).json()["user"]["id"].as_str().unwrap().to_owned();
    let path = format!("/api/admin/users/{id}/reset");
    let reset = server.send(Request::post(&path).bearer(&root.access)).json();
    let code = reset["code"].as_str().unwrap();

    for other in [alice.refresh.as_str(), code] {
        server.get("/api/me", other).assert_refused(401, "invalid_token", "refresh");
    }
    for other in [alice.access.as_str(), code] {
        assert_eq!(server.refresh(other, None).status, 401);
        let verify = Request::get("/api/auth/verify").field("Cookie", &server.cookie(other));
        assert_eq!(server.send(verify).status, 401);
    }
    for other in [alice.refresh.as_str(), alice.access.as_str(), PASSWORD] {
        let body = json!({"username": "alice", "code": other, "new": "another long pass phrase"});
        let answer = server.send(Request::post("/api/auth/reset").json(&body));
        assert!([400, 403].contains(&answer.status), "{answer:?}");
    }
    assert_eq!(server.refresh(&alice.refresh, None).status, 200, "and none of that ended the session");
}

/// Rack wrote what clients sent into its log as it was (CVE-2025-25184, CVE-2025-27111).
#[test]
fn what_clients_send_adds_neither_a_line_nor_an_escape_to_the_log() {
    const FORGED: &str = "log-in refused, from 6.6.6.6";
    let setup = Setup::new(SERVER).with("ARGON2_PROFILE", "low-memory").with("TRUSTED_PROXIES", "127.0.0.1");
    let server = setup.with_every_log_line().start();
    server.add_user("alice");
    for hostile in [
        FORGED.to_owned(),
        format!("\u{1b}[2J{FORGED}"),
        format!("\u{9b}{FORGED}"),
        format!("a\u{7f}\t{FORGED}"),
    ] {
        let with = |name: &str, value: &str| Request::login("alice", PASSWORD).field(name, value);
        for name in ["User-Agent", "X-Forwarded-For", "X-Real-IP", "Cookie", "Origin", "Idempotency-Key"] {
            server.send(with(name, &hostile));
        }
        server.send(with("Origin", &format!("https://evil.example{hostile}")));
        server.send(with("X-Forwarded-Host", &hostile).field("X-Forwarded-Proto", &hostile));
        server.send(Request::login(&format!("alice\r\n{hostile}"), PASSWORD));
        server.send(Request::get(&format!("/{}", hostile.replace([' ', '\t'], "_"))));
    }
    let log = server.log();
    assert!(log.contains("refused"), "{log}");
    assert!(!log.contains("6.6.6.6"), "{log}");
    assert!(log.chars().all(|c| c == '\n' || !c.is_control()), "{log:?}");
}

/// Better Auth's router took `//path` for `/path` (GHSA-x732-6j76-qmhm), and Oathkeeper judged a path that was another
/// once its dots were resolved (CVE-2026-33494).
#[test]
fn another_spelling_of_a_path_is_another_path() {
    let server = server_with_alice();
    let alice = server.login("alice");
    assert_eq!(server.get("/api/me", &alice.access).status, 200);
    for path in [
        "//api/me",
        "/api//me",
        "/api/./me",
        "/api/auth/../me",
        "/api/m%65",
        "/api%2Fme",
        "/api/me;a=b",
        "/api/me/.",
        "/api\\me",
        "/api/me%00",
        "/%2e/api/me",
    ] {
        server.get(path, &alice.access).assert_refused(404, "not_found", "none");
    }
    let log_in = |path: &str| {
        server.send(Request::post(path).json(&json!({"username": "alice", "password": PASSWORD}))).status
    };
    assert_eq!(
        [log_in("//api/auth/login"), log_in("/api/auth//login"), log_in("/api/auth/login")],
        [404, 404, 200]
    );
    assert!(printed(&server.run(&["user", "list"])).contains("alice"));
}
