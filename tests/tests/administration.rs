//! What an administrator does to a store, with the server running and without: sessions, keys and logs.

use std::fs;
use std::thread;
use std::time::Duration;

use latchkey_tests::http::Request;
use latchkey_tests::server::{PASSWORD, Server, Setup, Tokens, assert_fails, printed};
use redb::ReadableTable;
use serde_json::Value;

const SERVER: &str = env!("CARGO_BIN_EXE_server-under-test");
const KEY_A: &str = "retry-key-aaaaaaaaaa";

fn json(server: &Server, arguments: &[&str]) -> Vec<Value> {
    serde_json::from_str(&printed(&server.run(&[arguments, &["--json"]].concat()))).unwrap()
}

fn events(server: &Server, more: &[&str]) -> Vec<String> {
    let entries = json(server, &[&["audit", "tail", "--lines", "1000"], more].concat());
    entries.iter().map(|entry| entry["event"].as_str().unwrap().to_owned()).collect()
}

fn without_grace() -> (Server, Tokens) {
    let server = Setup::new(SERVER).with("GRACE_SECS", 0).start();
    server.add_user("alice");
    let tokens = server.login("alice");
    (server, tokens)
}

#[test]
fn sessions_are_listed_and_ended_by_handle_or_by_user() {
    let (server, first) = without_grace();
    server.add_user("bob");
    let (second, bob) = (server.login("alice"), server.login("bob"));
    assert_eq!(json(&server, &["session", "list"]).len(), 3);
    let of_alice = json(&server, &["session", "list", "--user", "ALICE"]);
    assert_eq!(of_alice.len(), 2);
    assert!(of_alice.iter().all(|session| session["user"] == "alice"), "{of_alice:?}");

    assert_eq!(printed(&server.run(&["session", "revoke", &first.session])), "ended the session\n");
    server.get("/api/me", &first.access).assert_refused(401, "invalid_token", "refresh");
    assert_fails(&server.run(&["session", "revoke", &first.session]), "no such session");
    printed(&server.run(&["session", "revoke-all", "--user", "alice"]));
    server.refresh(&second.refresh, None).assert_refused(401, "session_revoked", "login");
    assert_eq!(server.get("/api/me", &bob.access).status, 200);
}

#[test]
fn after_a_key_rotation_tokens_of_both_keys_work_and_a_lost_answer_is_still_given_again() {
    let (server, first) = without_grace();
    let second = Tokens::from(&server.refresh(&first.refresh, Some(KEY_A)));
    assert!(printed(&server.run(&["key", "rotate"])).starts_with("key 2 signs from now on"));
    assert_eq!(server.get("/api/me", &second.access).status, 200, "an access token of the key before");
    let again = Tokens::from(&server.refresh(&first.refresh, Some(KEY_A)));
    assert_eq!(again.refresh, second.refresh, "row 8 over a key rotation");

    let third = Tokens::from(&server.refresh(&second.refresh, None));
    assert_eq!(server.get("/api/me", &third.access).status, 200);
    assert_fails(&server.run(&["key", "retire", "1"]), "1 living sessions may still hold");
    let fourth = Tokens::from(&server.refresh(&third.refresh, None));
    assert_eq!(json(&server, &["key", "list"])[0]["needed_by_sessions"], 0);
    assert_fails(&server.run(&["key", "retire", "1"]), "access tokens of this key may live until 20");
    assert_eq!(server.get("/api/me", &second.access).status, 200, "it was promised to live until it expires");
    assert_eq!(printed(&server.run(&["key", "retire", "1", "--even-if-tokens-live"])), "retired key 1\n");
    server.get("/api/me", &second.access).assert_refused(401, "invalid_token", "refresh");
    assert_eq!(server.refresh(&fourth.refresh, None).status, 200);
    assert_fails(&server.run(&["key", "retire", "2"]), "the key that signs cannot be retired");
    assert_fails(&server.run(&["key", "retire", "7"]), "no such key");
}

#[test]
fn a_forced_retirement_ends_the_sessions_that_need_the_key_and_survives_a_restart() {
    let (mut server, tokens) = without_grace();
    printed(&server.run(&["key", "rotate"]));
    printed(&server.run(&["key", "retire", "1", "--force", "--even-if-tokens-live"]));
    server.refresh(&tokens.refresh, None).assert_refused(401, "invalid_refresh_token", "login");
    assert_eq!(json(&server, &["session", "list"]).len(), 0);
    server.stop();
    server.start();
    let tokens = server.login("alice");
    assert_eq!(server.refresh(&tokens.refresh, None).status, 200);
}

/// Rewrites the key file as if every key had stopped signing two days ago, or as if nobody had noted when.
fn age_keys(server: &Server, is_noted: bool) {
    let path = server.data().join("keys");
    let text = fs::read_to_string(&path).unwrap();
    let aged = text.lines().map(|line| match line.split_once(' ') {
        Some((kid, rest)) if kid != "#" && rest.contains(' ') => {
            let (key, until) = rest.split_once(' ').unwrap();
            let two_days_ago = until.parse::<u64>().unwrap() - 2 * 86_400;
            if is_noted { format!("{kid} {key} {two_days_ago}\n") } else { format!("{kid} {key}\n") }
        }
        _ => format!("{line}\n"),
    });
    let aged: String = aged.collect();
    fs::write(&path, aged).unwrap();
}

#[test]
fn a_key_is_retired_once_its_access_tokens_have_expired_and_a_file_without_times_needs_a_word_more() {
    let mut server = Setup::new(SERVER).stopped();
    server.add_user("alice");
    for _ in 0..2 {
        printed(&server.run(&["key", "rotate"]));
    }
    assert_fails(&server.run(&["key", "retire", "1"]), "86400 s after it stopped signing");
    age_keys(&server, true);
    let rows = json(&server, &["key", "list"]);
    assert!(
        rows[0]["signed_until"].as_u64() > Some(1_700_000_000) && rows[2]["signed_until"].is_null(),
        "{rows:?}"
    );
    assert!(printed(&server.run(&["key", "list"])).contains("  1         0  until 20"));
    assert_eq!(printed(&server.run(&["key", "retire", "1"])), "retired key 1\n");
    age_keys(&server, false);
    server.start();
    assert_fails(&server.run(&["key", "retire", "2"]), "it is not known when this key stopped signing");
    assert_eq!(printed(&server.run(&["key", "retire", "2", "--even-if-tokens-live"])), "retired key 2\n");
    server.login("alice");
}

#[test]
fn an_exported_key_verifies_our_tokens_with_another_library() {
    let (server, tokens) = without_grace();
    let export = |format: &str| printed(&server.run(&["key", "export", "access", "--format", format]));
    let jwk: Value = serde_json::from_str(&export("jwk")).unwrap();
    assert_eq!(jwk["k"], export("base64url").trim());
    assert_eq!(export("hex").trim().len(), 64);
    let key = jsonwebtoken::DecodingKey::from_base64_secret(&pad(jwk["k"].as_str().unwrap())).unwrap();
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
    validation.set_audience(&[server.url()]);
    validation.set_issuer(&[server.url()]);
    let verified = jsonwebtoken::decode::<Value>(&tokens.access, &key, &validation).unwrap();
    assert_eq!(verified.claims["sid"], tokens.session);
}

/// Plain base64 with padding, as jsonwebtoken wants it.
fn pad(base64url: &str) -> String {
    format!("{}=", base64url.replace('-', "+").replace('_', "/"))
}

#[test]
fn the_audit_log_tells_what_happened_and_both_parties_of_a_reuse() {
    let (server, first) = without_grace();
    let second = Tokens::from(&server.refresh(&first.refresh, Some(KEY_A)));
    server.refresh(&first.refresh, Some(KEY_A)); // a lost answer: retried
    server.refresh(&first.refresh, None).assert_refused(401, "session_revoked", "login");
    drop(second);
    let told = events(&server, &[]);
    assert_eq!(told, ["user_added", "signed_in", "retried", "reused"]);
    let reuse = json(&server, &["audit", "tail", "--lines", "1"]).remove(0);
    assert_eq!(reuse["name"], "alice");
    assert_eq!(reuse["session"], first.session);
    assert_eq!((&reuse["address"], &reuse["other_address"]), (&"127.0.0.1".into(), &"127.0.0.1".into()));
    let text = printed(&server.run(&["audit", "tail"]));
    assert!(text.contains("reused, user alice, session"), "{text}");
    assert!(printed(&server.run(&["audit", "verify"])).contains("main log   whole, 4 entries"));
}

/// The newest entries, as event, user's name and address.
fn told(server: &Server, lines: usize) -> Vec<(String, String, String)> {
    let entries = json(server, &["audit", "tail", "--lines", &lines.to_string()]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    entries
        .iter()
        .map(|entry| (text(&entry["event"]), text(&entry["name"]), text(&entry["address"])))
        .collect()
}

#[test]
fn no_session_ends_without_an_entry_that_says_from_where() {
    let (server, alice) = without_grace();
    server.add_user("bob");
    // Bob signs in with the cookie of alice.
    let login = Request::login("bob", PASSWORD).field("Cookie", &server.cookie(&alice.refresh));
    let bob = Tokens::from(&server.send(login));
    let here = |event: &str, name: &str| (event.to_owned(), name.to_owned(), "127.0.0.1".to_owned());
    assert_eq!(told(&server, 2), [here("session_replaced", "alice"), here("signed_in", "bob")]);

    let change = serde_json::json!({"current": PASSWORD, "new": "correct horse battery staples"});
    let changed = server.send(Request::post("/api/auth/password").bearer(&bob.access).json(&change));
    assert_eq!(changed.status, 204);
    assert_eq!(told(&server, 1), [here("password_changed", "bob")]);
    let bob = Tokens::from(&server.refresh(&bob.refresh, None));
    assert_eq!(server.send(Request::post("/api/auth/logout-all").bearer(&bob.access)).status, 204);
    assert_eq!(told(&server, 1), [here("signed_out_everywhere", "bob")]);

    let alice = server.login("alice");
    let end = format!("/api/auth/sessions/{}", server.login("alice").session);
    assert_eq!(server.send(Request::delete(&end).bearer(&alice.access)).status, 204);
    assert_eq!(told(&server, 1), [here("signed_out", "alice")]);
    let logout = Request::post("/api/auth/logout").field("Cookie", &server.cookie(&alice.refresh));
    assert_eq!(server.send(logout).status, 204);
    assert_eq!(told(&server, 1), [here("signed_out", "alice")]);
}

#[test]
fn the_session_that_makes_room_for_the_65th_has_an_entry() {
    let server = Setup::new(SERVER).with("ARGON2_PROFILE", "low-memory").start();
    server.add_user("alice");
    let first = server.login("alice");
    for _ in 0..64 {
        server.login("alice");
    }
    let entries = json(&server, &["audit", "tail", "--lines", "2"]);
    assert_eq!(
        (&entries[0]["event"], &entries[0]["session"]),
        (&"session_displaced".into(), &first.session.into())
    );
    assert_eq!(entries[1]["event"], "signed_in");
}

#[test]
fn what_changes_nothing_signs_nobody_out() {
    let server = Setup::new(SERVER).start();
    server.add_admin("alice");
    let tokens = server.login("alice");
    let before = events(&server, &[]);
    for command in [&["user", "enable", "alice"][..], &["user", "role", "alice", "admin"]] {
        printed(&server.run(command));
        assert_eq!(server.get("/api/me", &tokens.access).status, 200, "{command:?}");
    }
    assert_eq!(events(&server, &[]), before);
    printed(&server.run(&["user", "role", "alice", "user"]));
    server.get("/api/me", &tokens.access).assert_refused(401, "invalid_token", "refresh");
    printed(&server.run(&["user", "disable", "alice"]));
    let before = events(&server, &[]);
    printed(&server.run(&["user", "disable", "alice"]));
    assert_eq!(events(&server, &[]), before);
}

#[test]
fn a_key_is_known_before_it_signs() {
    let (server, _) = without_grace();
    let told = printed(&server.run(&["key", "add"]));
    assert!(
        told.contains("latchkey key export access 2") && told.contains("latchkey key activate 2"),
        "{told}"
    );
    let list = printed(&server.run(&["key", "list"]));
    assert!(list.contains("  1         1  yes\n  2         0  not yet"), "{list}");
    let kid_of = |tokens: &Tokens| {
        let header = jsonwebtoken::decode_header(&tokens.access).unwrap();
        header.kid.unwrap()
    };
    assert_eq!(kid_of(&server.login("alice")), "1");
    // Whoever verifies offline gets the secret now, before the first token.
    let secret = printed(&server.run(&["key", "export", "access", "2"]));
    printed(&server.run(&["key", "activate", "2"]));
    let tokens = server.login("alice");
    assert_eq!(kid_of(&tokens), "2");
    let key = jsonwebtoken::DecodingKey::from_base64_secret(&pad(secret.trim())).unwrap();
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
    validation.set_audience(&[server.url()]);
    jsonwebtoken::decode::<Value>(&tokens.access, &key, &validation).unwrap();
    assert_fails(&server.run(&["key", "activate", "1"]), "key add");
    let told = events(&server, &[]);
    assert_eq!(told[2..], ["key_added", "signed_in", "key_activated", "signed_in"]);
}

#[test]
fn a_key_that_never_signed_is_retired_without_a_word() {
    let (server, _) = without_grace();
    printed(&server.run(&["key", "add"]));
    assert_eq!(printed(&server.run(&["key", "retire", "2"])), "retired key 2\n");
    assert_eq!(json(&server, &["key", "list"]).len(), 1);
}

#[test]
fn a_foreign_key_file_is_not_taken_over_by_a_running_server() {
    let (server, tokens) = without_grace();
    let keys = server.data().join("keys");
    let ours = fs::read(&keys).unwrap();
    let other = Setup::new(SERVER).start();
    fs::copy(other.data().join("keys"), &keys).unwrap();
    for command in
        [&["key", "rotate"][..], &["key", "add"], &["key", "retire", "1"], &["key", "activate", "1"]]
    {
        assert_fails(&server.run(command), "holds other keys than those in use");
    }
    assert_fails(&server.run(&["check"]), "other keys than those in use");
    fs::write(&keys, ours).unwrap();
    printed(&server.run(&["check"]));
    printed(&server.run(&["key", "rotate"]));
    assert_eq!(server.refresh(&tokens.refresh, None).status, 200);
}

#[test]
fn a_key_file_that_cannot_be_written_ends_no_session() {
    let (server, tokens) = without_grace();
    printed(&server.run(&["key", "rotate"]));
    let before = events(&server, &[]);
    // Where the other key file would be written there is a folder, which even root cannot write over.
    fs::create_dir(server.data().join("keys.new")).unwrap();
    let retire = ["key", "retire", "1", "--force", "--even-if-tokens-live"];
    assert_fails(&server.run(&retire), "cannot be used");
    assert_eq!(events(&server, &[]), before);
    assert_eq!(server.get("/api/me", &tokens.access).status, 200);
    fs::remove_dir(server.data().join("keys.new")).unwrap();
    printed(&server.run(&retire));
    server.refresh(&tokens.refresh, None).assert_refused(401, "invalid_refresh_token", "login");
}

#[test]
fn refused_log_ins_are_counted_by_the_minute_in_a_log_of_their_own_and_cost_no_commit() {
    let (mut server, _) = without_grace();
    let before = fs::read(server.data().join("latchkey.redb")).unwrap();
    for _ in 0..5 {
        server.try_login("alice", "wrong wrong wrong").assert_refused(401, "invalid_credentials", "login");
        server.try_login("nobody", "wrong wrong wrong").assert_refused(401, "invalid_credentials", "login");
    }
    assert_eq!(events(&server, &["--refusals"]), [""; 0], "they wait for a commit");
    assert!(fs::read(server.data().join("latchkey.redb")).unwrap() == before, "nothing was written");
    server.stop();
    let refusals = json(&server, &["audit", "tail", "--refusals"]);
    let total: u64 = refusals.iter().map(|entry| entry["count"].as_u64().unwrap()).sum();
    assert_eq!(total, 10);
    assert!(refusals.len() <= 4, "two accounts, two minutes at most: {refusals:?}");
    assert_eq!(events(&server, &[]), ["user_added", "signed_in"]);
}

#[test]
fn concurrent_refreshes_of_one_token_are_one_write() {
    let server = Setup::new(SERVER).with("GRACE_SECS", 5).start();
    server.add_user("alice");
    let first = server.login("alice");
    thread::sleep(Duration::from_millis(5001)); // grace over
    thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| assert_eq!(server.refresh(&first.refresh, None).status, 200));
        }
    });
    // What the log counts as concurrent got the same child and wrote nothing; it is written with the next commit.
    server.add_user("bob");
    let entries = json(&server, &["audit", "tail"]);
    let concurrent: u64 = entries
        .iter()
        .filter(|entry| entry["event"] == "concurrent")
        .map(|entry| entry["count"].as_u64().unwrap())
        .sum();
    assert_eq!(concurrent, 63);
}

const AUDIT: redb::TableDefinition<'_, u64, &[u8; 112]> = redb::TableDefinition::new("audit");

/// Changes an entry of the main log as somebody with the file and without the keys can.
fn tamper_with_entry(server: &Server, number: u64, change: impl FnOnce(&mut [u8; 112])) {
    let database = redb::Database::open(server.data().join("latchkey.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut table = transaction.open_table(AUDIT).unwrap();
        let mut record = *table.get(number).unwrap().unwrap().value();
        change(&mut record);
        table.insert(number, &record).unwrap();
    }
    transaction.commit().unwrap();
}

#[test]
fn a_log_that_was_tampered_with_is_broken_where_it_was() {
    let (mut server, _) = without_grace();
    for _ in 0..3 {
        server.login("alice");
    }
    server.stop();
    tamper_with_entry(&server, 2, |record| record[7] = 9); // it happened nine times
    let output = server.run(&["audit", "verify"]);
    assert_fails(&output, "entry 2 is not as it was written");
    assert!(String::from_utf8_lossy(&output.stdout).contains("main log   BROKEN at entry 2"));
}

#[test]
fn retiring_a_key_binds_the_log_anew_and_does_not_hide_tampering() {
    let (mut server, _) = without_grace();
    printed(&server.run(&["key", "rotate"]));
    printed(&server.run(&["key", "retire", "1", "--force", "--even-if-tokens-live"]));
    assert!(printed(&server.run(&["audit", "verify"])).contains("main log   whole, 4 entries"));
    server.stop();
    tamper_with_entry(&server, 1, |record| {
        record[1] = 16; // another event
        record[2] = 99; // bound by a key that nobody has
    });
    assert_fails(&server.run(&["audit", "verify"]), "entry 1 is not as it was written");
    printed(&server.run(&["key", "rotate"]));
    assert_fails(
        &server.run(&["key", "retire", "2", "--force", "--even-if-tokens-live"]),
        "entry 1 of the audit log is broken",
    );
}

const META: redb::TableDefinition<'_, &str, &[u8]> = redb::TableDefinition::new("meta");
const REFUSALS: redb::TableDefinition<'_, u64, &[u8; 112]> = redb::TableDefinition::new("refusals");

/// Where both logs end, and the entries of the main one, as somebody with the file finds them.
struct Logs {
    seal: Vec<u8>,
    entries: Vec<(u64, [u8; 112])>,
}

impl Logs {
    fn read(server: &Server) -> Self {
        let database = redb::Database::open(server.data().join("latchkey.redb")).unwrap();
        let transaction = redb::ReadableDatabase::begin_read(&database).unwrap();
        let seal = transaction.open_table(META).unwrap().get("logs").unwrap().unwrap().value().to_vec();
        let entries = transaction.open_table(AUDIT).unwrap();
        let entries = entries.iter().unwrap().map(Result::unwrap);
        Self { seal, entries: entries.map(|(number, record)| (number.value(), *record.value())).collect() }
    }

    /// Puts these logs in the place of those that are there, and changes nothing else.
    fn put(&self, server: &Server) {
        change(server, |transaction| {
            transaction.open_table(META).unwrap().insert("logs", self.seal.as_slice()).unwrap();
            let mut audit = transaction.open_table(AUDIT).unwrap();
            audit.retain(|_, _| false).unwrap();
            for (number, record) in &self.entries {
                audit.insert(number, record).unwrap();
            }
        });
    }
}

fn change(server: &Server, change: impl FnOnce(&redb::WriteTransaction)) {
    let database = redb::Database::open(server.data().join("latchkey.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    change(&transaction);
    transaction.commit().unwrap();
}

/// Asserts that `audit verify` tells, also after the server has run and written, until the logs are sealed anew.
#[track_caller]
fn assert_told(server: &mut Server, what: &str) {
    assert_fails(&server.run(&["audit", "verify"]), what);
    server.start();
    server.login("alice");
    assert_fails(&server.run(&["audit", "verify"]), what);
    let kept = events(server, &[]).len();
    assert!(printed(&server.run(&["audit", "seal", "--yes"])).starts_with("until now: "));
    let told = printed(&server.run(&["audit", "verify"]));
    assert!(told.contains("main log   whole") && told.contains("taken over unverified"), "{told}");
    assert_eq!(events(server, &[]).len(), kept + 1);
    assert_eq!(events(server, &[]).last().unwrap(), "log_sealed");
}

#[test]
fn a_log_whose_newest_entries_were_cut_off_is_told() {
    let (mut server, _) = without_grace();
    server.login("alice");
    server.stop();
    let mut logs = Logs::read(&server);
    // The MAC of the entry before stands in the entry that is cut off, so the end can be made to fit.
    let (_, last) = logs.entries.pop().unwrap();
    logs.seal[3..11].copy_from_slice(&2_u64.to_be_bytes());
    logs.seal[11..43].copy_from_slice(&last[80..]);
    logs.put(&server);
    assert_told(&mut server, "where the logs end was removed or changed");
}

#[test]
fn a_log_that_was_removed_alone_is_told() {
    let (mut server, _) = without_grace();
    server.stop();
    change(&server, |transaction| {
        transaction.open_table(META).unwrap().remove("logs").unwrap();
        transaction.open_table(AUDIT).unwrap().retain(|_, _| false).unwrap();
        transaction.open_table(REFUSALS).unwrap().retain(|_, _| false).unwrap();
    });
    assert_told(&mut server, "where the logs end was removed or changed");
}

#[test]
fn a_log_that_was_removed_with_all_that_the_store_says_of_keys_is_told() {
    let (mut server, _) = without_grace();
    server.stop();
    change(&server, |transaction| {
        let mut meta = transaction.open_table(META).unwrap();
        meta.retain(|key, _| ["schema", "highest_time_ms"].contains(&key)).unwrap();
    });
    assert_told(&mut server, "where the logs end was removed or changed");
}

#[test]
fn a_log_that_was_removed_from_what_is_made_to_look_like_an_earlier_store_is_told() {
    let (mut server, _) = without_grace();
    server.stop();
    change(&server, |transaction| {
        let mut meta = transaction.open_table(META).unwrap();
        meta.remove("logs").unwrap();
        meta.insert("schema", 2_u32.to_be_bytes().as_slice()).unwrap();
        drop(meta);
        transaction.open_table(AUDIT).unwrap().retain(|_, _| false).unwrap();
        transaction.open_table(REFUSALS).unwrap().retain(|_, _| false).unwrap();
    });
    assert_told(&mut server, "where the logs end was removed or changed");
}

#[test]
fn a_log_that_was_put_back_alone_is_told() {
    // What happened between: a log-in, a sign-out everywhere, a log-in and a sign-out of another session.
    for what in 0..3 {
        let (mut server, first) = without_grace();
        server.stop();
        let before = Logs::read(&server);
        server.start();
        match what {
            0 => drop(server.login("alice")),
            1 => drop(printed(&server.run(&["session", "revoke-all", "--user", "alice"]))),
            _ => {
                server.login("alice");
                printed(&server.run(&["session", "revoke", &first.session]));
            }
        }
        server.stop();
        before.put(&server);
        assert_told(&mut server, "the logs are of another time");
    }
}

#[test]
fn a_backup_does_not_hide_that_a_log_was_put_back() {
    let (mut server, _) = without_grace();
    server.stop();
    let before = Logs::read(&server);
    server.start();
    server.login("alice");
    server.stop();
    before.put(&server);
    server.start();
    let backup = server.folder().join("backup");
    let backup = backup.to_str().unwrap();
    printed(&server.run(&["backup", backup]));
    let told = printed(&server.run(&["restore", backup]));
    assert!(told.contains("taken over as not verified: the logs are of another time"), "{told}");
}

#[test]
fn readiness_and_counters_are_for_this_machine_and_neither_for_a_proxy_nor_for_a_rebound_name() {
    let server = Setup::new(SERVER).start();
    assert_eq!(server.send(Request::get("/readyz")).body, "ready\n");
    for path in ["/readyz", "/metrics"] {
        for host in ["localhost", "127.0.0.1:8080", "[::1]:80"] {
            assert_eq!(server.send(Request::get(path).field("Host", host)).status, 200, "{host}");
        }
        let forwarded = ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"];
        for (field, value) in forwarded.map(|field| (field, "192.0.2.1")).into_iter().chain([
            ("Host", "evil.example:8080"),
            ("Host", "127.0.0.1.evil.example"),
            ("Host", "192.0.2.1"),
        ]) {
            let strange = Request::get(path).field(field, value);
            server.send(strange).assert_refused(404, "not_found", "none");
        }
    }
}
