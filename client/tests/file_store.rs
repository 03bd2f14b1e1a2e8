//! The session file: what it looks like, what it survives, and what it refuses.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops where it is")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use latchkey_client::{Client, DamagedRecord, Error, FileStore, Saved, SessionStore, StoreError};

fn saved(letter: &str) -> Saved {
    let record = format!(
        r#"{{"version":1,"origin":"http://127.0.0.1:8080","user":"ada","session":"handle",
            "refresh_token":"{}","retry_key":null,"unanswered":false,"quiet_until":null}}"#,
        letter.repeat(72)
    );
    Saved::from_json(record.as_bytes()).unwrap()
}

/// A store in a folder that does not exist yet, with a session in it.
fn written(folder: &Path) -> FileStore {
    let store = FileStore::new(folder.join("state/latchkey-client/session.json"));
    store.open().unwrap().write(&saved("a")).unwrap();
    store
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn text(store: &FileStore) -> Vec<u8> {
    store.read().unwrap().unwrap().to_json().to_vec()
}

#[test]
fn only_the_owner_can_reach_the_file_and_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let store = written(folder.path());
    assert_eq!(mode(store.path()), 0o600);
    assert_eq!(mode(store.path().parent().unwrap()), 0o700);
    assert_eq!(mode(&store.path().with_file_name("session.json.lock")), 0o600);
    assert!(!store.path().with_file_name("session.json.new").exists());
}

#[test]
fn a_session_is_read_back_replaced_and_cleared() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::new(folder.path().join("session.json"));
    assert!(store.read().unwrap().is_none());
    let mut open = store.open().unwrap();
    open.clear().unwrap();
    for letter in ["a", "b"] {
        open.write(&saved(letter)).unwrap();
        assert_eq!(text(&store), saved(letter).to_json().to_vec());
    }
    open.clear().unwrap();
    assert!(open.read().unwrap().is_none());
}

#[test]
fn a_torn_write_is_never_read_and_is_replaced_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let store = written(folder.path());
    let torn = store.path().with_file_name("session.json.new");
    fs::write(&torn, "{\"version\":1,\"refr").unwrap();
    fs::set_permissions(&torn, Permissions::from_mode(0o666)).unwrap();
    assert_eq!(text(&store), saved("a").to_json().to_vec());
    store.open().unwrap().write(&saved("b")).unwrap();
    assert_eq!(text(&store), saved("b").to_json().to_vec());
    assert_eq!(mode(store.path()), 0o600, "not the mode that the torn file had");
}

#[test]
fn a_file_that_others_can_reach_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = written(folder.path());
    for mode in [0o640, 0o604, 0o620, 0o610, 0o666] {
        fs::set_permissions(store.path(), Permissions::from_mode(mode)).unwrap();
        let error = store.read().unwrap_err();
        assert_eq!(error, StoreError::Exposed { path: store.path().to_owned(), mode });
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
    fs::set_permissions(store.path(), Permissions::from_mode(0o600)).unwrap();
    assert!(store.read().unwrap().is_some());
}

#[test]
fn a_damaged_file_is_reported_and_left_as_it_is_even_by_a_log_in() {
    let folder = tempfile::tempdir().unwrap();
    let store = written(folder.path());
    for damaged in ["", "{", "{\"version\":1}", "\0\0\0\0", &"[".repeat(40_000)] {
        fs::write(store.path(), damaged).unwrap();
        let error = store.read().unwrap_err();
        let reason = DamagedRecord::NotARecord;
        assert_eq!(error, StoreError::Damaged { path: store.path().to_owned(), reason });
        assert!(error.to_string().contains("move it away"), "{error}");
        assert!(matches!(Client::builder().store(store.clone()).build(), Err(Error::Store(_))));
        assert_eq!(fs::read_to_string(store.path()).unwrap(), damaged);
    }
}

#[test]
fn a_damaged_file_is_noticed_before_a_password_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::new(folder.path().join("session.json"));
    let client = Client::builder().store(store.clone()).build().unwrap();
    fs::write(store.path(), "{").unwrap();
    fs::set_permissions(store.path(), Permissions::from_mode(0o600)).unwrap();
    // Nobody listens there: had the password been on its way, the error would be of the network.
    assert!(matches!(client.login("http://127.0.0.1:9", "ada", "secret"), Err(Error::Store(_))));
    assert_eq!(fs::read_to_string(store.path()).unwrap(), "{");
}

#[test]
fn what_cannot_be_opened_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let in_the_way = folder.path().join("file");
    fs::write(&in_the_way, "").unwrap();
    let error = FileStore::new(in_the_way.join("session.json")).open().err().unwrap();
    assert!(error.to_string().starts_with("cannot make the folder "), "{error}");
    let error = FileStore::new(folder.path()).read().unwrap_err();
    assert!(matches!(error, StoreError::Exposed { .. } | StoreError::Io { doing: "read", .. }), "{error}");
}

#[test]
fn only_one_has_the_store_open_and_reading_waits_for_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let store = written(folder.path());
    let mut open = store.open().unwrap();
    let (began, begin) = mpsc::channel();
    thread::scope(|scope| {
        let second = scope.spawn(|| {
            began.send(()).unwrap();
            let found = store.open().unwrap().read().unwrap().unwrap();
            found.to_json().to_vec()
        });
        begin.recv().unwrap();
        assert_eq!(text(&store), saved("a").to_json().to_vec());
        open.write(&saved("b")).unwrap();
        drop(open);
        assert_eq!(second.join().unwrap(), saved("b").to_json().to_vec());
    });
}
