//! What the page is made of: text that is written as text, password fields that managers know, a way out, no outside.

use latchkey_tests::http::{Connection, Request, loopback};
use latchkey_tests::server::{Server, Setup};

const SERVER: &str = env!("CARGO_BIN_EXE_server-under-test");

/// The page, and every script that it or a script of it names.
fn page_and_scripts(server: &Server) -> (String, Vec<String>) {
    let page = server.send(Request::get("/")).body;
    let (mut paths, mut texts) = (vec!["/page.js".to_owned()], Vec::new());
    for next in 0.. {
        let Some(path) = paths.get(next) else { break };
        let answer = server.send(Request::get(path));
        assert_eq!((answer.status, answer.field("x-content-type-options")), (200, Some("nosniff")), "{path}");
        let named = answer.body.split('"').filter(|text| text.starts_with('/') || text.starts_with("./"));
        let scripts =
            named.filter(|text| text.ends_with(".js")).map(|text| text.trim_start_matches('.').to_owned());
        let new: Vec<_> = scripts.filter(|path| !paths.contains(path)).collect();
        paths.extend(new);
        texts.push(answer.body);
    }
    assert!(paths.contains(&"/session.js".to_owned()), "{paths:?}");
    (page, texts)
}

#[test]
fn the_page_writes_text_as_text_and_keeps_to_itself() {
    let server = Setup::new(SERVER).start();
    let (page, scripts) = page_and_scripts(&server);
    for text in scripts.iter().chain([&page]) {
        for word in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "postMessage",
            "https://",
        ] {
            assert!(!text.contains(word), "{word}");
        }
    }
    let answer = server.send(Request::get("/"));
    let policy = answer.field("content-security-policy").unwrap();
    for directive in ["default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "form-action 'none'"]
    {
        assert!(policy.contains(directive), "{policy}");
    }
    assert_eq!(answer.field("referrer-policy"), Some("no-referrer"));
    assert_eq!(answer.field("cross-origin-opener-policy"), Some("same-origin"));
}

/// What a browser has stays with it until the server has another.
#[test]
fn a_file_that_a_browser_has_does_not_travel_again() {
    let server = Setup::new(SERVER).start();
    let mut connection = Connection::new(loopback(1, 1), server.address());
    let mut tags = Vec::new();
    for path in ["/", "/page.js", "/style.css", "/icon.svg", "/openapi.json"] {
        let whole = connection.send(&Request::get(path)).unwrap();
        let tag = whole.field("etag").unwrap().to_owned();
        assert_eq!((whole.status, whole.field("cache-control")), (200, Some("no-cache")), "{path}");
        for known in [tag.clone(), format!("\"other\", W/{tag}")] {
            let same = connection.send(&Request::get(path).field("If-None-Match", &known)).unwrap();
            assert_eq!(
                (same.status, same.body.as_str(), same.field("etag")),
                (304, "", Some(&*tag)),
                "{path}"
            );
            assert!(same.field("content-type").is_none(), "{same:?}");
        }
        let other = connection.send(&Request::get(path).field("If-None-Match", "\"other\"")).unwrap();
        assert_eq!((other.status, other.body == whole.body), (200, true), "{path}");
        assert!(!tags.contains(&tag), "{path}");
        tags.push(tag);
    }
}

#[test]
fn password_fields_hide_what_is_typed_and_are_known_to_password_managers() {
    let server = Setup::new(SERVER).start();
    let (page, scripts) = page_and_scripts(&server);
    let fields: Vec<_> = page
        .split("<input ")
        .filter(|field| {
            field.contains("autocomplete=\"current-password\"")
                || field.contains("autocomplete=\"new-password\"")
        })
        .collect();
    assert!(fields.len() >= 2);
    for field in fields {
        assert!(field.split('>').next().unwrap().contains("type=\"password\""), "{field}");
    }
    assert!(
        !scripts.iter().chain([&page]).any(|text| text.contains("\"paste\"") || text.contains("onpaste"))
    );
    assert!(page.contains("id=\"sign-out\"") && page.contains("id=\"sign-out-everywhere\""));
}

#[test]
fn every_answer_with_a_body_forbids_to_guess_its_type() {
    let server = Setup::new(SERVER).start();
    server.add_user("alice");
    let token = server.login("alice").access;
    for path in
        ["/", "/style.css", "/icon.svg", "/openapi.json", "/healthz", "/metrics", "/api/me", "/nowhere"]
    {
        let answer = server.send(Request::get(path).bearer(&token));
        assert!(!answer.body.is_empty(), "{path}");
        assert_eq!(answer.field("x-content-type-options"), Some("nosniff"), "{path}");
    }
    let at_the_gate = server.send(Request::get("/").field("Expect", "everything"));
    assert_eq!((at_the_gate.status, at_the_gate.field("x-content-type-options")), (417, Some("nosniff")));
}
