//! Login, use, 401, refresh, repeat: what a caller sees of it.

use std::sync::Barrier;
use std::thread;

use latchkey_client::{AddressError, Builder, Error};

use crate::scenario::{REFRESH, Scenario, after_setbacks, me, portal};
use crate::scripted::{Reply, Responder, json, problem, tokens};

#[test]
fn the_whole_cycle_is_told_line_by_line() {
    let scenario = Scenario::signed_in(after_setbacks(vec![]));
    let answer = scenario.client.get("/api/me?verbose=secret").unwrap();
    assert_eq!(answer.json::<serde_json::Value>().unwrap()["name"], "ada");
    assert_eq!(
        scenario.trace(),
        "→ GET /api/me\n\
         ← 401 invalid_token (action refresh)\n\
         → POST /api/auth/refresh\n\
         ← 200 rotated, access token for 600 s\n\
         → GET /api/me\n\
         ← 200"
    );
}

#[test]
fn a_second_401_is_returned_and_keeps_the_session() {
    let scenario = Scenario::signed_in(|_, asked| match asked.path.as_str() {
        REFRESH => tokens("a-2", 'c', true),
        _ => problem(401, "invalid_token", "refresh"),
    });
    let Err(Error::Refused(response)) = scenario.client.get("/api/me") else {
        panic!("expected the second 401")
    };
    assert_eq!(response.status(), 401);
    assert_eq!(scenario.responder.asked_of("/api/me").len(), 2);
    assert!(scenario.client.identity().is_some());
}

#[test]
fn a_post_is_repeated_whole() {
    let scenario = Scenario::signed_in(after_setbacks(vec![]));
    scenario.client.post_json("/api/things", &["one", "two"]).unwrap();
    let posts = scenario.responder.asked_of("/api/things");
    assert_eq!(posts.len(), 2);
    assert!(posts.iter().all(|post| post.method == "POST" && post.body == r#"["one","two"]"#));
}

#[test]
fn a_request_that_gets_no_answer_is_not_repeated() {
    let scenario = Scenario::signed_in(|_, _| Reply::Drop);
    assert!(matches!(scenario.client.post_json("/api/things", &1), Err(Error::Network(_))));
    assert_eq!(scenario.responder.asked_of("/api/things").len(), 1);
}

#[test]
fn other_refusals_are_returned_as_they_are() {
    let scenario = Scenario::signed_in(|_, _| problem(403, "insufficient_scope", "none"));
    let error = scenario.client.get("/api/admin/users").unwrap_err();
    assert_eq!(error.code().as_deref(), Some("insufficient_scope"));
    assert_eq!(error.to_string(), "refused with status 403 (insufficient_scope)");
}

#[test]
fn redirects_are_not_followed() {
    let scenario = Scenario::signed_in(|_, asked| match asked.path.as_str() {
        "/old" => Reply::Answer(307, "Location: /new\r\n", String::new()),
        _ => json(200, "{}"),
    });
    let Err(Error::Refused(response)) = scenario.client.get("/old") else {
        panic!("expected the redirect itself")
    };
    assert_eq!(response.status(), 307);
    assert!(scenario.responder.asked_of("/new").is_empty());
}

#[test]
fn the_token_goes_to_no_other_origin() {
    let scenario = Scenario::signed_in(|_, _| json(200, "{}"));
    let other = Responder::start(|_, _| json(200, "{}"));
    for target in [other.url.as_str(), "https://evil.example/", "//evil.example/"] {
        let error = scenario.client.get(target).unwrap_err();
        assert!(matches!(error, Error::Address(AddressError::OtherOrigin)), "{target}: {error}");
    }
    assert!(other.asked().is_empty());
    scenario.client.get(&format!("{}/api/me", scenario.responder.url)).unwrap();
}

#[test]
fn an_answer_of_more_than_a_mebibyte_is_refused() {
    let scenario = Scenario::signed_in(|_, asked| match asked.path.as_str() {
        "/fits" => json(200, &" ".repeat(1024 * 1024)),
        _ => json(200, &" ".repeat(1024 * 1024 + 1)),
    });
    assert!(scenario.client.get("/fits").is_ok());
    assert!(matches!(scenario.client.get("/too-long"), Err(Error::TooLong)));
}

#[test]
fn an_expired_token_is_refreshed_before_it_is_refused() {
    let scenario = Scenario::signed_in(after_setbacks(vec![]));
    scenario.clock.advance_secs(600);
    scenario.client.get("/api/me").unwrap();
    assert_eq!(scenario.responder.asked_of("/api/me").len(), 1);
}

#[test]
fn a_reactive_client_waits_for_the_401() {
    let scenario = Scenario::with(Builder::reactive, after_setbacks(vec![]));
    scenario.clock.advance_secs(600);
    scenario.client.get("/api/me").unwrap();
    assert_eq!(scenario.responder.asked_of("/api/me").len(), 2);
}

#[test]
fn many_threads_on_one_expired_token_make_one_refresh() {
    const THREADS: usize = 16;
    let scenario = Scenario::signed_in(after_setbacks(vec![]));
    let together = Barrier::new(THREADS);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                together.wait();
                scenario.client.get("/api/me").unwrap();
            });
        }
    });
    assert_eq!(scenario.responder.asked_of(REFRESH).len(), 1);
}

#[test]
fn when_the_one_refresh_fails_every_thread_is_told_and_the_session_is_kept() {
    const THREADS: usize = 8;
    let scenario = Scenario::signed_in(|_, asked| match asked.path.as_str() {
        REFRESH => problem(403, "cross_site", "none"),
        _ => me(asked, "-"),
    });
    let together = Barrier::new(THREADS);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                together.wait();
                let error = scenario.client.get("/api/me").unwrap_err();
                assert_eq!(error.code().as_deref(), Some("cross_site"));
            });
        }
    });
    assert!(scenario.client.identity().is_some());
}

#[test]
fn no_line_of_the_trace_tells_a_secret() {
    let scenario = Scenario::signed_in(after_setbacks(vec![portal, || problem(409, "superseded", "retry")]));
    scenario.client.get("/api/me?token=hush").unwrap();
    let key = scenario.responder.asked_of(REFRESH)[0].header("idempotency-key").to_owned();
    for secret in ["bbbb", "cccc", "a-1", "a-2", "hush", "correct horse", key.as_str()] {
        assert!(!scenario.trace().contains(secret), "{secret} in {}", scenario.trace());
    }
}

#[test]
fn an_access_token_is_handed_out_until_it_has_expired() {
    for build in [|builder| builder, Builder::reactive] {
        let scenario = Scenario::with(build, after_setbacks(vec![]));
        let token = scenario.client.access_token().unwrap();
        assert_eq!((token.as_str(), scenario.client.secs_left(&token)), ("a-1", 600));
        scenario.clock.advance_secs(599);
        assert_eq!(scenario.client.access_token().unwrap().as_str(), "a-1");
        scenario.clock.advance_secs(1);
        assert_eq!(scenario.client.secs_left(&token), 0);
        assert_eq!(scenario.client.access_token().unwrap().as_str(), "a-2");
        assert_eq!(format!("{token:?}"), "AccessToken(..)");
    }
}

#[test]
fn a_post_says_what_its_body_is() {
    let scenario = Scenario::signed_in(after_setbacks(vec![]));
    scenario.client.post("/api/things", "text/csv", b"a,b\n").unwrap();
    let posts = scenario.responder.asked_of("/api/things");
    assert_eq!(posts.len(), 2);
    assert!(posts.iter().all(|post| post.header("content-type") == "text/csv" && post.body == "a,b\n"));
    for bad in ["", "a\r\nX-Evil: 1"] {
        assert!(matches!(scenario.client.post("/", bad, b""), Err(Error::ContentType)), "{bad:?}");
    }
}
