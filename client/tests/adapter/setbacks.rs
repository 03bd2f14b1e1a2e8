//! Everything that a network or a server can do to a refresh.

use std::sync::Mutex;
use std::time::Duration;

use latchkey_client::{Error, SessionStore};

use crate::scenario::{REFRESH, Scenario, Setback, after_setbacks, me, portal};
use crate::scripted::{Reply, json, problem, tokens};

#[test]
fn nothing_that_a_network_does_signs_out() {
    let setbacks: [Setback; 12] = [
        || Reply::Drop,
        || {
            Reply::Bytes(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{\"acc",
            )
        },
        || Reply::Bytes("no HTTP at all\r\n\r\n"),
        portal,
        || Reply::Answer(302, "Location: http://192.0.2.1/portal\r\n", String::new()),
        || Reply::Answer(401, "Content-Type: text/html\r\n", "<html>proxy login</html>".into()),
        || json(401, r#"{"type":"urn:latchkey:session_revoked"}"#),
        || Reply::Answer(502, "", "bad gateway".into()),
        || problem(503, "overloaded", "retry"),
        || problem(409, "superseded", "retry"),
        || problem(429, "too_many_requests", "wait"),
        || Reply::Answer(200, "Content-Type: application/json\r\n", " ".repeat(17 * 1024)),
    ];
    for (number, setback) in setbacks.into_iter().enumerate() {
        let scenario = Scenario::signed_in(after_setbacks(vec![setback]));
        assert!(scenario.client.get("/api/me").is_ok(), "setback {number}: {}", scenario.trace());
        let attempts = scenario.responder.asked_of(REFRESH);
        assert_eq!(attempts.len(), 2, "setback {number}");
        assert_eq!(attempts[0].member("refresh_token"), attempts[1].member("refresh_token"));
        assert_eq!(attempts[0].header("idempotency-key"), attempts[1].header("idempotency-key"));
        assert_eq!(attempts[0].header("idempotency-key").len(), 32);
    }
}

#[test]
fn a_time_out_is_offline_and_the_session_is_kept() {
    let scenario = Scenario::with(
        |builder| builder.timeout(Duration::from_millis(50)),
        |_, asked| if asked.path == REFRESH { Reply::Silence } else { me(asked, "a-2") },
    );
    assert!(matches!(scenario.client.get("/api/me"), Err(Error::Network(_))));
    // The client may give up before a busy machine has read what it sent.
    while scenario.responder.asked_of(REFRESH).len() < 3 {
        std::thread::yield_now();
    }
    assert!(scenario.client.identity().is_some());
    assert_eq!(scenario.state()["refresh_token"], "b".repeat(72));
}

#[test]
fn a_captive_portal_is_offline_whatever_it_says() {
    let scenario =
        Scenario::signed_in(|_, asked| if asked.path == REFRESH { portal() } else { me(asked, "-") });
    assert!(matches!(scenario.client.get("/api/me"), Err(Error::Network(_))));
    assert!(scenario.client.identity().is_some());
}

#[test]
fn after_a_lost_answer_the_next_token_waits_until_no_duplicate_can_be_alive() {
    let refreshes = Mutex::new([Reply::Drop, tokens("a-2", 'c', true), tokens("a-3", 'd', true)].into_iter());
    let scenario = Scenario::signed_in(move |_, asked| match asked.path.as_str() {
        REFRESH => refreshes.lock().unwrap().next().unwrap(),
        "/new" => me(asked, "a-3"),
        _ => me(asked, "a-2"),
    });
    scenario.client.get("/old").unwrap();
    assert_eq!(scenario.clock.waits_secs(), [] as [u64; 0], "the same token with the same key does not wait");
    scenario.clock.advance_secs(4);
    scenario.client.get("/new").unwrap();
    assert_eq!(scenario.clock.waits_secs(), [11]);
    assert!(scenario.trace().contains("\n… waiting 11.0 s\n"), "{}", scenario.trace());
}

#[test]
fn a_short_retry_after_is_waited_for_and_a_long_one_is_reported() {
    let busy = || {
        let Reply::Answer(status, _, body) = problem(429, "too_many_requests", "wait") else {
            unreachable!()
        };
        Reply::Answer(status, "Content-Type: application/problem+json\r\nRetry-After: 7\r\n", body)
    };
    let scenario = Scenario::signed_in(after_setbacks(vec![busy]));
    scenario.client.get("/api/me").unwrap();
    assert_eq!(scenario.clock.waits_secs(), [7]);

    let busy = || Reply::Answer(503, "Retry-After: 45\r\n", String::new());
    let scenario = Scenario::signed_in(after_setbacks(vec![busy]));
    assert!(matches!(scenario.client.get("/api/me"), Err(Error::Network(_))));
    let Err(Error::Busy { retry_after_secs: Some(45) }) = scenario.client.get("/api/me") else {
        panic!("expected to be told to wait");
    };
    assert_eq!(scenario.responder.asked_of(REFRESH).len(), 1, "and nobody asks before that");
    scenario.clock.advance_secs(45);
    scenario.client.get("/api/me").unwrap();
}

#[test]
fn only_our_own_401_from_refresh_signs_out_and_the_file_is_gone() {
    let scenario = Scenario::signed_in(|_, asked| match asked.path.as_str() {
        REFRESH => problem(401, "session_revoked", "login"),
        _ => problem(401, "invalid_token", "refresh"),
    });
    for _ in 0..2 {
        let Err(Error::SignedOut { code }) = scenario.client.get("/api/me") else {
            panic!("expected signed out")
        };
        assert_eq!(code.as_deref(), Some("session_revoked"));
    }
    assert_eq!(scenario.responder.asked_of(REFRESH).len(), 1);
    assert_eq!(scenario.client.identity(), None);
    assert!(scenario.store().read().unwrap().is_none());
}

#[test]
fn a_refresh_that_is_refused_for_another_reason_keeps_the_session_and_is_not_repeated() {
    let scenario = Scenario::signed_in(|_, asked| match asked.path.as_str() {
        REFRESH => problem(400, "retry_key_reused", "none"),
        _ => problem(401, "invalid_token", "refresh"),
    });
    let error = scenario.client.get("/api/me").unwrap_err();
    assert_eq!(error.code().as_deref(), Some("retry_key_reused"));
    assert_eq!(scenario.responder.asked_of(REFRESH).len(), 1);
    assert!(scenario.client.identity().is_some());
}
