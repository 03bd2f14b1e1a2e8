//! Any request to any endpoint, with good and bad credentials: never a panic or a 500, every refusal a document that the
//! client reads, and nothing for another site.
#![no_main]

use latchkey::problem::Code;
use latchkey_client::Problem;
use latchkey_fuzz::server;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| {
    let Some((request, response)) = server::answer(input) else { return };
    let field =
        |name| response.fields.iter().find(|(field, _)| *field == name).map(|(_, value)| value.as_ref());
    let sent = |name| request.lines().find_map(|line| line.strip_prefix(name));
    if response.status >= 400 {
        let problem = Problem::read(field("Content-Type").unwrap_or_default(), &response.body);
        let problem = problem.expect("a refusal is a problem document");
        assert!(
            Code::ALL.iter().any(|code| code.as_str() == problem.code && code.status() == response.status)
        );
        assert!(problem.code != "internal" && problem.code != "unavailable", "{request}");
    } else if sent("sec-fetch-site: cross-site").is_some() {
        assert!(sent("GET ").or(sent("HEAD ")).or(sent("OPTIONS ")).is_some() || sent("origin: ").is_some());
    }
    assert!(response.status != 401 || field("WWW-Authenticate").is_some());
    assert!(response.fields.iter().all(|(_, value)| value.bytes().all(|byte| (b' '..=b'~').contains(&byte))));
});
