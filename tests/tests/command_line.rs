//! The command line against a live and a stopped server: the same commands, the same words.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use latchkey_tests::server::{PASSWORD, Server, Setup, assert_fails, printed};
use serde_json::Value;

const SERVER: &str = env!("CARGO_BIN_EXE_server-under-test");
const OTHER_PASSWORD: &str = "another long pass phrase";

fn listed(server: &Server) -> Vec<Value> {
    serde_json::from_str(&printed(&server.run(&["user", "list", "--json"]))).unwrap()
}

/// The whole life of a user, told to a folder; `live` says whether a server runs over it.
fn users_live_and_die(server: &Server, live: bool) {
    let add = |name: &str, more: &[&str]| {
        let arguments = [&["user", "add", name, "--password-stdin"], more].concat();
        server.run_with_input(&arguments, &format!("{PASSWORD}\n"))
    };
    assert_eq!(printed(&add("Alice", &["--role", "admin"])), "added admin Alice\n");
    assert_eq!(printed(&add("bob", &[])), "added user bob\n");
    assert_fails(&add("ALICE", &[]), "there is a user of that name already");
    assert_fails(&add("", &[]), "the user name is empty");
    assert_fails(
        &server.run_with_input(&["user", "add", "eve", "--password-stdin"], "short\n"),
        "at least 15",
    );
    assert_fails(&server.run(&["user", "add", "eve"]), "--password-stdin");
    assert_fails(&add(&"x".repeat(5000), &[]), "longer than 64 bytes");

    let table = printed(&server.run(&["user", "list"]));
    assert!(table.lines().any(|line| line.starts_with("Alice  admin  enabled")), "{table}");
    let users = listed(server);
    assert_eq!(users.iter().map(|user| user["name"].as_str().unwrap()).collect::<Vec<_>>(), ["Alice", "bob"]);
    assert_eq!(users[0]["id"].as_str().unwrap().len(), 16);

    if live {
        let tokens = server.login("bob");
        assert_eq!(listed(server)[1]["sessions"], 1);
        let changed = server.run_with_input(&["user", "passwd", "bob", "--password-stdin"], OTHER_PASSWORD);
        assert_eq!(printed(&changed), "changed the password of bob and ended all sessions\n");
        server.get("/api/me", &tokens.access).assert_refused(401, "invalid_token", "refresh");
        assert_eq!(server.try_login("bob", OTHER_PASSWORD).status, 200);
    } else {
        let changed = server.run_with_input(&["user", "passwd", "bob", "--password-stdin"], OTHER_PASSWORD);
        assert!(changed.status.success());
    }
    assert_eq!(printed(&server.run(&["user", "disable", "bob"])), "disabled bob and ended all sessions\n");
    assert_eq!(listed(server)[1]["disabled"], true);
    assert_eq!(printed(&server.run(&["user", "enable", "bob"])), "enabled bob\n");
    assert_fails(&server.run(&["user", "delete", "bob"]), "--yes");
    assert_eq!(printed(&server.run(&["user", "delete", "bob", "--yes"])), "deleted bob\n");
    for command in ["disable", "enable", "delete"] {
        let yes: &[&str] = if command == "delete" { &["--yes"] } else { &[] };
        assert_fails(
            &server.run(&[&["user", command, "bob"], yes].concat()),
            "there is no user of that name",
        );
    }
    assert_eq!(listed(server).len(), 1);
}

#[test]
fn user_commands_work_while_the_server_runs() {
    users_live_and_die(&Setup::new(SERVER).start(), true);
}

#[test]
fn user_commands_work_while_the_server_does_not_run() {
    let mut server = Setup::new(SERVER).stopped();
    users_live_and_die(&server, false);
    server.start();
    server.login("alice");
}

#[test]
fn user_add_makes_folder_store_and_key_file_private() {
    let server = Setup::new(SERVER).stopped();
    server.add_user("alice");
    let mode = |name: &str| fs::metadata(server.data().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("latchkey.redb"), mode("keys")), (0o700, 0o600, 0o600));
}

#[test]
fn the_control_socket_is_private_and_gone_after_a_stop() {
    let mut server = Setup::new(SERVER).start();
    let socket = server.data().join("control.sock");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(server.stop(), Some(0));
    assert!(!socket.exists());
    server.start();
    server.kill();
    assert!(socket.exists(), "a killed server cannot clean up");
    server.start();
    server.add_user("alice");
}

#[test]
fn check_reports_settings_and_store_and_changes_nothing() {
    let mut server = Setup::new(SERVER).with("GRACE_SECS", 20).stopped();
    let before = printed(&server.run(&["check"]));
    assert!(
        before.contains("LATCHKEY_GRACE_SECS") && before.contains("20  (LATCHKEY_GRACE_SECS)"),
        "{before}"
    );
    assert!(before.contains("none yet"), "{before}");
    assert!(!server.data().exists());

    server.add_user("alice");
    let bytes = fs::read(server.data().join("latchkey.redb")).unwrap();
    let stopped = printed(&server.run(&["check"]));
    assert!(stopped.contains("store      ok, 1 users, 0 session records"), "{stopped}");
    assert!(fs::read(server.data().join("latchkey.redb")).unwrap() == bytes);

    server.start();
    let running = printed(&server.run(&["check"]));
    assert!(running.contains("in use by a running server"), "{running}");
}

#[test]
fn check_verifies_also_a_store_whose_server_was_killed() {
    let mut server = Setup::new(SERVER).start();
    server.add_user("alice");
    server.login("alice");
    server.kill();
    let bytes = fs::read(server.data().join("latchkey.redb")).unwrap();
    let killed = printed(&server.run(&["check"]));
    assert!(killed.contains("store      ok, 1 users, 1 session records"), "{killed}");
    assert!(fs::read(server.data().join("latchkey.redb")).unwrap() == bytes);
}

#[test]
fn commands_other_than_add_make_no_folder() {
    let server = Setup::new(SERVER).stopped();
    for arguments in
        [["user", "list"].as_slice(), &["user", "enable", "x"], &["user", "delete", "x", "--yes"]]
    {
        assert_fails(&server.run(arguments), "there is no store at ./latchkey-data/latchkey.redb");
    }
    assert!(!server.data().exists());
}

#[test]
fn a_password_is_one_line_of_standard_input_of_either_line_end() {
    let server = Setup::new(SERVER).start();
    for (name, input) in [
        ("unix", format!("{PASSWORD}\n")),
        ("dos", format!("{PASSWORD}\r\nmore\n")),
        ("none", PASSWORD.to_owned()),
    ] {
        assert!(server.run_with_input(&["user", "add", name, "--password-stdin"], &input).status.success());
        assert_eq!(server.try_login(name, PASSWORD).status, 200, "{name}");
    }
    let refused = |input: &str| server.run_with_input(&["user", "add", "long", "--password-stdin"], input);
    assert_fails(&refused(&"x".repeat(10_000)), "longer than 256 bytes");
    assert_fails(&refused(&"é".repeat(300)), "longer than 256 bytes");
    assert_fails(&refused(""), "no password on standard input");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let server = Setup::new(SERVER).stopped();
    server.add_user("alice");
    let mut child =
        server.command(&["user", "list"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn commands_without_a_server_wait_for_each_other() {
    let server = Setup::new(SERVER).stopped();
    server.add_user("alice");
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| assert_eq!(listed(&server).len(), 1));
        }
    });
}

#[test]
fn help_names_every_command_and_setting() {
    let server = Setup::new(SERVER).stopped();
    let help = printed(&server.run(&["--help"]));
    for word in ["serve", "user", "check", "--listen", "--grace-secs", "[default: 600]", "LATCHKEY_"] {
        assert!(help.contains(word), "{word} is missing in {help}");
    }
}

#[test]
fn sigterm_stops_the_server_in_order() {
    let mut server = Setup::new(SERVER).start();
    server.add_user("alice");
    assert_eq!(server.stop(), Some(0));
    assert!(server.log().contains("stopping"));
}

#[test]
fn the_shortest_password_is_a_setting_with_and_without_a_server() {
    let mut server = Setup::new(SERVER).with("PASSWORD_MIN_CHARS", 8).stopped();
    let add = |server: &Server, name: &str, password: &str| {
        server.run_with_input(&["user", "add", name, "--password-stdin"], password)
    };
    assert_fails(&add(&server, "ann", "7 signs"), "at least 8 characters");
    assert_fails(&add(&server, "ann", "sunshine"), "a common one");
    printed(&add(&server, "ann", "8 signs."));
    server.start();
    assert_fails(&add(&server, "ben", "7 signs"), "at least 8 characters");
    printed(&add(&server, "ben", "8 signs."));
    assert_eq!(server.try_login("ben", "8 signs.").status, 200);
}
