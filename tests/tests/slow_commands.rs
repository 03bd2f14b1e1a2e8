//! Commands that take long or never end, and lists that are long: neither holds up the server, its stop or other commands.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use latchkey::command::{self, NewUser};
use latchkey::keys::Keys;
use latchkey::session::{Policy, Session, SessionId};
use latchkey::store::Store;
use latchkey::time::{Now, UnixMillis};
use latchkey::user::{PasswordHash, Role, UserId};
use latchkey_tests::server::{Server, Setup, assert_fails, printed};
use serde_json::Value;

const SERVER: &str = env!("CARGO_BIN_EXE_server-under-test");

/// A server over a store with so many users of so many living sessions each.
fn filled(users: u64, sessions: u64) -> Server {
    let mut server = Setup::new(SERVER).stopped();
    server.add_user("alice");
    let store = Store::open(&server.data().join("latchkey.redb"), |_| {}).unwrap();
    let keys = Keys::read(&server.data().join("keys")).unwrap();
    store.use_audit_key(keys.signing_audit_key().clone());
    let policy = Policy { grace_secs: 0, inactivity_secs: 1000, lifetime_secs: 1000 };
    let later = Now::at(UnixMillis(4_000_000_000_000));
    store
        .write(move |writes| {
            for user in 1..=users {
                let (id, name) = (UserId(user), format!("user-{user}").parse().unwrap());
                let password_hash = PasswordHash(String::new());
                let new = NewUser { id, name, role: Role::User, password_hash };
                let user = command::add_user(writes, new, None, Now::default())?.unwrap();
                for number in 0..sessions {
                    let session = Session::begin(&user, 1, [127, 0, 0, 1].into(), "", later, &policy);
                    writes.put_session(SessionId::new(id, number.to_be_bytes()), &session)?;
                }
            }
            Ok(())
        })
        .unwrap();
    drop(store);
    server.start();
    server
}

fn peak_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

#[test]
fn long_lists_come_in_pages_and_are_complete_with_and_without_a_server() {
    let mut server = filled(2_500, 20);
    for _ in ["with a server", "without"] {
        let users: Vec<Value> =
            serde_json::from_str(&printed(&server.run(&["user", "list", "--json"]))).unwrap();
        assert_eq!(users.len(), 2_501);
        let sessions: Vec<Value> =
            serde_json::from_str(&printed(&server.run(&["session", "list", "--json"]))).unwrap();
        assert_eq!(sessions.len(), 50_000);
        let mut handles: Vec<_> = sessions.iter().map(|session| session["session"].as_str()).collect();
        handles.sort_unstable();
        handles.dedup();
        assert_eq!(handles.len(), 50_000, "each is there once");
        let table = printed(&server.run(&["session", "list"]));
        assert_eq!(table.lines().count(), 50_001);
        assert_eq!(table.matches("LAST REFRESH").count(), 1);
        let tail = printed(&server.run(&["audit", "tail", "--lines", "2200", "--json"]));
        let entries: Vec<Value> = serde_json::from_str(&tail).unwrap();
        let numbers: Vec<_> = entries.iter().map(|entry| entry["number"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (301..2_501).collect::<Vec<_>>());
        if server.is_running() {
            server.stop();
        }
    }
}

#[test]
fn a_long_list_takes_no_memory_to_speak_of() {
    let server = filled(1, 60_000);
    // The store's page cache fills first.
    server.run(&["session", "list", "--json"]);
    let before = peak_kib(server.pid());
    let list = server.run(&["session", "list", "--json"]).stdout;
    let grown = (peak_kib(server.pid()) - before) * 1024;
    assert!(list.len() > 9_000_000, "{} bytes", list.len());
    assert!(grown < list.len() as u64 / 4, "{grown} bytes for a list of {}", list.len());
}

fn make_pipe(server: &Server, name: &str) {
    let made = Command::new("mkfifo").arg(server.folder().join(name)).status().unwrap();
    assert!(made.success());
}

#[test]
fn a_pipe_is_no_backup_and_keeps_nobody_waiting() {
    let mut server = filled(1, 1);
    make_pipe(&server, "pipe");
    for _ in ["with a server", "without"] {
        assert_fails(&server.run(&["restore", "pipe"]), "it is no plain file");
        assert_fails(&server.run(&["backup", "pipe"]), "there is a file of that name already");
        if server.is_running() {
            assert_eq!(server.stop(), Some(0));
        }
    }
}

#[test]
fn quick_commands_do_not_wait_for_those_whose_client_says_nothing() {
    let mut server = filled(1, 1);
    // Each may take five seconds to send its command, one after another that would be half a minute.
    let silent: Vec<_> = (0..6)
        .map(|_| std::os::unix::net::UnixStream::connect(server.data().join("control.sock")).unwrap())
        .collect();
    let began = Instant::now();
    assert!(printed(&server.run(&["user", "show", "alice"])).contains("alice"));
    assert!(began.elapsed() < Duration::from_secs(4), "it waited");
    drop(silent);
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn more_commands_than_are_taken_at_once_are_told_to_try_again() {
    let server = filled(1, 1);
    let silent: Vec<_> = (0..16)
        .map(|_| std::os::unix::net::UnixStream::connect(server.data().join("control.sock")).unwrap())
        .collect();
    assert_fails(&server.run(&["user", "show", "alice"]), "as many commands as it takes at once");
    drop(silent);
    while !server.run(&["user", "show", "alice"]).status.success() {
        std::thread::yield_now();
    }
}

#[test]
fn a_stop_breaks_off_a_backup_and_leaves_nothing_of_it() {
    let mut server = filled(4, 60_000);
    let mut backup = server.command(&["backup", "copy.redb"]);
    let mut backup = backup.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while !server.folder().join("copy.redb.unfinished").exists() {
        assert_eq!(backup.try_wait().unwrap(), None, "the backup is too quick for this test");
    }
    assert_eq!(server.stop(), Some(0));
    let mut told = String::new();
    BufReader::new(backup.stderr.take().unwrap()).read_line(&mut told).unwrap();
    assert_eq!(backup.wait().unwrap().code(), Some(1), "{told}");
    assert!(told.contains("the server is stopping"), "{told}");
    assert!(!server.folder().join("copy.redb").exists());
    assert!(!server.folder().join("copy.redb.unfinished").exists());
}

#[test]
fn following_the_log_prints_what_is_new_and_goes_on_over_a_restore() {
    let server = filled(1, 1);
    printed(&server.run(&["backup", "copy.redb"]));
    for name in ["bob", "carol", "dave"] {
        server.add_user(name);
    }
    let mut follow = server.command(&["audit", "tail", "--lines", "0", "--follow", "--json"]);
    let mut follow = follow.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    let mut next = || {
        let entry: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        entry["event"].as_str().unwrap().to_owned()
    };
    // It has read where the log ends once it asks again; nothing says so from outside, so it is told until it tells.
    let (told, stop) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let server = &server;
        scope.spawn(move || {
            while stop.try_recv().is_err() {
                printed(&server.run(&["user", "reset", "bob"]));
                std::thread::sleep(Duration::from_millis(300));
            }
        });
        assert_eq!(next(), "code_issued", "with no lines asked for, nothing old is printed");
        told.send(()).unwrap();
    });
    printed(&server.run(&["restore", "copy.redb"]));
    while next() == "code_issued" {}
    server.add_user("erin");
    assert_eq!(next(), "user_added");
    follow.kill().unwrap();
    let output = follow.wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("a restore put another log in the place"));
}
