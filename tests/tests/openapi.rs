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
