//! Node's own `fetch`, which is no browser though it sends `Sec-Fetch-Mode`: it logs in, refreshes and signs out with its
//! token in bodies, also in bodies that it streams.

use std::process::Command;

use latchkey_tests::http::Request;
use latchkey_tests::server::{PASSWORD, Server, Setup};
use serde_json::json;

const SERVER: &str = env!("CARGO_BIN_EXE_server-under-test");

const PROGRAM: &str = "
const [url, password] = process.argv.slice(1);
const post = async (path, body, isStreamed) => {
  const text = JSON.stringify(body);
  const stream = () => new ReadableStream({
    start(controller) {
      for (const part of text.match(/.{1,7}/g)) controller.enqueue(new TextEncoder().encode(part));
      controller.close();
    },
  });
  const answer = await fetch(url + path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    ...(isStreamed ? { body: stream(), duplex: 'half' } : { body: text }),
  });
  return [answer.status, answer.status === 204 ? null : await answer.json()];
};
for (const isStreamed of [false, true]) {
  const login = await post('/api/auth/login', { username: 'alice', password, delivery: 'body' }, isStreamed);
  const refresh = await post('/api/auth/refresh', { refresh_token: login[1].refresh_token }, isStreamed);
  const logout = await post('/api/auth/logout', { refresh_token: refresh[1].refresh_token }, isStreamed);
  const again = await post('/api/auth/refresh', { refresh_token: refresh[1].refresh_token }, isStreamed);
  console.log([login[0], refresh[0], logout[0], again[0], again[1].type].join(' '));
}
";

fn server_with_alice() -> Server {
    let server = Setup::new(SERVER).with("ARGON2_PROFILE", "low-memory").start();
    server.add_user("alice");
    server
}

#[test]
fn the_fetch_of_node_logs_in_refreshes_and_signs_out_by_body() {
    let has_node = Command::new("node").arg("--version").output().is_ok_and(|output| output.status.success());
    assert!(has_node || std::env::var_os("CI").is_none(), "node has to be installed");
    if !has_node {
        eprintln!("SKIPPED: node is not installed");
        return;
    }
    let server = server_with_alice();
    let mut node = Command::new("node");
    node.args(["--no-warnings", "--input-type=module", "-e", PROGRAM, "--", &server.url(), PASSWORD]);
    let output = node.output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    let line = "200 200 204 401 urn:latchkey:session_ended\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), line.repeat(2), "{complaint}");
}

#[test]
fn only_what_a_browser_alone_sends_makes_a_browser() {
    let server = server_with_alice();
    let log_in = |fields: &[(&str, &str)]| {
        let body = json!({"username": "alice", "password": PASSWORD, "delivery": "body"});
        let request = Request::post("/api/auth/login").json(&body);
        server.send(fields.iter().fold(request, |request, (name, value)| request.field(name, value))).status
    };
    for program in [
        &[][..],
        &[("Sec-Fetch-Mode", "cors"), ("User-Agent", "node"), ("Accept-Language", "*")],
        &[("Sec-Fetch-Dest", "empty"), ("Sec-Fetch-Mode", "cors")],
        &[("Cookie", "a=b")],
    ] {
        assert_eq!(log_in(program), 200, "{program:?}");
    }
    for browser in [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "none"), ("Origin", &*server.url())]
    {
        assert_eq!(log_in(&[browser]), 400, "{browser:?}");
    }
}
