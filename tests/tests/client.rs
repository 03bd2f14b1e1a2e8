//! The whole cycle with the real client against the real server: log in, use, 401, refresh, repeat, signed out.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use latchkey_client::FileStore;
use latchkey_tests::client::Client;
use latchkey_tests::http::Request;
use latchkey_tests::server::{PASSWORD, Server, Setup};

const SERVER: &str = env!("CARGO_BIN_EXE_server-under-test");
const CLIENT: &str = env!("CARGO_BIN_EXE_client-under-test");

/// A server whose access tokens last two seconds at most and whose refresh tokens rotate every time.
fn impatient_server() -> Server {
    let server = Setup::new(SERVER).with("ACCESS_TTL_SECS", 2).with("GRACE_SECS", 0).start();
    server.add_user("alice");
    server
}

#[test]
fn the_trace_shows_the_whole_cycle() {
    let server = impatient_server();
    let client = Client::new(CLIENT);
    let login = client.login_with(&server, "alice", PASSWORD);
    assert_eq!(login.output, format!("signed in to {} as alice\n", server.url()));
    assert_eq!(login.trace, ["→ POST /api/auth/login", "← 200 signed in as alice, access token for 2 s"]);

    let run = client.run(&["get", "/api/me", "--every", "1", "--repeat", "5"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let refresh = ["→ POST /api/auth/refresh", "← 200 rotated, access token for 2 s"];
    let used = ["→ GET /api/me", "← 200"];
    let expired = ["→ GET /api/me", "← 401 invalid_token (action refresh)"];
    assert_eq!(run.trace[..4], [refresh, used].concat());
    let cycle = [expired, refresh, used].concat();
    assert!(run.trace.windows(cycle.len()).any(|lines| lines == cycle), "{run:?}");
    assert_eq!(run.output.lines().count(), 5, "the user sees five answers");
    assert!(run.output.lines().all(|line| line.contains("\"name\":\"alice\"")), "{run:?}");

    let logout = client.run(&["logout"]);
    assert_eq!((logout.code, logout.output.as_str()), (Some(0), "signed out\n"));
    let after = client.run(&["get", "/api/me"]);
    assert_eq!(after.code, Some(3), "{after:?}");
}

#[test]
fn over_ten_expiries_the_client_rotates_each_time_and_its_user_never_notices() {
    let server = impatient_server();
    let client = Client::new(CLIENT);
    client.login(&server, "alice");
    let run = client.run(&["get", "/api/me", "--every", "1", "--repeat", "36"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(run.output.matches("\"name\":\"alice\"").count(), 36, "{run:?}");
    let expiries = run.count("← 401 invalid_token (action refresh)");
    assert!(expiries >= 10, "{run:?}");
    // One rotation at the start, where no access token is kept, then one an expiry.
    assert_eq!(run.count("← 200 rotated"), expiries + 1, "{run:?}");
    assert_eq!(server.log().matches("WARN").count(), 1, "only the warning about the grace period");
}

#[test]
fn kill_9_of_the_server_between_two_requests_does_not_end_the_session() {
    let mut server = impatient_server();
    let client = Client::new(CLIENT);
    client.login(&server, "alice");
    let before = client.run(&["status"]).output;
    for _ in 0..5 {
        assert_eq!(client.run(&["get", "/api/me"]).code, Some(0));
        server.kill();
        let offline = client.run(&["get", "/api/me"]);
        assert_eq!(offline.code, Some(4), "offline is not signed out: {offline:?}");
        server.start();
    }
    assert_eq!(client.run(&["get", "/api/me"]).code, Some(0));
    assert_eq!(client.run(&["status"]).output, before);
}

#[test]
fn a_session_that_the_server_ended_is_signed_out_and_forgotten() {
    let server = impatient_server();
    let client = Client::new(CLIENT);
    client.login(&server, "alice");
    assert!(server.run(&["user", "disable", "alice"]).status.success());
    let run = client.run(&["get", "/api/me"]);
    assert_eq!(run.code, Some(3), "{run:?}");
    assert!(run.trace.contains(&"← 401 session_revoked (action login)".to_owned()), "{run:?}");
    assert_eq!(client.run(&["status"]).code, Some(3));
}

#[test]
fn a_wrong_password_is_said_and_signs_nobody_in() {
    let server = impatient_server();
    let client = Client::new(CLIENT);
    let run = client.login_with(&server, "alice", "wrong wrong wrong");
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.trace.iter().any(|line| line.contains("name or the password is wrong")), "{run:?}");
    assert_eq!(client.run(&["status"]).code, Some(3));
}

#[test]
fn the_token_goes_to_the_origin_that_was_signed_in_to_and_nowhere_else() {
    let (server, other) = (impatient_server(), impatient_server());
    let client = Client::new(CLIENT);
    client.login(&server, "alice");
    let run = client.run(&["get", &format!("{}/api/me", other.url())]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert_eq!(run.count("→"), 0, "nothing was sent: {run:?}");
}

#[test]
fn neither_trace_nor_output_holds_a_token_and_the_state_is_private() {
    let server = impatient_server();
    let client = Client::new(CLIENT);
    client.login(&server, "alice");
    let state = fs::read_to_string(client.state()).unwrap();
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    let refresh_token = state["refresh_token"].as_str().unwrap();
    assert_eq!(refresh_token.len(), 72);
    assert_eq!(fs::metadata(client.state()).unwrap().permissions().mode() & 0o777, 0o600);
    let run = client.run(&["get", "/api/me"]);
    let shown = format!("{}{}{}", run.output, run.trace.concat(), server.log());
    assert!(
        !shown.contains(&refresh_token[..60]) && !shown.contains("eyJ") && !shown.contains(PASSWORD),
        "{shown}"
    );
}

#[test]
fn sixty_four_threads_on_one_expired_token_refresh_once() {
    let server = Setup::new(SERVER).with("ACCESS_TTL_SECS", 1).with("GRACE_SECS", 0).start();
    server.add_user("alice");
    let folder = tempfile::tempdir().unwrap();
    let build =
        || latchkey_client::Client::builder().store(FileStore::new(folder.path().join("session.json")));
    for client in [build().build().unwrap(), build().reactive().build().unwrap()] {
        client.login(&server.url(), "alice", PASSWORD).unwrap();
        let before = refreshes_counted(&server);
        thread::sleep(Duration::from_millis(2001)); // the access token expires
        let together = Barrier::new(64);
        thread::scope(|scope| {
            for _ in 0..64 {
                scope.spawn(|| {
                    together.wait();
                    client.get("/api/me").unwrap();
                });
            }
        });
        assert_eq!(refreshes_counted(&server), before + 1);
    }
}

/// How many refreshes reached the server, by its own count.
fn refreshes_counted(server: &Server) -> u64 {
    let metrics = server.send(Request::get("/metrics")).body;
    let kinds = ["rotated", "concurrent", "retried"].map(|kind| format!("latchkey_refreshes_{kind}_total "));
    let count =
        |kind: &String| metrics.lines().find_map(|line| line.strip_prefix(kind)).unwrap().parse::<u64>();
    kinds.iter().map(|kind| count(kind).unwrap()).sum()
}
