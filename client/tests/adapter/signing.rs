//! Signing in and out.

use latchkey_client::{AddressError, Client, Error, SessionStore};

use crate::scenario::{REFRESH, Scenario, Setback, portal};
use crate::scripted::{Reply, Responder, json, problem};

#[test]
fn signing_in_asks_for_the_refresh_token_in_the_body() {
    let scenario = Scenario::signed_in(|_, _| json(200, "{}"));
    let login = &scenario.responder.asked()[0];
    assert_eq!((login.method.as_str(), login.path.as_str()), ("POST", "/api/auth/login"));
    assert_eq!(login.header("content-type"), "application/json");
    assert!(login.header("user-agent").starts_with("latchkey-client/"));
    assert_eq!(login.member("username"), "ada");
    assert_eq!(login.member("password"), "correct horse battery");
    assert_eq!(login.member("delivery"), "body");
    for absent in ["authorization", "cookie", "origin", "sec-fetch-site", "idempotency-key"] {
        assert_eq!(login.header(absent), "", "{absent}");
    }
    let identity = scenario.client.identity().unwrap();
    assert_eq!((identity.user.as_str(), identity.session.as_str()), ("ada", "handle"));
    assert_eq!(identity.origin.to_string(), scenario.responder.url);
}

#[test]
fn a_log_in_that_fails_says_how_and_keeps_nothing() {
    let cases: [(Setback, &str); 5] = [
        (|| problem(401, "invalid_credentials", "login"), "refused with status 401 (invalid_credentials)"),
        (|| problem(429, "too_many_requests", "wait"), "the server is busy"),
        (portal, "no answer from the server (something else than the server answered, with status 200)"),
        (|| problem(400, "malformed", "none"), "refused with status 400 (malformed)"),
        (
            || Reply::Answer(404, "", String::new()),
            "something else than the server answered, with status 404",
        ),
    ];
    for (reply, message) in cases {
        let responder = Responder::start(move |_, _| reply());
        let client = Client::builder().build().unwrap();
        let error = client.login(&responder.url, "ada", "secret").unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
        assert!(!error.to_string().contains("secret"));
        assert_eq!(client.identity(), None);
    }
}

#[test]
fn a_client_that_was_never_signed_in_says_so() {
    let client = Client::builder().build().unwrap();
    assert!(matches!(client.get("/api/me"), Err(Error::SignedOut { code: None })));
    assert!(matches!(
        client.login("http://192.0.2.1", "ada", "x"),
        Err(Error::Address(AddressError::PlainHttp))
    ));
}

#[test]
fn signing_in_again_ends_the_session_before() {
    let scenario = Scenario::signed_in(|_, _| Reply::Answer(204, "", String::new()));
    scenario.client.login(&scenario.responder.url, "ada", "correct horse battery").unwrap();
    let paths: Vec<String> = scenario.responder.asked().into_iter().map(|asked| asked.path).collect();
    assert_eq!(paths, ["/api/auth/login", "/api/auth/login", "/api/auth/logout"]);
}

#[test]
fn signing_out_ends_the_session_at_the_server() {
    let scenario = Scenario::signed_in(|_, _| Reply::Answer(204, "", String::new()));
    scenario.client.logout().unwrap();
    assert_eq!(scenario.responder.asked_of("/api/auth/logout")[0].member("refresh_token"), "b".repeat(72));
    assert!(scenario.store().read().unwrap().is_none());
    assert!(matches!(scenario.client.get("/api/me"), Err(Error::SignedOut { code: None })));
    scenario.client.logout().unwrap();
    assert_eq!(scenario.responder.asked_of("/api/auth/logout").len(), 1);
}

#[test]
fn signing_out_offline_keeps_the_session_until_it_is_forgotten() {
    let scenario = Scenario::signed_in(|_, _| Reply::Drop);
    assert!(matches!(scenario.client.logout(), Err(Error::Network(_))));
    assert!(scenario.client.identity().is_some() && scenario.store().read().unwrap().is_some());
    scenario.client.forget().unwrap();
    assert!(scenario.client.identity().is_none() && scenario.store().read().unwrap().is_none());
}

#[test]
fn signing_out_elsewhere_signs_out_here() {
    let scenario = Scenario::signed_in(|_, asked| match asked.path.as_str() {
        "/api/auth/logout" => Reply::Answer(204, "", String::new()),
        _ => problem(401, "invalid_token", "refresh"),
    });
    scenario.restarted().logout().unwrap();
    assert!(matches!(scenario.client.get("/api/me"), Err(Error::SignedOut { code: None })));
    assert!(
        scenario.responder.asked_of(REFRESH).is_empty(),
        "a token that another process ended is not shown again"
    );
}
