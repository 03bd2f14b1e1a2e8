//! What strangers send and what administrators get wrong: one clear message each, and nothing is lost.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use latchkey_tests::http::Request;
use latchkey_tests::server::{PASSWORD, Server, Setup, assert_fails, finish, printed};
use redb::ReadableDatabase;
use serde_json::json;

const SERVER: &str = env!("CARGO_BIN_EXE_server-under-test");

fn server_with_alice() -> Server {
    let server = Setup::new(SERVER).start();
    server.add_user("alice");
    server
}

fn login_body(body: impl Into<Vec<u8>>) -> Request {
    Request::post("/api/auth/login").body("application/json", body)
}

#[test]
fn malformed_json_is_400_and_echoes_nothing() {
    let server = server_with_alice();
    let secret = "hunter2hunter2hunter2";
    for body in [
        "",
        "{",
        "null",
        "[]",
        "\"text\"",
        "{}",
        r#"{"username": "alice"}"#,
        r#"{"username": "alice", "password": 5}"#,
        r#"{"username": ["alice"], "password": "hunter2hunter2hunter2"}"#,
        r#"{"username": "alice", "password": {"$ne": "hunter2hunter2hunter2"}}"#,
        r#"{"username": "alice", "password": "hunter2hunter2hunter2", "hunter2hunter2hunter2": 1}"#,
        r#"{"username": "alice", "username": "bob", "password": "hunter2hunter2hunter2"}"#,
        r#"{"username": "alice", "password": "hunter2hunter2hunter2"} trailing"#,
        r#"{"username": "alice", "password": "hunter2hunter2hunter2", "delivery": "pigeon"}"#,
        r#"{"username": "alice", "password": "hunter2hunter2hunter2", "delivery": {"body": null}}"#,
        r#"["alice", "hunter2hunter2hunter2"]"#,
        r#" ["alice", "hunter2hunter2hunter2", "body"]"#,
        r#"{"username": "alice", "password": "\ud83d"}"#,
        "{\"username\": \"alice\", \"password\": \"\u{1}\"}",
    ] {
        let answer = server.send(login_body(body));
        answer.assert_refused(400, "bad_request", "none");
        assert!(!answer.body.contains(secret), "{answer:?}");
    }
    let not_utf8 = [b"{\"username\": \"\xff\", \"password\": \"x\"}".as_slice()].concat();
    server.send(login_body(not_utf8)).assert_refused(400, "bad_request", "none");
    assert!(!server.log().contains(secret));
}

#[test]
fn forty_kilobytes_of_brackets_overflow_nothing() {
    let server = server_with_alice();
    server.send(login_body("[".repeat(40_000))).assert_refused(413, "body_too_large", "none");
    for start in ["", r#"{"username": "#, r#"{"username": "a", "password": "b", "unknown": "#] {
        let body = format!("{start}{}", "[".repeat(16_000));
        server.send(login_body(body)).assert_refused(400, "bad_request", "none");
    }
    server.login("alice");
}

#[test]
fn names_over_64_and_passwords_over_256_bytes_are_malformed_log_ins() {
    let server = server_with_alice();
    for (name, password, code) in
        [(64, 256, "invalid_credentials"), (65, 256, "bad_request"), (64, 257, "bad_request")]
    {
        let answer = server.try_login(&"n".repeat(name), &"p".repeat(password));
        assert_eq!(answer.problem().0, code, "{name} {password}");
    }
}

#[test]
fn a_body_of_another_type_is_415() {
    let server = server_with_alice();
    let body = json!({"username": "alice", "password": PASSWORD}).to_string();
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""] {
        let answer = server.send(Request::post("/api/auth/login").body(content_type, body.clone()));
        answer.assert_refused(415, "unsupported_media_type", "none");
    }
    let with_charset = Request::post("/api/auth/login").body("Application/JSON; charset=utf-8", body);
    assert_eq!(server.send(with_charset).status, 200);
}

#[test]
fn a_body_at_the_limit_passes_and_one_byte_more_does_not() {
    let server = server_with_alice();
    let padded = |len: usize| {
        let body = json!({"username": "alice", "password": PASSWORD}).to_string();
        format!("{body}{}", " ".repeat(len - body.len()))
    };
    assert_eq!(server.send(login_body(padded(16_384))).status, 200);
    server.send(login_body(padded(16_385))).assert_refused(413, "body_too_large", "none");
    let in_chunks = |len: usize| {
        let body = padded(len);
        let (first, second) = body.split_at(7);
        let chunks = format!("7\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n", second.len());
        login_body(chunks).field("Transfer-Encoding", "chunked")
    };
    assert_eq!(server.send(in_chunks(16_384)).status, 200);
    server.send(in_chunks(16_385)).assert_refused(413, "body_too_large", "none");
}

#[test]
fn unknown_paths_are_404_and_unknown_methods_405_with_the_methods_there_are() {
    let server = Setup::new(SERVER).start();
    for path in ["/api", "/api/me/", "/API/me", "/index.html", "/../etc/passwd", "//", "/api/auth/sessions/"]
    {
        server.send(Request::get(path)).assert_refused(404, "not_found", "none");
    }
    for (method, path, allow) in [
        ("GET", "/api/auth/login", "POST"),
        ("PUT", "/api/me", "GET, HEAD"),
        ("TRACE", "/", "GET, HEAD"),
        ("POST", "/api/auth/sessions/AAAA", "DELETE"),
        ("OPTIONS", "/api/auth/login", "POST"),
    ] {
        let answer = server.send(Request::new(method, path));
        answer.assert_refused(405, "method_not_allowed", "none");
        assert_eq!(answer.field("allow"), Some(allow), "{method} {path}");
    }
}

#[test]
fn a_port_in_use_is_said_and_the_store_is_not_touched() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let server = Setup::new(SERVER).stopped();
    let output = server.run(&["serve", "--listen", &address]);
    assert_fails(&output, &format!("the address {address} is in use"));
    assert!(!server.data().exists());
}

#[test]
fn a_wrong_setting_is_said_with_what_to_do() {
    let server = Setup::new(SERVER).stopped();
    let run = |name: &str, value: &str| finish(server.command(&["serve"]).env(name, value), "");
    assert_fails(&run("LATCHKEY_ACCESS_TTL", "5"), "LATCHKEY_ACCESS_TTL is no setting");
    assert_fails(&run("LATCHKEY_GRACE_SECS", "61"), "a whole number from 0 to 60");
    assert_fails(&run("LATCHKEY_LISTEN", "0.0.0.0:8080"), "clear text");
    assert_fails(&run("LATCHKEY_PUBLIC_URL", "http://auth.example.com"), "https://");
    assert_fails(&server.run(&["serve", "--grace-secs", "many"]), "--grace-secs is `many`");
    let mistyped = server.run(&["serve", "--graze-secs", "5"]);
    assert_eq!(mistyped.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&mistyped.stderr).contains("--grace-secs"), "it is told what was meant");
    fs::write(server.folder().join(".env"), "LATCHKEY_LISTN=127.0.0.1:1\n").unwrap();
    assert_fails(&server.run(&["serve"]), "LATCHKEY_LISTN in .env is no setting");
    assert!(!server.data().exists());
}

#[test]
fn the_env_file_in_the_working_directory_is_read() {
    let server = Setup::new(SERVER).stopped();
    fs::write(server.folder().join(".env"), "# a comment\nLATCHKEY_GRACE_SECS=17\n").unwrap();
    let report = String::from_utf8(server.run(&["check"]).stdout).unwrap();
    assert!(report.contains("17  (LATCHKEY_GRACE_SECS in .env)"), "{report}");
    let with_flag = String::from_utf8(server.run(&["check", "--grace-secs", "18"]).stdout).unwrap();
    assert!(with_flag.contains("18  (--grace-secs)"), "{with_flag}");
}

#[test]
fn a_second_server_on_one_store_is_refused_and_the_first_goes_on() {
    let server = server_with_alice();
    assert_fails(&server.run(&["serve", "--listen", "127.0.0.1:0"]), "in use by another latchkey");
    server.login("alice");
}

#[test]
fn a_damaged_store_is_refused_and_left_as_it_is() {
    let mut server = server_with_alice();
    server.stop();
    let path = server.data().join("latchkey.redb");
    let good = fs::read(&path).unwrap();
    let everything_flipped = good.iter().map(|byte| byte ^ 0x55).collect();
    let pages_flipped =
        [&good[..4096], &good[4096..].iter().map(|byte| byte ^ 0x55).collect::<Vec<_>>()].concat();
    let cut_short = good[..good.len() / 2].to_vec();
    for bad in [everything_flipped, pages_flipped, cut_short] {
        fs::write(&path, &bad).unwrap();
        for command in ["check", "serve"] {
            assert_fails(&server.run(&[command, "--listen", "127.0.0.1:0"]), "is damaged");
            assert!(fs::read(&path).unwrap() == bad, "{command} changed the file");
        }
    }
    fs::write(&path, &good).unwrap();
    server.start();
    server.login("alice");
}

#[test]
fn a_store_without_permission_is_refused() {
    let mut server = server_with_alice();
    server.stop();
    let path = server.data().join("latchkey.redb");
    let mut command = server.command(&["serve", "--listen", "127.0.0.1:0"]);
    if is_root() {
        // To root nothing is forbidden: let a copy of the program run as nobody, who may look but not read.
        let copy = server.folder().join("latchkey");
        fs::copy(command.get_program(), &copy).unwrap();
        for path in [server.folder(), &copy, &server.data()] {
            fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
        }
        command = Command::new(copy);
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .current_dir(server.folder())
            .env_clear()
            .uid(65_534);
    } else {
        fs::set_permissions(&path, Permissions::from_mode(0o000)).unwrap();
    }
    assert_fails(&finish(&mut command, ""), "no permission to read and write the store");
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(server.data(), Permissions::from_mode(0o700)).unwrap();
    server.start();
    server.login("alice");
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout == b"0\n"
}

#[test]
fn a_store_of_a_newer_schema_is_refused_and_left_as_it_is() {
    let mut server = server_with_alice();
    server.stop();
    let path = server.data().join("latchkey.redb");
    let meta: redb::TableDefinition<'_, &str, &[u8]> = redb::TableDefinition::new("meta");
    let database = redb::Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(meta).unwrap().insert("schema", 9_u32.to_be_bytes().as_slice()).unwrap();
    transaction.commit().unwrap();
    drop(database);
    for command in ["serve", "check"] {
        assert_fails(&server.run(&[command, "--listen", "127.0.0.1:0"]), "run the newer latchkey");
    }
    let database = redb::Database::open(&path).unwrap();
    let meta = database.begin_read().unwrap().open_table(meta).unwrap();
    assert_eq!(meta.get("schema").unwrap().unwrap().value(), 9_u32.to_be_bytes());
}

/// The refresh token of alice in the store of schema 2, which is good for a year.
const ALICE_OF_SCHEMA_2: &str =
    concat!("AQHkTjogpKPztFVh4eWSsKUoAAAAAUgyGtxg", "HTZelEci52SaWE3sfitemoZ7KYpU-UwZpcQN");

/// A data folder with the key file of schema 2, or without, and its store in a file of this name; `is_tampered_with` takes
/// away where its audit log ends.
fn with_schema_2(file: &str, has_keys: bool, is_tampered_with: bool) -> Server {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/tests/fixtures/schema-2");
    let server = Setup::new(SERVER).with("GRACE_SECS", 0).stopped();
    fs::create_dir(server.data()).unwrap();
    fs::set_permissions(server.data(), Permissions::from_mode(0o700)).unwrap();
    let (store, keys) = (server.folder().join(file), server.data().join("keys"));
    let files = [(fixture.join("latchkey.redb"), &store), (fixture.join("keys"), &keys)];
    for (from, to) in &files[..if has_keys { 2 } else { 1 }] {
        fs::copy(from, to).unwrap();
        fs::set_permissions(to, Permissions::from_mode(0o600)).unwrap();
    }
    if is_tampered_with {
        let database = redb::Database::open(store).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(META).unwrap().remove("audit_head").unwrap();
        transaction.commit().unwrap();
    }
    server
}

const META: redb::TableDefinition<'_, &str, &[u8]> = redb::TableDefinition::new("meta");

#[test]
fn a_store_of_schema_2_keeps_sessions_and_audit_log_and_is_refused_by_what_wrote_it() {
    for is_tampered_with in [false, true] {
        let mut server = with_schema_2("latchkey-data/latchkey.redb", true, is_tampered_with);
        server.start();
        let verified = server.run(&["audit", "verify"]);
        assert_eq!(verified.status.success(), !is_tampered_with, "{verified:?}");
        let tail = printed(&server.run(&["audit", "tail"]));
        for event in
            ["user_added, user alice", "user_added, user bob", "signed_in, user alice", "key_rotated"]
        {
            assert!(tail.contains(event), "{tail}");
        }
        assert_eq!(server.refresh(ALICE_OF_SCHEMA_2, None).status, 200);
        // What an older binary finds is a schema that it does not know.
        server.stop();
        let database = redb::Database::open(server.data().join("latchkey.redb")).unwrap();
        let table = database.begin_read().unwrap().open_table(META).unwrap();
        assert_eq!(table.get("schema").unwrap().unwrap().value(), 3_u32.to_be_bytes());
    }
}

#[test]
fn a_backup_of_schema_2_keeps_its_audit_log_and_tells_when_it_was_tampered_with() {
    for (has_keys, is_tampered_with) in [(true, false), (true, true), (false, false)] {
        let server = with_schema_2("copy.redb", has_keys, is_tampered_with);
        let more = if has_keys { &[][..] } else { &["--new-key"] };
        let told = printed(&server.run(&[&["restore", "copy.redb"][..], more].concat()));
        assert_eq!(told.contains("not verified"), !has_keys || is_tampered_with, "{told}");
        let verified = printed(&server.run(&["audit", "verify"]));
        assert_eq!(verified.contains("unverified"), !has_keys || is_tampered_with, "{verified}");
        let tail = printed(&server.run(&["audit", "tail"]));
        for event in ["user_added, user alice", "key_rotated", "restored"] {
            assert!(tail.contains(event), "{tail}");
        }
    }
}

#[test]
fn a_disk_that_is_full_at_the_first_start_is_said_and_the_next_start_goes_on() {
    let mut server = Setup::new(SERVER).stopped();
    server.limit_files(Some(64));
    let output = server.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_fails(&output, "no room left to write the store");
    server.limit_files(None);
    server.start();
    server.add_user("alice");
    server.login("alice");
}

#[test]
fn a_disk_that_fills_up_stops_the_server_and_loses_nothing_acknowledged() {
    let mut server = server_with_alice();
    server.stop();
    let len = fs::metadata(server.data().join("latchkey.redb")).unwrap().len();
    server.limit_files(Some(len / 1024));
    server.start();

    let mut acknowledged = Vec::new();
    let refused = loop {
        let added = server.run_with_input(
            &["user", "add", &format!("user-{}", acknowledged.len()), "--password-stdin"],
            PASSWORD,
        );
        if !added.status.success() {
            break added;
        }
        acknowledged.push(format!("user-{}", acknowledged.len()));
        assert!(acknowledged.len() < 10_000, "the disk never fills up");
    };
    assert_fails(&refused, "the store has failed");
    assert_eq!(server.wait(), Some(74), "{}", server.log());
    assert!(server.log().contains("look at the disk"), "{}", server.log());

    server.limit_files(None);
    server.start();
    let list = String::from_utf8(server.run(&["user", "list"]).stdout).unwrap();
    for name in &acknowledged {
        assert!(list.contains(name.as_str()), "{name} is lost");
    }
    server.login("alice");
}

#[test]
fn a_lost_foreign_or_public_key_file_is_refused_and_the_right_one_goes_on() {
    let mut server = server_with_alice();
    let tokens = server.login("alice");
    server.stop();
    let path = server.data().join("keys");
    let ours = fs::read_to_string(&path).unwrap();

    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    assert_fails(&server.run(&["serve", "--listen", "127.0.0.1:0"]), "chmod 600");
    fs::remove_file(&path).unwrap();
    assert_fails(&server.run(&["serve", "--listen", "127.0.0.1:0"]), "is gone");
    let foreign = format!("latchkey-keys 1\n1 {}\n", "A".repeat(43));
    fs::write(&path, foreign).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    assert_fails(&server.run(&["serve", "--listen", "127.0.0.1:0"]), "another key 1");

    fs::write(&path, ours).unwrap();
    server.start();
    assert_eq!(server.get("/api/me", &tokens.access).status, 200);
}

#[test]
fn a_store_of_zero_bytes_is_no_new_store() {
    let mut server = server_with_alice();
    server.stop();
    let path = server.data().join("latchkey.redb");
    let kept = fs::read(&path).unwrap();
    fs::write(&path, "").unwrap();
    for command in [&["check"][..], &["serve"], &["user", "list"], &["user", "reset", "alice"]] {
        assert_fails(&server.run(command), "is an empty file");
    }
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
    fs::write(&path, kept).unwrap();
    server.start();
    server.login("alice");
}

#[test]
fn a_command_in_the_wrong_folder_says_that_it_made_a_store() {
    let server = Setup::new(SERVER).stopped();
    let add = |name: &str| {
        let output = server.run_with_input(&["user", "add", name, "--password-stdin"], PASSWORD);
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    assert_eq!(add("alice"), "latchkey: made a new store in ./latchkey-data, where there was none\n");
    assert_eq!(add("bob"), "");
}

#[test]
fn a_damaged_record_fails_its_owner_alone() {
    let mut server = server_with_alice();
    server.add_user("bob");
    let (alice, bob) = (server.login("alice"), server.login("bob"));
    server.stop();
    let id = latchkey::session::SessionId::from_handle(&alice.session).unwrap();
    let sessions: redb::TableDefinition<'_, &[u8; 16], &[u8; 120]> = redb::TableDefinition::new("sessions");
    let database = redb::Database::open(server.data().join("latchkey.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(sessions).unwrap().insert(&id.0, &[0xff; 120]).unwrap();
    transaction.commit().unwrap();
    drop(database);
    server.start();
    for _ in 0..3 {
        server.refresh(&alice.refresh, None).assert_refused(503, "unavailable", "retry");
        server.get("/api/me", &alice.access).assert_refused(503, "unavailable", "retry");
        assert_eq!(server.get("/api/me", &bob.access).status, 200);
    }
    assert_eq!(server.refresh(&bob.refresh, None).status, 200);
    server.login("bob");
    assert_eq!(server.stop(), Some(0));
}

/// The owner of whatever lies in the data folder.
fn owners(server: &Server) -> Vec<(String, u32)> {
    use std::os::unix::fs::MetadataExt;
    let entries = fs::read_dir(server.data()).unwrap().map(Result::unwrap);
    let mut owners: Vec<_> = entries
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().uid()))
        .collect();
    owners.sort();
    owners
}

#[test]
fn what_root_does_to_a_stopped_service_leaves_it_the_files() {
    if !is_root() {
        eprintln!("SKIPPED: only root can give files away");
        return;
    }
    const NOBODY: u32 = 65_534;
    let server = Setup::new(SERVER).stopped();
    let give = || {
        std::os::unix::fs::chown(server.data(), Some(NOBODY), Some(NOBODY)).unwrap();
        for (name, _) in owners(&server) {
            std::os::unix::fs::chown(server.data().join(name), Some(NOBODY), Some(NOBODY)).unwrap();
        }
    };
    fs::create_dir(server.data()).unwrap();
    fs::set_permissions(server.data(), Permissions::from_mode(0o700)).unwrap();
    give();
    server.add_user("alice");
    for command in [
        &["backup", "copy.redb"][..],
        &["key", "rotate"],
        &["key", "add"],
        &["compact"],
        &["restore", "copy.redb"],
    ] {
        assert!(server.run(command).status.success(), "{command:?}");
        let theirs = owners(&server);
        assert!(theirs.iter().all(|(_, owner)| *owner == NOBODY), "{command:?}: {theirs:?}");
    }
}
