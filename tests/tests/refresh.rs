//! The decision table over a real socket and a real store: every row that can be reached from outside.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use latchkey_tests::http::{Answer, Request};
use latchkey_tests::server::{Server, Setup, Tokens, copy_folder};
use serde_json::json;

const SERVER: &str = env!("CARGO_BIN_EXE_server-under-test");
const KEY_A: &str = "retry-key-aaaaaaaaaa";
const KEY_B: &str = "retry-key-bbbbbbbbbb";

/// A server without a grace period, so that every presented current token rotates, with alice signed in.
fn without_grace() -> (Server, Tokens) {
    signed_in(Setup::new(SERVER).with("GRACE_SECS", 0))
}

/// A server whose grace period outlasts every test, with alice signed in.
fn in_grace() -> (Server, Tokens) {
    signed_in(Setup::new(SERVER).with("GRACE_SECS", 60))
}

fn signed_in(setup: Setup) -> (Server, Tokens) {
    let server = setup.start();
    server.add_user("alice");
    let tokens = server.login("alice");
    (server, tokens)
}

#[track_caller]
fn rotated(answer: &Answer) -> Tokens {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["rotated"], true, "{answer:?}");
    Tokens::from(answer)
}

#[test]
fn row_0_a_token_with_a_wrong_tag_is_refused_and_the_cookie_stays() {
    let (server, tokens) = without_grace();
    let flipped = if tokens.refresh.ends_with('A') { "B" } else { "A" };
    let forged = format!("{}{flipped}", &tokens.refresh[..71]);
    for bad in [forged.as_str(), "", "x", &tokens.refresh[..71], &format!("{}A", tokens.refresh), "=%00 "] {
        let answer = server.refresh(bad, None);
        answer.assert_refused(401, "invalid_refresh_token", "login");
        assert_eq!(answer.field("set-cookie"), None, "{bad}");
    }
    server.send(Request::post("/api/auth/refresh")).assert_refused(401, "invalid_refresh_token", "login");
    rotated(&server.refresh(&tokens.refresh, None));
}

#[test]
fn row_1_a_session_that_was_signed_out_has_ended() {
    let (server, tokens) = without_grace();
    let logout = Request::post("/api/auth/logout").field("Cookie", &server.cookie(&tokens.refresh));
    assert_eq!(server.send(logout).status, 204);
    let answer = server.refresh(&tokens.refresh, None);
    answer.assert_refused(401, "session_ended", "login");
    assert!(answer.clears_cookie(), "{answer:?}");
}

#[test]
fn row_2_an_idle_session_expires() {
    let (server, tokens) = signed_in(Setup::new(SERVER).with("SESSION_INACTIVITY_SECS", 1));
    thread::sleep(Duration::from_millis(1001)); // the only way to let real time pass in a real server
    let answer = server.refresh(&tokens.refresh, None);
    answer.assert_refused(401, "session_expired", "login");
    assert!(answer.clears_cookie(), "{answer:?}");
    server.refresh(&tokens.refresh, None).assert_refused(401, "session_ended", "login");
}

#[test]
fn row_2_a_session_past_its_lifetime_expires_and_takes_its_access_token_along() {
    let (server, tokens) = signed_in(Setup::new(SERVER).with("SESSION_LIFETIME_SECS", 1));
    thread::sleep(Duration::from_millis(2001)); // it ends at a whole second
    server.get("/api/me", &tokens.access).assert_refused(401, "invalid_token", "refresh");
    server.refresh(&tokens.refresh, None).assert_refused(401, "session_expired", "login");
}

#[test]
fn row_3_disabling_a_user_revokes_the_sessions_at_once() {
    let (server, tokens) = in_grace();
    assert!(server.run(&["user", "disable", "alice"]).status.success());
    server.get("/api/me", &tokens.access).assert_refused(401, "invalid_token", "refresh");
    let answer = server.refresh(&tokens.refresh, None);
    answer.assert_refused(401, "session_revoked", "login");
    assert!(answer.clears_cookie(), "{answer:?}");

    assert!(server.run(&["user", "enable", "alice"]).status.success());
    server.refresh(&tokens.refresh, None).assert_refused(401, "session_ended", "login");
    server.login("alice");
}

#[test]
fn row_3_signing_out_everywhere_revokes_every_session() {
    let (server, here) = in_grace();
    let elsewhere = server.login("alice");
    assert_eq!(server.send(Request::post("/api/auth/logout-all").bearer(&here.access)).status, 204);
    for tokens in [here, elsewhere] {
        server.refresh(&tokens.refresh, None).assert_refused(401, "session_revoked", "login");
    }
}

#[test]
fn row_4_a_token_ahead_of_a_restored_store_heals_the_session() {
    let (mut server, first) = without_grace();
    server.stop();
    let backup = server.folder().join("backup");
    copy_folder(&server.data(), &backup);
    server.start();
    let second = rotated(&server.refresh(&first.refresh, None));
    let third = rotated(&server.refresh(&second.refresh, None));
    server.stop();
    copy_folder(&backup, &server.data());
    server.start();

    let healed = rotated(&server.refresh(&third.refresh, None));
    rotated(&server.refresh(&healed.refresh, None));
}

#[test]
fn row_5_in_grace_the_current_token_earns_an_access_token_and_no_cookie() {
    let (server, tokens) = in_grace();
    let answer = server.refresh(&tokens.refresh, Some(KEY_A));
    assert_eq!((answer.status, &answer.json()["rotated"]), (200, &json!(false)), "{answer:?}");
    assert_eq!(answer.field("set-cookie"), None);
    let access = answer.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(server.get("/api/me", &access).status, 200);

    let body = json!({"refresh_token": tokens.refresh});
    let answer = server.send(Request::post("/api/auth/refresh").json(&body));
    assert_eq!(answer.json()["refresh_token"], tokens.refresh, "in the body the same token comes back");
}

#[test]
fn row_5a_a_client_that_never_changes_its_retry_key_is_told_so() {
    let (server, first) = without_grace();
    let second = rotated(&server.refresh(&first.refresh, Some(KEY_A)));
    let answer = server.refresh(&second.refresh, Some(KEY_A));
    answer.assert_refused(400, "retry_key_reused", "none");
    assert_eq!(answer.field("set-cookie"), None);
    rotated(&server.refresh(&second.refresh, Some(KEY_B)));
}

#[test]
fn row_6_the_current_token_rotates_and_keeps_the_session() {
    let (server, first) = without_grace();
    let answer = server.refresh(&first.refresh, None);
    let second = rotated(&answer);
    assert_ne!(second.refresh, first.refresh);
    assert_eq!(second.session, first.session);
    assert_eq!(second.refresh.len(), 72);
    assert_eq!(answer.json()["user"]["name"], "alice");
    assert_eq!(server.get("/api/me", &second.access).status, 200);
}

#[test]
fn row_7_one_behind_in_grace_gets_the_same_child() {
    // Grace begins with the rotation, and a session starts in grace: let the first one pass.
    let (server, first) = signed_in(Setup::new(SERVER).with("GRACE_SECS", 3));
    thread::sleep(Duration::from_millis(3001));
    let winner = rotated(&server.refresh(&first.refresh, None));
    let loser = rotated(&server.refresh(&first.refresh, None));
    assert_eq!(winner.refresh, loser.refresh);
    thread::sleep(Duration::from_millis(3001));
    server.refresh(&first.refresh, None).assert_refused(401, "session_revoked", "login");
}

#[test]
fn row_8_a_lost_answer_is_given_again_for_the_same_retry_key() {
    let (mut server, first) = without_grace();
    let lost = rotated(&server.refresh(&first.refresh, Some(KEY_A)));
    server.kill();
    server.start();
    let again = rotated(&server.refresh(&first.refresh, Some(KEY_A)));
    assert_eq!(again.refresh, lost.refresh);
}

#[test]
fn row_8a_a_late_duplicate_is_declined_and_ends_nothing() {
    let (server, first) = without_grace();
    let second = rotated(&server.refresh(&first.refresh, Some(KEY_A)));
    let third = rotated(&server.refresh(&second.refresh, Some(KEY_B)));
    let answer = server.refresh(&first.refresh, Some(KEY_A));
    answer.assert_refused(409, "superseded", "retry");
    assert_eq!(answer.field("set-cookie"), None);
    rotated(&server.refresh(&third.refresh, None));
}

#[test]
fn row_9_reuse_revokes_this_session_only_and_survives_kill_9() {
    let (mut server, first) = without_grace();
    let other_device = server.login("alice");
    let second = rotated(&server.refresh(&first.refresh, Some(KEY_A)));

    let answer = server.refresh(&first.refresh, Some(KEY_B));
    server.kill();
    answer.assert_refused(401, "session_revoked", "login");
    assert!(answer.clears_cookie(), "{answer:?}");
    assert!(server.log().contains("a spent refresh token was presented"));

    server.start();
    server.refresh(&second.refresh, None).assert_refused(401, "session_ended", "login");
    server.get("/api/me", &second.access).assert_refused(401, "invalid_token", "refresh");
    rotated(&server.refresh(&other_device.refresh, None));
}

#[test]
fn thirty_two_threads_on_one_token_all_get_one_child() {
    let (server, first) = signed_in(Setup::new(SERVER).with("GRACE_SECS", 5));
    thread::sleep(Duration::from_millis(5001)); // grace over
    let threads = 32;
    let barrier = Barrier::new(threads);
    let children: Vec<Tokens> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    rotated(&server.refresh(&first.refresh, None))
                })
            })
            .collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(children.iter().all(|child| child.refresh == children[0].refresh), "one child");
    assert_ne!(children[0].refresh, first.refresh);
}

#[test]
fn a_killed_server_goes_on_in_the_same_session() {
    let (mut server, first) = without_grace();
    server.kill();
    server.start();
    assert_eq!(server.get("/api/me", &first.access).status, 200);
    let second = rotated(&server.refresh(&first.refresh, None));
    server.kill();
    server.start();
    let third = rotated(&server.refresh(&second.refresh, None));
    assert_eq!(third.session, first.session);
}

#[test]
fn retry_keys_are_16_to_64_visible_ascii_characters() {
    let (server, tokens) = in_grace();
    for good in ["x".repeat(16), "~".repeat(64)] {
        assert_eq!(server.refresh(&tokens.refresh, Some(&good)).status, 200, "{good}");
    }
    for bad in ["x".repeat(15), "x".repeat(65), "sixteen  letters".to_owned(), String::new()] {
        server.refresh(&tokens.refresh, Some(&bad)).assert_refused(400, "bad_request", "none");
    }
    let doubled = Request::post("/api/auth/refresh")
        .field("Cookie", &server.cookie(&tokens.refresh))
        .field("Idempotency-Key", KEY_A)
        .field("Idempotency-Key", KEY_A);
    server.send(doubled).assert_refused(400, "bad_request", "none");
}
