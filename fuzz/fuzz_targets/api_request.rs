//! Any request to any endpoint, with good and bad credentials: never a panic or a 500, every refusal a document that the
//! client reads, and nothing changed for another site.
#![no_main]

use latchkey::api::Method;
use latchkey::problem::Code;
use latchkey_client::Problem;
use latchkey_fuzz::{plain_site, server};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| {
    let Some((asked, response)) = server::answer(input) else { return };
    let field =
        |name| response.fields.iter().find(|(field, _)| *field == name).map(|(_, value)| value.as_ref());
    if response.status >= 400 {
        let problem = Problem::read(field("Content-Type").unwrap_or_default(), &response.body);
        let problem = problem.expect("a refusal is a problem document");
        let is_code = |code: &Code| code.as_str() == problem.code && code.status() == response.status;
        assert!(Code::ALL.iter().any(is_code), "{problem:?}");
        assert!(problem.code != "internal" && problem.code != "unavailable", "{asked:?}");
    } else if !matches!(asked.method, Method::Get | Method::Head) {
        let [site, origin, host] = ["sec-fetch-site", "origin", "host"].map(|name| asked.field(name));
        assert!(plain_site::passes(server::ORIGIN, site, origin, host), "{asked:?}");
    }
    assert!(response.status != 401 || field("WWW-Authenticate").is_some());
    assert!(response.fields.iter().all(|(_, value)| value.bytes().all(|byte| (b' '..=b'~').contains(&byte))));
});
