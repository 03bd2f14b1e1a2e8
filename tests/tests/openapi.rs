//! `/openapi.json` against the router and the codes: it names what there is, all of it, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use latchkey::api;
use latchkey::problem::Code;
use latchkey_tests::http::Request;
use latchkey_tests::server::Setup;
use serde_json::Value;

const SERVER: &str = env!("CARGO_BIN_EXE_server-under-test");

/// Files of the page, which are no interface for programs.
const PAGE: [&str; 1] = ["/"];

fn document() -> Value {
    let server = Setup::new(SERVER).start();
    let answer = server.send(Request::get("/openapi.json"));
    assert_eq!((answer.status, answer.field("content-type")), (200, Some("application/json")));
    answer.json()
}

#[test]
fn it_names_every_endpoint_and_no_other() {
    let document = document();
    let mut documented = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        documented.extend(
            operations.as_object().unwrap().keys().map(|method| (path.clone(), method.to_uppercase())),
        );
    }
    let is_file =
        |path: &str| PAGE.contains(&path) || path.rsplit_once('.').is_some_and(|(_, end)| end != "json");
    let routed: BTreeSet<_> = api::endpoints()
        .filter(|(path, _)| !is_file(path))
        .map(|(path, method)| (path.to_owned(), method.as_str().to_owned()))
        .collect();
    assert_eq!(documented, routed);
}

#[test]
fn it_names_every_code_at_its_status() {
    let document = document();
    let mut expected = BTreeMap::<String, BTreeSet<&str>>::new();
    for &code in Code::ALL {
        expected.entry(code.status().to_string()).or_default().insert(code.as_str());
    }
    let responses = document["components"]["responses"].as_object().unwrap();
    let operations = document["paths"].as_object().unwrap().values();
    let operations = operations.flat_map(|path| path.as_object().unwrap().values());
    let used: BTreeSet<_> =
        operations.flat_map(|operation| operation["responses"].as_object().unwrap().keys()).collect();
    assert!(responses.keys().all(|status| used.contains(status)), "{used:?}");
    for (status, codes) in expected {
        let described = responses[&status]["description"].as_str().unwrap();
        let is_code = |word: &&str| word.contains('_') || Code::ALL.iter().any(|code| code.as_str() == *word);
        let words = described.split(|c: char| !c.is_ascii_lowercase() && c != '_').filter(is_code);
        assert_eq!(words.collect::<BTreeSet<_>>(), codes, "{status}");
    }
}

#[test]
fn every_operation_has_an_id_of_its_own_and_every_reference_leads_somewhere() {
    let document = document();
    let mut ids = BTreeSet::new();
    for operation in
        document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values())
    {
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{operation}");
        assert!(!operation["summary"].as_str().unwrap().is_empty());
    }
    let mut waiting = vec![&document];
    while let Some(value) = waiting.pop() {
        if let Some(reference) = value["$ref"].as_str() {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        waiting.extend(value.as_array().into_iter().flatten());
        waiting.extend(value.as_object().into_iter().flat_map(|members| members.values()));
    }
}

/// Sends both sides of each limit that the document names.
#[test]
fn its_limits_are_those_of_the_server() {
    let server = Setup::new(SERVER).with("ARGON2_PROFILE", "low-memory").start();
    server.add_admin("root");
    let root = server.login("root");
    let get = |path: &str| server.get(path, &root.access).status;
    for (good, bad) in [
        ("/api/admin/audit?before=9007199254740991", "/api/admin/audit?before=9007199254740992"),
        ("/api/admin/audit?limit=100", "/api/admin/audit?limit=101"),
        ("/api/admin/users?limit=1", "/api/admin/users?limit=0"),
        ("/api/admin/users?after=eno", "/api/admin/users?after=zzz"),
        ("/api/admin/users?after=eno", "/api/admin/users?after="),
        ("/api/admin/sessions?after=AAAAAAAAAAAAAAAAAAAAAA", "/api/admin/sessions?after=zzz"),
    ] {
        assert_eq!((get(good), get(bad)), (200, 400), "{good} {bad}");
    }
    // Bytes count, and the white space around a name does not.
    let log_in = |name: &str, password: &str| server.try_login(name, password).status;
    let (long, too_long) = ("é".repeat(32), "é".repeat(33));
    assert_eq!((log_in(&format!(" {long} "), "x"), log_in(&too_long, "x")), (401, 400));
    assert_eq!((log_in("y", &"é".repeat(128)), log_in("y", &"é".repeat(129))), (401, 400));
}

#[test]
fn its_fields_are_there_and_its_problems_are_open_to_more_members() {
    let document = document();
    let fields = |status: &str| {
        let fields = document["components"]["responses"][status]["headers"].as_object().unwrap();
        fields.keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(fields("401"), ["WWW-Authenticate"]);
    assert_eq!(fields("403"), ["WWW-Authenticate"]);
    assert_eq!(fields("405"), ["Allow"]);
    assert_eq!(
        (fields("429"), fields("503")),
        (vec!["Retry-After".to_owned()], vec!["Retry-After".to_owned()])
    );
    assert!(document["components"]["schemas"]["Problem"].get("additionalProperties").is_none());

    let server = Setup::new(SERVER).start();
    let refused = server.send(Request::get("/api/auth/login"));
    assert_eq!((refused.status, refused.field("allow")), (405, Some("POST")));
    let counters = server.send(Request::get("/metrics"));
    let media_type = counters.field("content-type").unwrap();
    let documented = &document["paths"]["/metrics"]["get"]["responses"]["200"]["content"];
    assert_eq!(media_type, "text/plain; version=0.0.4; charset=utf-8");
    assert!(documented.get(media_type).is_some(), "{documented}");
}
