//! Every endpoint: its success, its refusals, and the fields that keep tokens out of caches and away from other sites.

use latchkey_tests::http::{Answer, Request};
use latchkey_tests::server::{PASSWORD, Server, Setup, Tokens};
use serde_json::{Value, json};

const SERVER: &str = env!("CARGO_BIN_EXE_server-under-test");
const OTHER_PASSWORD: &str = "another long pass phrase";

fn server_with_alice() -> Server {
    let server = Setup::new(SERVER).start();
    server.add_user("alice");
    server
}

fn without_request_id(answer: &Answer) -> (u16, Vec<(String, String)>, Value) {
    let mut body = answer.json();
    body["request_id"] = Value::Null;
    let fields = answer.fields.iter().filter(|(name, _)| name != "date").cloned().collect();
    (answer.status, fields, body)
}

#[test]
fn login_hands_out_an_access_token_in_the_body_and_a_refresh_token_in_a_strict_cookie() {
    let server = server_with_alice();
    let answer = server.try_login("alice", PASSWORD);
    assert_eq!(answer.status, 200);
    let body = answer.json();
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["expires_in"], 600);
    assert_eq!(body["session"].as_str().unwrap().len(), 22);
    assert_eq!(body["user"]["name"], "alice");
    assert_eq!(body["user"]["role"], "user");
    assert_eq!(body.get("refresh_token"), None, "not where a script could read it");
    assert_eq!(answer.field("cache-control"), Some("no-store"));
    let cookie = answer.field("set-cookie").unwrap();
    let expected = format!("latchkey-dev-{}=", server.address().port());
    assert!(cookie.starts_with(&expected), "{cookie}");
    assert!(cookie.ends_with("; Max-Age=604800; HttpOnly; SameSite=Strict; Path=/"), "{cookie}");
}

#[test]
fn an_access_token_says_who_where_and_for_how_long() {
    let server = server_with_alice();
    let answer = server.try_login("alice", PASSWORD).json();
    let token = answer["access_token"].as_str().unwrap();
    let decode = |part: &str| -> Value {
        use base64ct::{Base64UrlUnpadded, Encoding};
        serde_json::from_slice(&Base64UrlUnpadded::decode_vec(part).unwrap()).unwrap()
    };
    let parts: Vec<&str> = token.split('.').collect();
    assert_eq!(decode(parts[0]), json!({"alg": "HS256", "typ": "at+jwt", "kid": "1"}));
    let claims = decode(parts[1]);
    assert_eq!(claims["iss"], server.url());
    assert_eq!(claims["aud"], server.url());
    assert_eq!(claims["sub"], answer["user"]["id"]);
    assert_eq!(claims["sid"], answer["session"]);
    assert_eq!(claims["role"], "user");
    let life = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
    assert!((600..=601).contains(&life), "at least what expires_in announces: {life}");
    assert!(!claims["jti"].as_str().unwrap().is_empty());
}

#[test]
fn behind_https_the_cookie_carries_the_host_prefix_and_secure() {
    let server = Setup::new(SERVER).with("PUBLIC_URL", "https://auth.example.com").start();
    server.add_user("alice");
    let answer = server.try_login("alice", PASSWORD);
    let cookie = answer.field("set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-latchkey="), "{cookie}");
    assert!(cookie.ends_with("; Secure; HttpOnly; SameSite=Strict; Path=/"), "{cookie}");

    let token = Tokens::from(&answer).refresh;
    let with_other_name =
        Request::post("/api/auth/refresh").field("Cookie", &format!("latchkey-dev-443={token}"));
    server.send(with_other_name).assert_refused(401, "invalid_refresh_token", "login");
    let with_ours = Request::post("/api/auth/refresh").field("Cookie", &format!("__Host-latchkey={token}"));
    assert_eq!(server.send(with_ours).status, 200);
}

#[test]
fn login_with_delivery_body_sets_no_cookie_and_is_not_for_browsers() {
    let server = server_with_alice();
    let body = json!({"username": "alice", "password": PASSWORD, "delivery": "body"});
    let answer = server.send(Request::post("/api/auth/login").json(&body));
    assert_eq!(answer.status, 200);
    assert_eq!(answer.field("set-cookie"), None);
    let refresh_token = answer.json()["refresh_token"].as_str().unwrap().to_owned();
    for (name, value) in [("Origin", server.url()), ("Sec-Fetch-Site", "none".to_owned())] {
        let from_browser = Request::post("/api/auth/login").json(&body).field(name, &value);
        server.send(from_browser).assert_refused(400, "bad_request", "none");
        let refresh = Request::post("/api/auth/refresh")
            .json(&json!({"refresh_token": refresh_token}))
            .field(name, &value);
        server.send(refresh).assert_refused(400, "bad_request", "none");
    }
}

#[test]
fn unknown_wrong_empty_and_disabled_log_ins_get_the_same_answer() {
    let server = server_with_alice();
    server.add_user("bob");
    assert!(server.run(&["user", "disable", "bob"]).status.success());
    let wrong = server.try_login("alice", "wrong wrong wrong wrong");
    wrong.assert_refused(401, "invalid_credentials", "login");
    for (name, password) in
        [("nobody", PASSWORD), ("alice", ""), ("bob", PASSWORD), ("", PASSWORD), ("\u{7}", PASSWORD)]
    {
        let answer = server.try_login(name, password);
        assert_eq!(without_request_id(&answer), without_request_id(&wrong), "{name:?} {password:?}");
    }
}

#[test]
fn names_are_compared_case_folded_and_passwords_are_not() {
    let server = server_with_alice();
    assert_eq!(server.try_login("ALICE", PASSWORD).status, 200);
    assert_eq!(server.try_login("alice", &PASSWORD.to_uppercase()).status, 401);
    assert_eq!(server.try_login("alice", &format!("{PASSWORD} ")).status, 401);
}

#[test]
fn escaped_and_non_bmp_characters_are_the_characters_they_stand_for() {
    let server = Setup::new(SERVER).start();
    let password = "pass \u{1f511} word \"quoted\" \\ äöü";
    let added = server.run_with_input(&["user", "add", "zoë\u{1f98a}", "--password-stdin"], password);
    assert!(added.status.success(), "{added:?}");
    assert_eq!(server.try_login("zoë\u{1f98a}", password).status, 200);
    let escaped = r#"{"username": "zo\u00eb\ud83e\udd8a",
        "password": "pass \ud83d\udd11 w\u006frd \u0022quoted\" \\ \u00e4\u00F6ü"}"#;
    let answer = server.send(Request::post("/api/auth/login").body("application/json", escaped));
    assert_eq!(answer.status, 200, "{answer:?}");
    let decomposed = server.try_login("zoe\u{308}\u{1f98a}", password);
    assert_eq!(decomposed.status, 200, "a name is NFC however it was typed");
}

#[test]
fn a_session_presented_with_a_log_in_ends() {
    let server = server_with_alice();
    let first = server.login("alice");
    let again = Request::login("alice", PASSWORD).field("Cookie", &server.cookie(&first.refresh));
    let second = Tokens::from(&server.send(again));
    server.refresh(&first.refresh, None).assert_refused(401, "session_ended", "login");
    assert_eq!(server.refresh(&second.refresh, None).status, 200);
}

#[test]
fn a_sixty_fifth_session_ends_the_one_idle_for_longest() {
    let server = Setup::new(SERVER).with("ARGON2_PROFILE", "low-memory").start();
    server.add_user("alice");
    let sessions: Vec<Tokens> = (0..65).map(|_| server.login("alice")).collect();
    let listed = server.get("/api/auth/sessions", &sessions[64].access).json();
    assert_eq!(listed.as_array().unwrap().len(), 64);
    server.refresh(&sessions[0].refresh, None).assert_refused(401, "session_ended", "login");
    assert_eq!(server.refresh(&sessions[1].refresh, None).status, 200);
}

#[test]
fn the_answer_of_a_refresh_goes_where_the_token_came_from() {
    let server = Setup::new(SERVER).with("GRACE_SECS", 0).start();
    server.add_user("alice");
    let first = server.login("alice");
    let in_body =
        server.send(Request::post("/api/auth/refresh").json(&json!({"refresh_token": first.refresh})));
    assert_eq!((in_body.status, in_body.field("set-cookie")), (200, None));
    let second = Tokens::from(&in_body);
    assert_ne!(second.refresh, first.refresh);

    let in_cookie = server.refresh(&second.refresh, None);
    assert_eq!(in_cookie.json().get("refresh_token"), None);
    let third = Tokens::from(&in_cookie);

    let both = Request::post("/api/auth/refresh")
        .field("Cookie", &server.cookie(&third.refresh))
        .json(&json!({"refresh_token": third.refresh}));
    server.send(both).assert_refused(400, "bad_request", "none");
    let doubled = format!("{0}; {0}", server.cookie(&third.refresh));
    let doubled = Request::post("/api/auth/refresh").field("Cookie", &doubled);
    server.send(doubled).assert_refused(400, "bad_request", "none");
    assert_eq!(server.refresh(&third.refresh, None).status, 200, "neither harmed the session");
}

#[test]
fn logout_ends_the_session_by_any_of_its_tokens_and_is_204_for_any_token() {
    let server = Setup::new(SERVER).with("GRACE_SECS", 0).start();
    server.add_user("alice");
    let first = server.login("alice");
    let second = Tokens::from(&server.refresh(&first.refresh, None));
    let logout =
        |token: &str| server.send(Request::post("/api/auth/logout").field("Cookie", &server.cookie(token)));
    let answer = logout(&first.refresh);
    assert_eq!(answer.status, 204);
    assert!(answer.clears_cookie(), "{answer:?}");
    server.refresh(&second.refresh, None).assert_refused(401, "session_ended", "login");
    server.get("/api/me", &second.access).assert_refused(401, "invalid_token", "refresh");
    assert_eq!(logout(&first.refresh).status, 204);
    assert_eq!(logout("rubbish").status, 204);
    assert_eq!(server.send(Request::post("/api/auth/logout")).status, 204);

    let third = server.login("alice");
    let by_body = Request::post("/api/auth/logout").json(&json!({"refresh_token": third.refresh}));
    assert_eq!(server.send(by_body).status, 204);
    server.refresh(&third.refresh, None).assert_refused(401, "session_ended", "login");
}

#[test]
fn me_tells_who_and_until_when() {
    let server = server_with_alice();
    let tokens = server.login("alice");
    let answer = server.get("/api/me", &tokens.access);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.field("cache-control"), Some("no-store"));
    assert_eq!(answer.json()["user"]["name"], "alice");
    assert_eq!(answer.json()["session"], tokens.session);
    let head = server.send(Request::new("HEAD", "/api/me").bearer(&tokens.access));
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[test]
fn a_protected_endpoint_challenges_without_an_error_code_when_nothing_was_sent() {
    let server = server_with_alice();
    let tokens = server.login("alice");
    for (method, path) in [
        ("GET", "/api/me"),
        ("GET", "/api/auth/sessions"),
        ("DELETE", "/api/auth/sessions/AAAAAAAAAAAAAAAAAAAAAA"),
        ("POST", "/api/auth/logout-all"),
        ("POST", "/api/auth/password"),
    ] {
        let missing = server.send(Request::new(method, path));
        missing.assert_refused(401, "missing_token", "refresh");
        assert_eq!(missing.field("www-authenticate"), Some("Bearer realm=\"latchkey\""));
        let basic = server.send(Request::new(method, path).field("Authorization", "Basic YTpi"));
        basic.assert_refused(401, "missing_token", "refresh");
        let wrong = server.send(Request::new(method, path).bearer(&tokens.access[1..]));
        wrong.assert_refused(401, "invalid_token", "refresh");
        assert!(wrong.field("www-authenticate").unwrap().contains("error=\"invalid_token\""));
        let refresh_token = server.send(Request::new(method, path).bearer(&tokens.refresh));
        refresh_token.assert_refused(401, "invalid_token", "refresh");
    }
    let lower_case = Request::get("/api/me").field("authorization", &format!("bearer {}", tokens.access));
    assert_eq!(server.send(lower_case).status, 200);
    let doubled = Request::get("/api/me").bearer(&tokens.access).bearer(&tokens.access);
    server.send(doubled).assert_refused(400, "bad_request", "none");
}

#[test]
fn sessions_lists_the_living_ones_with_the_current_marked() {
    let server = server_with_alice();
    server.add_user("bob");
    let _foreign = server.login("bob");
    let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    let older = Tokens::from(&server.send(Request::login("alice", PASSWORD).field("User-Agent", firefox)));
    let current = server.login("alice");
    let list = server.get("/api/auth/sessions", &current.access).json();
    let list = list.as_array().unwrap();
    assert_eq!(list.len(), 2);
    let of = |handle: &str| list.iter().find(|entry| entry["session"] == handle).unwrap();
    assert_eq!(of(&current.session)["current"], true);
    assert_eq!(of(&older.session)["current"], false);
    assert_eq!(of(&older.session)["label"], "Firefox on Linux");
    assert_eq!(of(&older.session)["address"], "127.0.0.1");
}

#[test]
fn ending_a_session_works_for_ones_own_and_is_404_for_any_other() {
    let server = server_with_alice();
    server.add_user("bob");
    let (alice, alices_phone, bob) = (server.login("alice"), server.login("alice"), server.login("bob"));
    let end = |handle: &str| {
        server.send(Request::delete(&format!("/api/auth/sessions/{handle}")).bearer(&alice.access))
    };
    for foreign in [bob.session.as_str(), "AAAAAAAAAAAAAAAAAAAAAA", "x", "AAAAAAAAAAAAAAAAAAAAA%2F"] {
        end(foreign).assert_refused(404, "not_found", "none");
    }
    assert_eq!(server.get("/api/me", &bob.access).status, 200);

    assert_eq!(end(&alices_phone.session).status, 204);
    server.get("/api/me", &alices_phone.access).assert_refused(401, "invalid_token", "refresh");
    end(&alices_phone.session).assert_refused(404, "not_found", "none");

    let own = end(&alice.session);
    assert_eq!(own.status, 204);
    assert!(own.clears_cookie(), "{own:?}");
    server.get("/api/me", &alice.access).assert_refused(401, "invalid_token", "refresh");
}

#[test]
fn logout_all_ends_every_session_of_the_user_and_no_one_elses() {
    let server = server_with_alice();
    server.add_user("bob");
    let (here, there, bob) = (server.login("alice"), server.login("alice"), server.login("bob"));
    let answer = server.send(Request::post("/api/auth/logout-all").bearer(&here.access));
    assert_eq!(answer.status, 204);
    assert!(answer.clears_cookie(), "{answer:?}");
    for tokens in [&here, &there] {
        server.get("/api/me", &tokens.access).assert_refused(401, "invalid_token", "refresh");
    }
    assert_eq!(server.get("/api/me", &bob.access).status, 200);
}

#[test]
fn a_password_change_keeps_this_session_and_ends_the_others() {
    let server = server_with_alice();
    let (here, there) = (server.login("alice"), server.login("alice"));
    let change = |current: &str, new: &str| {
        let body = json!({"current": current, "new": new});
        server.send(Request::post("/api/auth/password").bearer(&here.access).json(&body))
    };
    change("wrong wrong wrong", OTHER_PASSWORD).assert_refused(403, "wrong_password", "none");
    for (weak, reason) in [
        ("fourteen chars", "too_short"),
        ("I am Alice, you see", "contains_name"),
        (&"x".repeat(257), "too_long"),
        ("Password-2026-Sunshine", "common"),
    ] {
        let answer = change(PASSWORD, weak);
        answer.assert_refused(422, "weak_password", "none");
        assert_eq!(answer.json()["reasons"], json!([reason]));
        assert!(answer.json()["detail"].as_str().unwrap().starts_with("the password "), "{answer:?}");
    }
    assert_eq!(server.get("/api/me", &there.access).status, 200, "nothing has changed yet");

    assert_eq!(change(PASSWORD, OTHER_PASSWORD).status, 204);
    assert_eq!(server.get("/api/me", &here.access).status, 200);
    assert_eq!(server.refresh(&here.refresh, None).status, 200);
    server.get("/api/me", &there.access).assert_refused(401, "invalid_token", "refresh");
    server.refresh(&there.refresh, None).assert_refused(401, "session_revoked", "login");
    server.try_login("alice", PASSWORD).assert_refused(401, "invalid_credentials", "login");
    assert_eq!(server.try_login("alice", OTHER_PASSWORD).status, 200);
}

#[test]
fn requests_of_other_sites_are_refused_whatever_they_carry() {
    let server = server_with_alice();
    let tokens = server.login("alice");
    for (name, value) in [
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
        ("Origin", "https://evil.example"),
        ("Origin", "null"),
    ] {
        for path in ["/api/auth/login", "/api/auth/refresh", "/api/auth/logout", "/api/auth/logout-all"] {
            let request = Request::post(path)
                .bearer(&tokens.access)
                .field("Cookie", &server.cookie(&tokens.refresh))
                .field(name, value);
            let answer = server.send(request);
            answer.assert_refused(403, "cross_site", "none");
            assert_eq!(answer.field("set-cookie"), None);
            assert_eq!(answer.field("access-control-allow-origin"), None);
        }
    }
    let own = Request::post("/api/auth/refresh")
        .field("Cookie", &server.cookie(&tokens.refresh))
        .field("Origin", &server.url())
        .field("Sec-Fetch-Site", "same-origin");
    assert_eq!(server.send(own).status, 200);
}

#[test]
fn a_listed_origin_may_call_and_is_told_so() {
    let app = "https://app.example.com";
    let server = Setup::new(SERVER).with("ALLOWED_ORIGINS", app).start();
    server.add_user("alice");
    let from_app = |request: Request| request.field("Origin", app).field("Sec-Fetch-Site", "same-site");
    let preflight = server.send(from_app(Request::new("OPTIONS", "/api/auth/login")));
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.field("access-control-allow-methods"), Some("POST"));
    let answer = server.send(from_app(Request::login("alice", PASSWORD)));
    assert_eq!(answer.status, 200);
    assert_eq!(answer.field("access-control-allow-origin"), Some(app));
    assert_eq!(answer.field("access-control-allow-credentials"), Some("true"));
    assert_eq!(answer.field("vary"), Some("Origin"));
    let other = Request::login("alice", PASSWORD).field("Origin", "https://app.example.com:444");
    server.send(other).assert_refused(403, "cross_site", "none");
}

#[test]
fn the_page_is_served_under_a_strict_policy() {
    let server = Setup::new(SERVER).start();
    let page = server.send(Request::get("/?from=elsewhere"));
    assert_eq!((page.status, page.field("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.field("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert!(!page.body.contains("<script>") && !page.body.contains("style="), "nothing inline");
    for path in ["/page.js", "/session.js", "/style.css", "/icon.svg"] {
        let asset = server.send(Request::get(path));
        assert_eq!((asset.status, asset.field("x-content-type-options")), (200, Some("nosniff")), "{path}");
    }
    assert_eq!(server.send(Request::get("/healthz")).body, "ok\n");
}
