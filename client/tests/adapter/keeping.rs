//! What is on the disk when, and how the next run of the program goes on from there.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use latchkey_client::{Client, Error, MemoryStore, OpenStore, Saved, SessionStore, StoreError};

use crate::scenario::{REFRESH, Scenario, after_setbacks, me};
use crate::scripted::{JumpingClock, Reply, Responder, tokens};

/// A client whose memory holds the record `json`.
fn client_with(json: &str, clock: &JumpingClock) -> Client {
    let saved = Saved::from_json(json.as_bytes()).unwrap();
    Client::builder().store(MemoryStore::holding(saved)).clock(clock.clone()).build().unwrap()
}

/// A record as a program leaves it that was killed in the middle of a refresh.
fn killed_in_the_middle(url: &str) -> String {
    format!(
        r#"{{"version":1,"origin":"{url}","user":"ada","session":"handle","refresh_token":"{}",
            "retry_key":"{}","unanswered":true,"quiet_until":null}}"#,
        "b".repeat(72),
        "k".repeat(32),
    )
}

/// A store that cannot be written.
struct FullDisk;

impl SessionStore for FullDisk {
    fn read(&self) -> Result<Option<Saved>, StoreError> {
        Ok(None)
    }
    fn open(&self) -> Result<Box<dyn OpenStore + '_>, StoreError> {
        Ok(Box::new(FullDisk))
    }
}

impl OpenStore for FullDisk {
    fn read(&self) -> Result<Option<Saved>, StoreError> {
        Ok(None)
    }
    fn write(&mut self, _: &Saved) -> Result<(), StoreError> {
        Err(StoreError::Other("no space left".into()))
    }
    fn clear(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[test]
fn the_key_is_on_the_disk_before_the_token_is_sent_and_gone_with_the_token() {
    let seen = Arc::new(Mutex::new(None));
    let (path, at_server) = (Arc::new(Mutex::new(PathBuf::new())), Arc::clone(&seen));
    let file = Arc::clone(&path);
    let scenario = Scenario::signed_in(move |_, asked| {
        if asked.path == REFRESH {
            *at_server.lock().unwrap() = std::fs::read_to_string(&*file.lock().unwrap()).ok();
        }
        after_setbacks(vec![])(0, asked)
    });
    *path.lock().unwrap() = scenario.folder.path().join("session.json");
    scenario.client.get("/api/me").unwrap();

    let sent = &scenario.responder.asked_of(REFRESH)[0];
    assert_eq!(sent.member("refresh_token"), "b".repeat(72));
    let on_disk: serde_json::Value = serde_json::from_str(seen.lock().unwrap().as_ref().unwrap()).unwrap();
    assert_eq!(on_disk["retry_key"], sent.header("idempotency-key"));
    assert_eq!(on_disk["unanswered"], true);
    assert_eq!(scenario.state()["refresh_token"], "c".repeat(72));
    assert_eq!(scenario.state()["retry_key"], serde_json::Value::Null);
    assert_eq!(scenario.state()["unanswered"], false);
}

#[test]
fn a_restarted_program_goes_on_in_the_same_session() {
    let scenario = Scenario::signed_in(after_setbacks(vec![]));
    let next_run = scenario.restarted();
    assert_eq!(next_run.identity(), scenario.client.identity());
    next_run.get("/api/me").unwrap();
    // And the first, which is still running, finds the token that the second was given.
    scenario.client.get("/api/me").unwrap();
    let sent: Vec<String> =
        scenario.responder.asked_of(REFRESH).iter().map(|asked| asked.member("refresh_token")).collect();
    assert_eq!(sent, ["b".repeat(72), "c".repeat(72)]);
}

#[test]
fn a_program_that_was_killed_goes_on_with_the_same_key_and_its_next_token_waits() {
    let server = Responder::start(|_, asked| match (asked.path.as_str(), asked.header("idempotency-key")) {
        (REFRESH, "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk") => tokens("a-2", 'c', true),
        (REFRESH, _) => tokens("a-3", 'd', true),
        ("/new", _) => me(asked, "a-3"),
        _ => me(asked, "a-2"),
    });
    let clock = JumpingClock::default();
    let client = client_with(&killed_in_the_middle(&server.url), &clock);
    client.get("/old").unwrap();
    assert_eq!(clock.waits_secs(), [] as [u64; 0]);
    clock.advance_secs(4);
    client.get("/new").unwrap();
    assert_eq!(clock.waits_secs(), [11]);
}

#[test]
fn a_wall_clock_that_is_set_back_does_not_stretch_the_wait() {
    let server = Responder::start(after_setbacks(vec![]));
    let clock = JumpingClock::default();
    let record = killed_in_the_middle(&server.url)
        .replace(&format!("\"{}\"", "k".repeat(32)), "null")
        .replace("true", "false")
        .replace("\"quiet_until\":null", "\"quiet_until\":1000000");
    client_with(&record, &clock).get("/api/me").unwrap();
    assert_eq!(clock.waits_secs(), [15]);
}

#[test]
fn a_token_whose_key_cannot_be_written_down_is_not_sent() {
    let scenario = Scenario::signed_in(after_setbacks(vec![]));
    let blocker = scenario.folder.path().join("session.json.new");
    std::fs::create_dir(&blocker).unwrap();
    assert!(matches!(scenario.client.get("/api/me"), Err(Error::Store(StoreError::Io { .. }))));
    assert!(scenario.responder.asked_of(REFRESH).is_empty());
    std::fs::remove_dir(&blocker).unwrap();
    scenario.client.get("/api/me").unwrap();
}

#[test]
fn an_answer_that_cannot_be_written_down_is_used_all_the_same() {
    let folder = Arc::new(Mutex::new(PathBuf::new()));
    let blocked = Arc::clone(&folder);
    let scenario = Scenario::signed_in(move |_, asked| {
        if asked.path == REFRESH {
            std::fs::create_dir(blocked.lock().unwrap().join("session.json.new")).unwrap();
        }
        after_setbacks(vec![])(0, asked)
    });
    *folder.lock().unwrap() = scenario.folder.path().to_owned();
    scenario.client.get("/api/me").unwrap();
    assert!(scenario.trace().contains("! session not kept: cannot write"), "{}", scenario.trace());
    assert_eq!(scenario.state()["refresh_token"], "b".repeat(72), "with its key, a restart shows it again");
    assert_eq!(scenario.state()["unanswered"], true);
}

#[test]
fn a_session_that_cannot_be_kept_is_ended_again() {
    let responder = Responder::start(|number, _| match number {
        0 => tokens("a-1", 'b', true),
        _ => Reply::Answer(204, "", String::new()),
    });
    let client = Client::builder().store(FullDisk).build().unwrap();
    let error = client.login(&responder.url, "ada", "correct horse battery").unwrap_err();
    assert!(matches!(error, Error::Store(_)));
    assert_eq!(responder.asked_of("/api/auth/logout")[0].member("refresh_token"), "b".repeat(72));
    assert_eq!(client.identity(), None);
}
