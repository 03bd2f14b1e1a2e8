//! Backup, restore, compaction and a clock put back: the same commands, words and outcome whether a server runs or not.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use latchkey::command;
use latchkey::keys::Keys;
use latchkey::session::{Policy, Session, SessionId};
use latchkey::store::Store;
use latchkey::time::{Now, UnixMillis};
use latchkey::user::UserId;
use latchkey_tests::http::{Answer, Request};
use latchkey_tests::server::{PASSWORD, Server, Setup, Tokens, assert_fails, printed};
use redb::ReadableTable;
use serde_json::Value;

const SERVER: &str = env!("CARGO_BIN_EXE_server-under-test");
const LIVE: bool = true;
const STOPPED: bool = false;

fn without_grace() -> (Server, Tokens) {
    let server = Setup::new(SERVER).with("GRACE_SECS", 0).with("ARGON2_PROFILE", "low-memory").start();
    server.add_user("alice");
    let tokens = server.login("alice");
    (server, tokens)
}

/// Runs a command with the server running, or between a stop and a start of it.
fn run(server: &mut Server, live: bool, arguments: &[&str]) -> std::process::Output {
    if live {
        return server.run(arguments);
    }
    server.stop();
    let output = server.run(arguments);
    server.start();
    output
}

fn events(server: &Server) -> Vec<String> {
    let entries: Vec<Value> =
        serde_json::from_str(&printed(&server.run(&["audit", "tail", "--lines", "1000", "--json"]))).unwrap();
    entries.iter().map(|entry| entry["event"].as_str().unwrap().to_owned()).collect()
}

fn store_of(server: &Server) -> std::path::PathBuf {
    server.data().join("latchkey.redb")
}

/// What lies in the data folder, but for the socket.
fn files(server: &Server) -> Vec<String> {
    let names = fs::read_dir(server.data()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.retain(|name| name != "control.sock");
    names.sort();
    names
}

fn change_meta(path: &Path, key: &str, change: impl FnOnce(&[u8]) -> Vec<u8>) {
    let meta: redb::TableDefinition<'_, &str, &[u8]> = redb::TableDefinition::new("meta");
    let database = redb::Database::open(path).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut meta = transaction.open_table(meta).unwrap();
        let changed = change(meta.get(key).unwrap().unwrap().value());
        meta.insert(key, changed.as_slice()).unwrap();
    }
    transaction.commit().unwrap();
}

/// Puts so many sessions into the store of a stopped server, of a user that is not there.
fn fill(server: &Server, sessions: u64) {
    let store = Store::open(&store_of(server), |_| {}).unwrap();
    let keys = Keys::read(&server.data().join("keys")).unwrap();
    store.use_audit_key(keys.signing_audit_key().clone());
    let policy = Policy { grace_secs: 0, inactivity_secs: 1000, lifetime_secs: 1000 };
    store
        .write(move |writes| {
            let name = "nobody".parse().unwrap();
            let hash = latchkey::user::PasswordHash(String::new());
            let new = command::NewUser {
                id: UserId(1),
                name,
                role: latchkey::user::Role::User,
                password_hash: hash,
            };
            command::add_user(writes, new, None, Now::default())?;
            let user = writes.user(UserId(1))?.unwrap();
            for number in 0..sessions {
                let now = Now::at(UnixMillis(4_000_000_000_000));
                let session = Session::begin(&user, 1, [127, 0, 0, 1].into(), "", now, &policy);
                writes.put_session(SessionId::new(UserId(1), number.to_be_bytes()), &session)?;
            }
            Ok(())
        })
        .unwrap();
}

/// Whether an answer is a promise kept: what was asked for, or a refusal that says when to ask again.
#[track_caller]
fn assert_good_or_wait(answer: &Answer) {
    match answer.status {
        200 => {}
        503 => assert!(answer.field("retry-after").is_some(), "{answer:?}"),
        _ => panic!("neither good nor a wait: {answer:?}"),
    }
}

fn restoring_ends_all_sessions_and_says_what_went_back(live: bool) {
    let (mut server, tokens) = without_grace();
    let made = printed(&server.run(&["backup", "copy.redb"]));
    assert!(made.contains("backed up 1 users and 1 session records"), "{made}");
    assert_fails(&server.run(&["backup", "copy.redb"]), "there is a file of that name already");
    server.add_user("bob");
    let later = server.login("bob");
    assert!(server.run(&["user", "disable", "alice"]).status.success());

    let restored = printed(&run(&mut server, live, &["restore", "copy.redb"]));
    let expected = "restored 1 users from copy.redb\n\
        ended all sessions: a backup brings back some that have ended since\n\
        the store before is kept as ./latchkey-data/latchkey.redb.replaced-1\n  \
        alice went back: enabled again\n  bob is not in the backup\n";
    assert_eq!(restored, expected);
    assert_eq!(files(&server), ["keys", "latchkey.redb", "latchkey.redb.replaced-1"]);
    assert_eq!(fs::metadata(store_of(&server)).unwrap().permissions().mode() & 0o777, 0o600);

    server.refresh(&tokens.refresh, None).assert_refused(401, "session_revoked", "login");
    server.get("/api/me", &tokens.access).assert_refused(401, "invalid_token", "refresh");
    server.refresh(&later.refresh, None).assert_refused(401, "session_ended", "login");
    server.try_login("bob", PASSWORD).assert_refused(401, "invalid_credentials", "login");
    let new = server.login("alice");
    assert_eq!(events(&server), ["user_added", "signed_in", "restored", "signed_in"]);
    assert!(server.run(&["audit", "verify"]).status.success());

    // What is written from now on is in the new store, and there is only one.
    server.kill();
    server.start();
    assert_eq!(server.refresh(&new.refresh, None).status, 200);
}

#[test]
fn restoring_ends_all_sessions_while_the_server_runs() {
    restoring_ends_all_sessions_and_says_what_went_back(LIVE);
}

#[test]
fn restoring_ends_all_sessions_while_the_server_does_not_run() {
    restoring_ends_all_sessions_and_says_what_went_back(STOPPED);
}

#[test]
fn a_backup_restored_with_its_sessions_heals_those_that_went_on() {
    for live in [LIVE, STOPPED] {
        let (mut server, first) = without_grace();
        printed(&server.run(&["backup", "copy.redb"]));
        printed(&server.run(&["key", "rotate"]));
        let second = Tokens::from(&server.refresh(&first.refresh, None));
        let told = printed(&run(&mut server, live, &["restore", "copy.redb", "--keep-sessions"]));
        assert!(told.contains("kept the sessions of the backup"), "{told}");
        assert_eq!(server.get("/api/me", &second.access).status, 200);
        assert_eq!(server.refresh(&second.refresh, None).status, 200, "row 4");
        server.stop();
        server.start();
    }
}

#[test]
fn what_cannot_be_restored_is_refused_and_changes_nothing() {
    for live in [LIVE, STOPPED] {
        let (mut server, tokens) = without_grace();
        printed(&server.run(&["backup", "good.redb"]));
        let at = |name: &str| server.folder().join(name);
        fs::write(at("letter.txt"), "dear bank ".repeat(1000)).unwrap();
        fs::write(at("empty.redb"), "").unwrap();
        let mut bytes = fs::read(at("good.redb")).unwrap();
        fs::write(at("short.redb"), &bytes[..bytes.len() / 2]).unwrap();
        for byte in &mut bytes[4096..] {
            *byte ^= 0x10;
        }
        fs::write(at("flipped.redb"), &bytes).unwrap();
        fs::copy(at("good.redb"), at("newer.redb")).unwrap();
        change_meta(&at("newer.redb"), "schema", |_| 9_u32.to_be_bytes().to_vec());
        let other = Setup::new(SERVER).stopped();
        other.add_user("mallory");
        let foreign = store_of(&other).to_str().unwrap().to_owned();
        let own = store_of(&server).to_str().unwrap().to_owned();

        for (arguments, refusal) in [
            (["restore", "letter.txt"].as_slice(), "letter.txt is damaged or no latchkey store"),
            (&["restore", "empty.redb"], "empty.redb"),
            (&["restore", "short.redb"], "short.redb is damaged"),
            (&["restore", "flipped.redb"], "flipped.redb is damaged"),
            (&["restore", "newer.redb"], "newer.redb has schema 9"),
            (&["restore", "nowhere.redb"], "nowhere.redb cannot be read"),
            (&["restore", &foreign, "--keep-sessions"], "another key 1"),
            (&["restore", &own], "this file is the store itself"),
        ] {
            assert_fails(&run(&mut server, live, arguments), refusal);
        }
        assert_eq!(files(&server), ["keys", "latchkey.redb"], "no hashes are left lying about");
        assert_eq!(server.refresh(&tokens.refresh, None).status, 200);
        assert_eq!(events(&server), ["user_added", "signed_in"]);
    }
}

#[test]
fn a_backup_replaces_a_damaged_store_and_moves_to_a_machine_without_keys() {
    let (mut server, _) = without_grace();
    printed(&server.run(&["backup", "copy.redb"]));
    server.stop();
    let flipped: Vec<u8> = fs::read(store_of(&server)).unwrap().iter().map(|byte| byte ^ 0x55).collect();
    fs::write(store_of(&server), flipped).unwrap();
    fs::set_permissions(server.folder().join("copy.redb"), fs::Permissions::from_mode(0o444)).unwrap();
    assert!(printed(&server.run(&["restore", "copy.redb"])).contains("restored 1 users"));
    assert_eq!(files(&server), ["keys", "latchkey.redb", "latchkey.redb.replaced-1"]);
    server.start();
    server.login("alice");

    let mut elsewhere = Setup::new(SERVER).stopped();
    let copy = server.folder().join("copy.redb");
    let restore = ["restore", copy.to_str().unwrap()];
    assert_fails(&elsewhere.run(&restore), "there is no key file at ./latchkey-data/keys");
    assert_eq!(files(&elsewhere), [""; 0], "no key is made unasked");
    let told = printed(&elsewhere.run(&[&restore[..], &["--new-key"]].concat()));
    assert!(told.contains("made a new key file at ./latchkey-data/keys"), "{told}");
    assert!(told.contains("taken over as not verified: the logs cannot be verified"), "{told}");
    assert_fails(&elsewhere.run(&[&restore[..], &["--new-key"]].concat()), "there is a key file at");
    assert_eq!(files(&elsewhere), ["keys", "latchkey.redb"]);
    elsewhere.start();
    elsewhere.login("alice");
}

/// Refreshes one session until `stop` or a 401, each answer good or a wait; returns the last answer and token.
fn refresh_on(
    server: &Server,
    first: Tokens,
    stop: &AtomicBool,
    rotations: &AtomicU32,
) -> (Tokens, Option<Answer>) {
    let mut tokens = first;
    for number in 0.. {
        let key = format!("retry-key-{number:010}");
        while !stop.load(Ordering::Relaxed) {
            let answer = server.refresh(&tokens.refresh, Some(&key));
            if answer.status == 401 {
                return (tokens, Some(answer));
            }
            assert_good_or_wait(&answer);
            if answer.status == 200 {
                tokens = Tokens::from(&answer);
                rotations.fetch_add(1, Ordering::Relaxed);
                break;
            }
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    (tokens, None)
}

/// Waits until `count` has grown by `more`, so that there is load before and after what a test does.
fn wait_for(count: &AtomicU32, more: u32) {
    let goal = count.load(Ordering::Relaxed) + more;
    let deadline = Instant::now() + Duration::from_secs(60);
    while count.load(Ordering::Relaxed) < goal {
        assert!(Instant::now() < deadline, "the clients hang");
        thread::yield_now();
    }
}

#[test]
fn clients_notice_nothing_of_a_compaction_and_are_signed_out_by_a_restore() {
    let (mut server, tokens) = without_grace();
    server.stop();
    fill(&server, 20_000);
    server.start();
    printed(&server.run(&["backup", "copy.redb"]));
    let (stop, rotations) = (AtomicBool::new(false), AtomicU32::new(0));
    let clients: Vec<_> = (0..6).map(|_| server.login("alice")).chain([tokens]).collect();
    printed(&server.run(&["backup", "later.redb"]));
    let server = &server;
    thread::scope(|scope| {
        let (stop, rotations) = (&stop, &rotations);
        let refreshing: Vec<_> = clients
            .into_iter()
            .map(|tokens| scope.spawn(move || refresh_on(server, tokens, stop, rotations)))
            .collect();
        for _ in 0..3 {
            wait_for(rotations, 50);
            assert!(printed(&server.run(&["compact"])).starts_with("compacted from"));
        }
        wait_for(rotations, 50);
        printed(&server.run(&["restore", "later.redb"]));
        for client in refreshing {
            let (tokens, last) = client.join().unwrap();
            last.expect("it went on until it was told").assert_refused(401, "session_revoked", "login");
            let me = server.get("/api/me", &tokens.access);
            me.assert_refused(401, "invalid_token", "refresh");
        }
    });
    assert!(!server.log().contains("a spent refresh token"), "{}", server.log());
    assert!(server.run(&["audit", "verify"]).status.success());
    server.login("alice");
}

#[test]
fn a_kill_during_a_restore_or_compaction_leaves_one_store_or_the_other() {
    let (mut server, _) = without_grace();
    server.stop();
    fill(&server, 10_000);
    server.start();
    printed(&server.run(&["backup", "copy.redb"]));
    server.add_user("bob");
    let began = Instant::now();
    printed(&server.run(&["compact"]));
    let whole = began.elapsed() * 3;
    for kill in 0..12_u32 {
        let arguments: &[&str] = if kill % 3 == 2 { &["compact"] } else { &["restore", "copy.redb"] };
        let mut child =
            server.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Not a wait for anything: the kill has to come at another moment each time.
        thread::sleep(whole * kill / 12);
        server.kill();
        child.wait().unwrap();
        server.start();
        let left: Vec<_> = files(&server).into_iter().filter(|name| name.contains("replacement")).collect();
        assert_eq!(left, [""; 0], "what was left is cleared away");
        let users = printed(&server.run(&["user", "list"]));
        let is_new = !users.contains("bob");
        assert!(users.contains("alice"), "{users}");
        assert!(server.run(&["audit", "verify"]).status.success());
        let last = events(&server).pop().unwrap();
        assert_eq!(last == "restored", is_new, "the one or the other, whole: {last}");
        server.login("alice");
        if is_new {
            server.add_user("bob");
            server.stop();
            for file in files(&server).iter().filter(|file| file.contains("replaced")) {
                fs::remove_file(server.data().join(file)).unwrap();
            }
            server.start();
        }
    }
}

#[test]
fn a_store_that_was_killed_between_two_steps_of_a_restore_is_the_old_one_and_can_be_restored() {
    let (mut server, tokens) = without_grace();
    printed(&server.run(&["backup", "copy.redb"]));
    server.kill();
    // As it is after the copy is made and the old store has its second name, before the rename.
    fs::copy(server.folder().join("copy.redb"), server.data().join("latchkey.redb.replacement")).unwrap();
    fs::hard_link(store_of(&server), server.data().join("latchkey.redb.replaced-1")).unwrap();
    server.start();
    assert_eq!(files(&server), ["keys", "latchkey.redb", "latchkey.redb.replaced-1"]);
    assert_eq!(server.refresh(&tokens.refresh, None).status, 200);
    assert!(printed(&server.run(&["restore", "copy.redb"])).contains("latchkey.redb.replaced-2"));
}

#[test]
fn without_room_for_the_copy_nothing_changes_and_the_server_goes_on() {
    let (mut server, tokens) = without_grace();
    server.stop();
    let folder = tempfile::tempdir().unwrap();
    let small = folder.path().join("small.redb");
    fs::copy(store_of(&server), &small).unwrap();
    fill(&server, 30_000);
    let big = fs::metadata(store_of(&server)).unwrap().len();
    fs::rename(store_of(&server), server.folder().join("big.redb")).unwrap();
    fs::copy(&small, store_of(&server)).unwrap();
    fs::set_permissions(store_of(&server), fs::Permissions::from_mode(0o600)).unwrap();
    server.limit_files(Some(big / 1024 / 2));
    server.start();
    assert_fails(&server.run(&["restore", "big.redb"]), "nothing was changed");
    assert_eq!(files(&server), ["keys", "latchkey.redb"]);
    assert_eq!(server.refresh(&tokens.refresh, None).status, 200);
}

#[test]
fn compacting_makes_the_file_small_and_keeps_everything() {
    for live in [LIVE, STOPPED] {
        let (mut server, tokens) = without_grace();
        server.stop();
        fill(&server, 20_000);
        printed(&server.run(&["user", "delete", "nobody", "--yes"]));
        server.start();
        let before = fs::metadata(store_of(&server)).unwrap();
        let told = printed(&run(&mut server, live, &["compact"]));
        let after = fs::metadata(store_of(&server)).unwrap();
        assert!(after.len() < before.len() / 2, "{} of {}", after.len(), before.len());
        assert!(told.contains(&format!("to {} KiB", after.len() / 1024)), "{told}");
        assert_eq!(after.mode() & 0o777, 0o600);
        assert_eq!(files(&server), ["keys", "latchkey.redb"]);
        assert_eq!(server.refresh(&tokens.refresh, None).status, 200);
        assert_eq!(events(&server), ["user_added", "signed_in", "user_added", "user_deleted"]);
        assert!(server.run(&["audit", "verify"]).status.success());
    }
}

#[test]
fn a_clock_that_is_not_behind_needs_no_acceptance() {
    let (server, tokens) = without_grace();
    assert_fails(&server.run(&["clock", "accept", "--yes"]), "there is nothing to accept");
    assert_fails(&server.run(&["clock", "accept"]), "--yes");
    assert_eq!(server.get("/api/me", &tokens.access).status, 200);
}

fn a_clock_that_was_ahead_is_put_back(live: bool) {
    let (mut server, tokens) = without_grace();
    server.stop();
    change_meta(&store_of(&server), "highest_time_ms", |seen| {
        let two_hours_on = u64::from_be_bytes(seen.try_into().unwrap()) + 7_200_000;
        two_hours_on.to_be_bytes().to_vec()
    });
    server.start();
    assert!(server.log().contains("s behind the time this store has seen"), "{}", server.log());
    assert_eq!(server.get("/api/me", &tokens.access).status, 200, "it is stamped with the system's time");
    let later = Tokens::from(&server.refresh(&tokens.refresh, None));
    assert_eq!(server.get("/api/me", &later.access).status, 200);
    server.send(Request::get("/readyz")).assert_refused(503, "not_ready", "retry");

    let (stop, rotations) = (AtomicBool::new(false), AtomicU32::new(0));
    if live {
        // With a client at it: what it asked for in the time before must not bring that time back.
        let server = &server;
        thread::scope(|scope| {
            let refreshing = scope.spawn(|| refresh_on(server, later.clone(), &stop, &rotations));
            wait_for(&rotations, 20);
            let told = printed(&server.run(&["clock", "accept", "--yes"]));
            assert!(told.contains("went back 7") && told.contains("s and ended every session"), "{told}");
            let (_, last) = refreshing.join().unwrap();
            last.expect("every session ended").assert_refused(401, "session_revoked", "login");
        });
    } else {
        let told = printed(&run(&mut server, live, &["clock", "accept", "--yes"]));
        assert!(told.contains("went back 7") && told.contains("s and ended every session"), "{told}");
        server.refresh(&later.refresh, None).assert_refused(401, "session_revoked", "login");
    }
    assert_eq!(server.send(Request::get("/readyz")).status, 200);
    let new = server.login("alice");
    assert_fails(&server.run(&["clock", "accept", "--yes"]), "there is nothing to accept");
    server.kill();
    server.start();
    assert_eq!(server.send(Request::get("/readyz")).status, 200, "the time of before is not in the store");
    assert_eq!(server.refresh(&new.refresh, None).status, 200);
    assert!(events(&server).contains(&"clock_accepted".to_owned()));
}

#[test]
fn a_clock_that_was_ahead_is_put_back_while_the_server_runs() {
    a_clock_that_was_ahead_is_put_back(LIVE);
}

#[test]
fn a_clock_that_was_ahead_is_put_back_while_the_server_does_not_run() {
    a_clock_that_was_ahead_is_put_back(STOPPED);
}

#[test]
fn a_server_takes_on_the_time_of_the_backup_it_restores() {
    let (mut server, _) = without_grace();
    printed(&server.run(&["backup", "copy.redb"]));
    change_meta(&server.folder().join("copy.redb"), "highest_time_ms", |seen| {
        let two_hours_on = u64::from_be_bytes(seen.try_into().unwrap()) + 7_200_000;
        two_hours_on.to_be_bytes().to_vec()
    });
    printed(&server.run(&["restore", "copy.redb"]));
    server.send(Request::get("/readyz")).assert_refused(503, "not_ready", "retry");
    server.stop();
    server.start();
    server.send(Request::get("/readyz")).assert_refused(503, "not_ready", "retry");
}

/// What a command writes to standard error when that is a terminal.
fn shown_on_a_terminal(server: &Server, arguments: &[&str]) -> String {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let terminal = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    let mut command = server.command(arguments);
    let mut child = command.stdout(Stdio::null()).stderr(terminal).spawn().unwrap();
    drop(command);
    let mut shown = Vec::new();
    // Ends with an error once nobody holds the other side.
    let _ = File::from(master).read_to_end(&mut shown);
    child.wait().unwrap();
    String::from_utf8(shown).unwrap()
}

#[test]
fn long_work_shows_a_bar_on_a_terminal_and_nothing_elsewhere() {
    let (mut server, _) = without_grace();
    for live in [LIVE, STOPPED] {
        if !live {
            server.stop();
        }
        let copy: &str = if live { "live.redb" } else { "stopped.redb" };
        for arguments in [["backup", copy].as_slice(), &["compact"], &["restore", copy]] {
            let shown = shown_on_a_terminal(&server, arguments);
            let full = format!("\r[{}] 100 %\r\n", "#".repeat(40));
            assert!(shown.ends_with(&full), "{arguments:?}, live {live}: {shown:?}");
            assert_eq!(shown.matches('\n').count(), 1, "{shown:?}");
            if arguments[0] != "backup" {
                assert!(server.run(arguments).stderr.is_empty());
            }
        }
        fs::write(server.folder().join("letter.txt"), "dear bank ".repeat(1000)).unwrap();
        let refused = shown_on_a_terminal(&server, &["restore", "letter.txt"]);
        let lines: Vec<_> = refused.lines().collect();
        assert!(lines.len() == 2 && lines[1].starts_with("latchkey: "), "{refused:?}");
    }
}

#[test]
fn backups_restores_and_compactions_at_once_do_not_meet_in_one_file() {
    let (mut server, _) = without_grace();
    let backup = server.folder().join("backup");
    let path = backup.to_str().unwrap().to_owned();
    printed(&server.run(&["backup", &path]));
    for round in 0..4 {
        let twice = server.folder().join(format!("backup-{round}"));
        let twice = twice.to_str().unwrap();
        let commands = [vec!["restore", &path], vec!["compact"], vec!["restore", &path], vec!["compact"]];
        thread::scope(|threads| {
            let backups = [(); 2].map(|()| threads.spawn(|| server.run(&["backup", twice])));
            for command in commands.map(|command| {
                let server = &server;
                threads.spawn(move || server.run(&command))
            }) {
                printed(&command.join().unwrap());
            }
            let made = backups.map(|backup| backup.join().unwrap().status.success());
            assert_eq!(made.iter().filter(|made| **made).count(), 1);
        });
        let name = format!("bob-{round}");
        server.add_user(&name);
        server.kill();
        server.start();
        assert!(
            printed(&server.run(&["user", "list"])).contains(&name),
            "what was added is in the store's own file"
        );
        printed(&server.run(&["audit", "verify"]));
    }
}
