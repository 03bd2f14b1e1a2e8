//! The blocks of commands in docs/operating.md, run in their order, on two folders that stand for two hosts.

use std::fs;
use std::path::Path;
use std::process::Command;

use latchkey_tests::server::{PASSWORD, Server, Setup, printed};

const SERVER: &str = env!("CARGO_BIN_EXE_server-under-test");

/// A block of the document: where and when it is run, and its commands.
struct Block {
    marks: String,
    commands: String,
}

fn blocks() -> Vec<Block> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operating.md");
    let text = fs::read_to_string(path).unwrap();
    let fenced = text.split("\n```").skip(1).step_by(2);
    let blocks = fenced.map(|block| block.split_once('\n').unwrap());
    blocks
        .filter_map(|(language, commands)| {
            let marks = language.strip_prefix("sh")?.trim().to_owned();
            Some(Block { marks, commands: commands.to_owned() })
        })
        .collect()
}

/// What `latchkey`, `systemctl`, `scp` and the folders of the document are in a test.
fn script(server: &Server, commands: &str, elsewhere: &Server) -> String {
    let here = commands
        .replace("/var/lib/latchkey", "HERE/latchkey-data")
        .replace("/backup", "HERE/backup")
        .replace("/safe", "HERE/safe")
        .replace("/tmp", "HERE/tmp")
        .replace("ELSEWHERE", &format!("{}/tmp/", elsewhere.folder().display()))
        .replace("HERE", &server.folder().display().to_string());
    format!("set -euo pipefail; shopt -s expand_aliases\nalias latchkey='{SERVER}'\n{here}")
}

/// Runs the commands of a block, and those of systemctl by hand.
fn run(server: &mut Server, commands: &str, elsewhere: &Server) {
    let mut before = String::new();
    for line in commands.lines() {
        if let Some(verb) = line.strip_suffix(" latchkey").and_then(|line| line.strip_prefix("systemctl ")) {
            bash(server, &before, elsewhere);
            before.clear();
            match verb {
                "start" => server.start(),
                "stop" => assert_eq!(server.stop(), Some(0)),
                other => panic!("systemctl {other}"),
            }
        } else if let Some(files) = line.strip_prefix("scp ") {
            bash(server, &before, elsewhere);
            let (files, target) = files.rsplit_once(' ').unwrap();
            assert_eq!(target, "new-host:/tmp/");
            before = format!("cp {files} ELSEWHERE\n");
        } else {
            before += &format!("{line}\n");
        }
    }
    bash(server, &before, elsewhere);
}

fn bash(server: &Server, commands: &str, elsewhere: &Server) {
    let mut bash = server.command_of(Command::new("bash"));
    let output = bash.args(["-c", &script(server, commands, elsewhere)]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{commands}\n{told}");
}

/// Rewrites the key file as if the keys that do not sign any more had stopped two days ago.
fn a_day_later(server: &mut Server) {
    server.stop();
    let path = server.data().join("keys");
    let text = fs::read_to_string(&path).unwrap();
    let aged: String = text
        .lines()
        .map(|line| match line.rsplit_once(' ') {
            Some((key, until))
                if !line.starts_with('#') && until.parse::<u64>().is_ok_and(|until| until > 255) =>
            {
                format!("{key} {}\n", until.parse::<u64>().unwrap() - 2 * 86_400)
            }
            _ => format!("{line}\n"),
        })
        .collect();
    fs::write(path, aged).unwrap();
    server.start();
}

fn machine() -> Server {
    let setup = Setup::new(SERVER).with("GRACE_SECS", 0).with("ARGON2_PROFILE", "low-memory");
    // The same public URL on both.
    let server = setup.with("ISSUER", "https://login.example.com").stopped();
    for folder in ["backup", "safe", "tmp"] {
        fs::create_dir(server.folder().join(folder)).unwrap();
    }
    server
}

#[test]
fn every_step_of_operating_works_and_a_session_lives_through_moving_rotating_and_upgrading() {
    let (mut old, mut new) = (machine(), machine());
    // The unit says where the server listens, and a command's environment says the same. Here the first start finds a port.
    old.start();
    old.stop();
    old.set("LISTEN", old.address());
    let mut session = None;
    for Block { marks, commands } in blocks() {
        if marks.starts_with("a day later") {
            a_day_later(&mut new);
            // By then whoever is signed in has refreshed more than twice.
            for _ in 0..2 {
                let answer = new.refresh(session.as_deref().unwrap(), None);
                session = answer.cookie_value();
            }
        }
        let is_new = marks.ends_with("on new-host");
        assert!(is_new || marks.is_empty(), "{marks}");
        let (here, there) = if is_new { (&mut new, &old) } else { (&mut old, &new) };
        run(here, &commands, there);
        if commands.contains("restore /backup") {
            // Every session has ended; somebody signs in before the move.
            session = Some(old.login("root").refresh);
        }
        if let Some(token) = &session
            && is_new
        {
            let refreshed = new.refresh(token, None);
            assert_eq!(refreshed.status, 200, "{commands}: {refreshed:?}");
            session = refreshed.cookie_value();
        }
    }
    assert!(session.is_some());
    assert!(printed(&new.run(&["key", "list"])).contains("  2         1  yes"));
    assert_eq!(new.try_login("root", PASSWORD).status, 200);
}
