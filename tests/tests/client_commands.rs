//! What people and scripts see of `latchkey-client`: its commands, JSON, accounts and exit statuses.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use latchkey_tests::client::{Client, Run};
use latchkey_tests::server::{PASSWORD, Server, Setup, finish};
use serde_json::{Value, json};

const SERVER: &str = env!("CARGO_BIN_EXE_server-under-test");
const CLIENT: &str = env!("CARGO_BIN_EXE_client-under-test");

fn server() -> Server {
    let server = Setup::new(SERVER).with("ARGON2_PROFILE", "low-memory").start();
    server.add_user("alice");
    server
}

fn signed_in(server: &Server) -> Client {
    let client = Client::new(CLIENT);
    client.login(server, "alice");
    client
}

/// Runs a command with `input` on its standard input.
fn run_with(client: &Client, arguments: &[&str], input: &str) -> Run {
    Run::from(finish(&mut client.command(arguments), input))
}

fn json_of(run: &Run) -> Value {
    serde_json::from_str(&run.output).unwrap_or_else(|_| panic!("no JSON: {run:?}"))
}

#[test]
fn token_prints_an_access_token_that_the_server_takes() {
    let server = server();
    let client = signed_in(&server);
    let run = client.run(&["token"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(server.get("/api/me", run.output.trim_end()).status, 200);
    assert!(run.output.ends_with('\n') && run.output.lines().count() == 1);

    let run = client.run(&["token", "--json"]);
    let token = json_of(&run);
    assert_eq!(token["token_type"], "Bearer");
    assert!((590..=600).contains(&token["expires_in"].as_u64().unwrap()), "{run:?}");
    assert_eq!(server.get("/api/me", token["access_token"].as_str().unwrap()).status, 200);
}

#[test]
fn post_takes_its_body_from_data_or_standard_input() {
    let server = server();
    let client = signed_in(&server);
    let second = "another horse battery staple";
    let body = |current, new| json!({"current": current, "new": new}).to_string();
    let run = client.run(&["post", "/api/auth/password", "--data", &body(PASSWORD, second)]);
    assert_eq!((run.code, run.output.as_str()), (Some(0), ""), "{run:?}");
    let run = run_with(&client, &["post", "/api/auth/password"], &body(second, PASSWORD));
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(server.try_login("alice", PASSWORD).status, 200);
}

#[test]
fn a_refusal_is_printed_and_its_status_says_so() {
    let server = server();
    let client = signed_in(&server);
    let weak = json!({"current": PASSWORD, "new": "short"}).to_string();
    let run = client.run(&["post", "/api/auth/password", "--data", &weak]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.output.contains("urn:latchkey:weak_password"), "{run:?}");
    assert_eq!(run.count("latchkey-client: refused with status 422 (weak_password)"), 1, "{run:?}");

    let run = client.run(&["post", "/api/auth/password", "--content-type", "text/plain", "--data", &weak]);
    assert_eq!(run.count("latchkey-client: refused with status 415"), 1, "{run:?}");
    let run = client.run(&["post", "/x", "--content-type", "a\nb", "--data", ""]);
    assert_eq!(run.count("latchkey-client: not a content type"), 1, "{run:?}");
}

#[test]
fn json_says_the_same_to_programs() {
    let server = server();
    let client = Client::new(CLIENT);
    let login = ["login", &server.url(), "--user", "alice", "--password-stdin", "--json"];
    let identity = json_of(&run_with(&client, &login, PASSWORD));
    assert_eq!((&identity["server"], &identity["user"]), (&json!(server.url()), &json!("alice")));
    assert_eq!(identity["session"].as_str().unwrap().len(), 22);
    assert_eq!(json_of(&client.run(&["status", "--json"])), identity);

    let run = client.run(&["get", "/api/me", "--json"]);
    let answer = json_of(&run);
    assert_eq!((&answer["status"], &answer["body"]["user"]["name"]), (&json!(200), &json!("alice")));
    for line in &run.trace {
        assert!(serde_json::from_str::<Value>(line).unwrap()["trace"].is_string(), "{line}");
    }

    let run = client.run(&["get", "/nothing", "--json"]);
    assert_eq!((json_of(&run)["status"].as_u64(), run.code), (Some(404), Some(1)));
    let error: Value = serde_json::from_str(run.trace.last().unwrap()).unwrap();
    assert_eq!((&error["error"], &error["code"]), (&json!("failed"), &json!("not_found")));

    assert_eq!(json_of(&client.run(&["logout", "--json"]))["was_signed_in"], true);
    let run = client.run(&["status", "--json"]);
    assert_eq!((json_of(&run), run.code), (json!({"signed_in": false}), Some(3)));
}

#[test]
fn each_kind_of_failure_has_its_exit_status() {
    let mut server = server();
    let client = Client::new(CLIENT);
    for arguments in [&["get", "/api/me"][..], &["token"], &["post", "/x"], &["status"]] {
        let run = client.run(arguments);
        assert_eq!(run.code, Some(3), "{run:?}");
        assert_eq!(run.count("latchkey-client: not signed in: latchkey-client login URL"), 1, "{run:?}");
    }
    for arguments in
        [&["dance"][..], &["get"], &["get", "/x", "--repeat", "2"], &["status", "--account", "a/b"]]
    {
        assert_eq!(client.run(arguments).code, Some(2), "{arguments:?}");
    }
    client.login(&server, "alice");
    server.stop();
    let run = client.run(&["get", "/api/me"]);
    assert_eq!(run.code, Some(4), "{run:?}");
    assert_eq!(client.run(&["status"]).code, Some(0), "and the session is kept");
    let run = client.run(&["token", "--json"]);
    let error: Value = serde_json::from_str(run.trace.last().unwrap()).unwrap();
    assert_eq!((&error["error"], run.code), (&json!("offline"), Some(4)));
}

#[test]
fn accounts_are_sessions_of_their_own_in_a_folder_of_their_own() {
    let server = server();
    server.add_user("bob");
    let state_home = tempfile::tempdir().unwrap();
    let client = |arguments: &[&str], input: &str| {
        let mut command = std::process::Command::new(CLIENT);
        command.args(arguments).env_clear().env("XDG_STATE_HOME", state_home.path());
        Run::from(finish(&mut command, input))
    };
    let url = server.url();
    client(&["login", &url, "--user", "alice", "--password-stdin"], PASSWORD);
    client(&["login", &url, "--user", "bob", "--password-stdin", "--account", "bob@work"], PASSWORD);
    for (arguments, user) in
        [(&["get", "/api/me"][..], "alice"), (&["get", "/api/me", "--account", "bob@work"], "bob")]
    {
        let run = client(arguments, "");
        assert!(run.output.contains(&format!("\"name\":\"{user}\"")), "{run:?}");
    }
    let folder = state_home.path().join("latchkey-client");
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for name in ["session.json", "bob@work.json"] {
        assert_eq!(mode(&folder.join(name)), 0o600, "{name}");
    }
    assert_eq!(client(&["logout", "--account", "bob@work"], "").code, Some(0));
    assert_eq!(client(&["status"], "").code, Some(0), "alice is still signed in");
}

#[test]
fn help_names_every_command_and_exit_status() {
    let run = Client::new(CLIENT).run(&["--help"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    for word in [
        "login",
        "get",
        "post",
        "token",
        "status",
        "logout",
        "--trace",
        "--json",
        "--account",
        "Exit status:",
    ] {
        assert!(run.output.contains(word), "{word} is missing in {}", run.output);
    }
}

#[test]
fn the_password_is_a_line_whoever_keeps_the_pipe_open() {
    use std::io::Write;
    use std::process::Stdio;

    let server = server();
    let client = Client::new(CLIENT);
    let arguments = ["login", &server.url(), "--user", "alice", "--password-stdin"];
    let mut command = client.command(&arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(format!("{PASSWORD}\r\n").as_bytes()).unwrap();
    let status = child.wait().unwrap();
    drop(pipe);
    assert!(status.success(), "it waited for more, or took more than the line");
}

#[test]
fn no_help_shows_a_password_on_a_command_line() {
    let client = Client::new(CLIENT);
    for command in [&["--help"][..], &["post", "--help"], &["login", "--help"]] {
        let help = client.run(command).output.to_lowercase();
        assert!(!help.contains("\"current\"") && !help.contains("\"new\""), "{help}");
    }
}
