//! `GET /api/auth/verify`, which reverse proxies ask before they let a request through.

use latchkey_tests::http::{Answer, Request};
use latchkey_tests::server::{PASSWORD, Server, Setup, printed};

const SERVER: &str = env!("CARGO_BIN_EXE_server-under-test");

fn verify() -> Request {
    Request::get("/api/auth/verify")
}

fn identity(answer: &Answer) -> Option<(&str, &str)> {
    assert!(answer.status == 204 || answer.field("x-auth-user").is_none(), "{answer:?}");
    Some((answer.field("x-auth-name")?, answer.field("x-auth-role")?))
}

fn server_with_alice() -> Server {
    let server = Setup::new(SERVER).start();
    server.add_user("alice");
    server
}

#[test]
fn a_bearer_token_or_the_refresh_cookie_says_who_it_is() {
    let server = server_with_alice();
    let alice = server.login("alice");
    let by_token = server.send(verify().bearer(&alice.access));
    assert_eq!((by_token.status, identity(&by_token)), (204, Some(("alice", "user"))));
    assert_eq!(by_token.field("x-auth-user").unwrap().len(), 16);
    let by_cookie = server.send(verify().field("Cookie", &server.cookie(&alice.refresh)));
    assert_eq!((by_cookie.status, identity(&by_cookie)), (204, Some(("alice", "user"))));
    assert_eq!(by_cookie.field("set-cookie"), None);
    assert_eq!(by_cookie.field("cache-control"), Some("no-store"));
    server.send(verify()).assert_refused(401, "missing_token", "refresh");
    server.send(verify().bearer("x.y.z")).assert_refused(401, "invalid_token", "refresh");
    let forged = format!("{}A", &alice.refresh[..71]);
    server.send(verify().field("Cookie", &server.cookie(&forged))).assert_refused(
        401,
        "invalid_token",
        "refresh",
    );
}

#[test]
fn an_invalid_token_is_not_made_good_by_a_cookie() {
    let server = server_with_alice();
    let alice = server.login("alice");
    let both = verify().bearer("x.y.z").field("Cookie", &server.cookie(&alice.refresh));
    server.send(both).assert_refused(401, "invalid_token", "refresh");
    let of_the_service =
        verify().field("Authorization", "Basic YTpi").field("Cookie", &server.cookie(&alice.refresh));
    assert_eq!(server.send(of_the_service).status, 204, "credentials for the service are not for us");
}

#[test]
fn a_role_can_be_asked_for() {
    let server = server_with_alice();
    server.add_admin("root");
    let (alice, root) = (server.login("alice"), server.login("root"));
    let ask = |role: &str, token: &str| {
        server.send(Request::get(&format!("/api/auth/verify?role={role}")).bearer(token))
    };
    ask("admin", &alice.access).assert_refused(403, "insufficient_scope", "none");
    assert_eq!(ask("admin", &root.access).status, 204);
    assert_eq!(ask("user", &alice.access).status, 204);
    assert_eq!(ask("user", &root.access).status, 204, "who may more may this as well");
    ask("king", &root.access).assert_refused(400, "bad_request", "none");
    let unknown = Request::get("/api/auth/verify?rule=admin").bearer(&alice.access);
    server.send(unknown).assert_refused(400, "bad_request", "none");
}

#[test]
fn a_cookie_is_judged_without_being_rotated_or_ended() {
    let server = Setup::new(SERVER).with("GRACE_SECS", 0).start();
    server.add_user("alice");
    let first = server.login("alice");
    let asks = |token: &str| server.send(verify().field("Cookie", &server.cookie(token))).status;
    for _ in 0..3 {
        assert_eq!(asks(&first.refresh), 204);
    }
    let second = server.refresh(&first.refresh, None).cookie_value().unwrap();
    assert_eq!(asks(&first.refresh), 401, "spent");
    assert_eq!(asks(&second), 204, "and asking with it has not ended the session");
    let rotated = server.refresh(&second, None);
    assert_eq!(rotated.json()["rotated"], true);
    let third = rotated.cookie_value().unwrap();
    let logout = Request::post("/api/auth/logout").field("Cookie", &server.cookie(&third));
    assert_eq!(server.send(logout).status, 204);
    assert_eq!(asks(&third), 401);
}

#[test]
fn a_page_of_another_site_cannot_lend_itself_the_cookie() {
    let server = server_with_alice();
    let alice = server.login("alice");
    let with_cookie = || verify().field("Cookie", &server.cookie(&alice.refresh));
    for site in ["same-site", "cross-site"] {
        let request = with_cookie().field("Sec-Fetch-Site", site).field("Sec-Fetch-Mode", "cors");
        server.send(request).assert_refused(403, "cross_site", "none");
        let post = with_cookie()
            .field("Sec-Fetch-Site", site)
            .field("Sec-Fetch-Mode", "navigate")
            .field("Origin", "https://evil.example");
        server.send(post).assert_refused(403, "cross_site", "none");
        let link = with_cookie().field("Sec-Fetch-Site", site).field("Sec-Fetch-Mode", "navigate");
        assert_eq!(server.send(link).status, 204, "a link that somebody followed");
    }
    let own = with_cookie().field("Sec-Fetch-Site", "same-origin").field("Origin", &server.url());
    assert_eq!(server.send(own).status, 204);
}

#[test]
fn no_name_can_forge_a_field() {
    let server = Setup::new(SERVER).start();
    let name = "Zoë, X-Auth-Role: admin % ";
    let arguments = ["user", "add", name.trim(), "--password-stdin"];
    printed(&server.run_with_input(&arguments, PASSWORD));
    let zoe = server.login(name.trim());
    let answer = server.send(verify().bearer(&zoe.access));
    assert_eq!(answer.field("x-auth-name"), Some("Zo%C3%AB%2C%20X-Auth-Role%3A%20admin%20%25"));
    assert_eq!(answer.field("x-auth-role"), Some("user"));
}
