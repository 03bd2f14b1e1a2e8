//! README's transcript of `latchkey-client` is what the program prints: its commands are run and compared.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use latchkey_tests::server::{Setup, finish};
use serde_json::Value;

const SERVER: &str = env!("CARGO_BIN_EXE_server-under-test");
const CLIENT: &str = env!("CARGO_BIN_EXE_client-under-test");

/// Each command of the transcript, and what stands below it.
fn transcript() -> Vec<(String, Vec<String>)> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let block = readme
        .split("```console\n")
        .filter_map(|rest| rest.split_once("\n```").map(|(block, _)| block))
        .find(|block| block.contains("--trace"))
        .expect("README shows a trace");
    let mut commands: Vec<(String, Vec<String>)> = Vec::new();
    for line in block.lines() {
        match line.strip_prefix("$ ") {
            Some(command) => commands.push((command.to_owned(), Vec::new())),
            None => commands.last_mut().expect("a command comes first").1.push(line.to_owned()),
        }
    }
    commands
}

/// The lines without what differs from run to run: of a JSON object the names remain, and of equal answers in a row one,
/// because how many come before the 401 depends on when the second began.
fn in_principle(lines: &[String]) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    for line in lines {
        seen.push(match serde_json::from_str::<Value>(line) {
            Ok(Value::Object(object)) => format!("{:?}", object.keys().collect::<Vec<_>>()),
            _ => line.clone(),
        });
        // A request, its status and its body.
        while seen.len() >= 6 && seen[seen.len() - 3..] == seen[seen.len() - 6..seen.len() - 3] {
            seen.truncate(seen.len() - 3);
        }
    }
    seen
}

#[test]
fn the_readme_shows_what_the_client_prints() {
    let server = Setup::new(SERVER).with("ACCESS_TTL_SECS", 2).with("GRACE_SECS", 0).start();
    server.add_user("alice");
    let folder = tempfile::tempdir().unwrap();
    symlink(CLIENT, folder.path().join("latchkey-client")).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());

    let commands = transcript();
    assert!(commands.len() >= 3, "log-in, requests, log-out");
    let home = "http://127.0.0.1:8080";
    for (command, expected) in commands {
        let command = command.replace(home, &server.url());
        let mut shell = Command::new("bash");
        shell.args(["-c", &format!("{command} 2>&1")]).env_clear();
        shell.env("PATH", &path).env("XDG_STATE_HOME", folder.path().join("state"));
        let output = finish(&mut shell, "");
        let printed = String::from_utf8(output.stdout).unwrap().replace(&server.url(), home);
        let printed: Vec<String> = printed.lines().map(str::to_owned).collect();
        assert_eq!(in_principle(&printed), in_principle(&expected), "{command}");
    }
}
