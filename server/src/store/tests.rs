//! The store on a real file: what is committed is there again, and what cannot be opened says why.

use std::sync::Barrier;

use super::*;
use crate::session::{Policy, Session, SessionId};
use crate::user::{Name, PasswordHash, Role, User, UserId};

const POLICY: Policy = Policy { grace_secs: 0, inactivity_secs: 60, lifetime_secs: 600 };

fn open(path: &Path) -> Store {
    Store::open(path, |_| {}).unwrap()
}

fn alice() -> (UserId, Name, User) {
    let user = User {
        name: "Alice".to_owned(),
        role: Role::User,
        disabled: false,
        auth_epoch: 0,
        created: UnixMillis(1),
        password_hash: PasswordHash("hash".to_owned()),
    };
    (UserId(7), "Alice".parse().unwrap(), user)
}

#[test]
fn users_and_sessions_are_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    let (id, name, user) = alice();
    let session_id = SessionId::new(id, [1; 8]);
    let session = Session::begin(&user, 1, [127, 0, 0, 1].into(), "test", UnixMillis(5), &POLICY);
    let (put_user, put_session) = (user.clone(), session.clone());
    open(&path)
        .write(move |writes| {
            writes.add_user(id, &name, &put_user)?;
            writes.put_session(session_id, &put_session)
        })
        .unwrap();

    let store = open(&path);
    let found = store.read(|reads| reads.user_named(&"aLICE".parse().unwrap())).unwrap();
    assert_eq!(found, Some((id, user)));
    assert_eq!(store.read(|reads| reads.sessions_of(id)).unwrap(), [(session_id, session)]);
    assert_eq!(store.read(|reads| reads.sessions_of(UserId(8))).unwrap(), []);
}

#[test]
fn deleting_a_user_takes_the_name_and_every_session_along() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join(FILE_NAME));
    let (id, name, user) = alice();
    store
        .write(move |writes| {
            writes.add_user(id, &name, &user)?;
            for n in 0..3 {
                let session = Session::begin(&user, 1, [127, 0, 0, 1].into(), "test", UnixMillis(5), &POLICY);
                writes.put_session(SessionId::new(id, [n; 8]), &session)?;
            }
            writes.delete_user(id, &name)
        })
        .unwrap();
    assert!(!store.read(Reads::has_users).unwrap());
    assert_eq!(store.read(|reads| reads.sessions_of(id)).unwrap(), []);
}

#[test]
fn commands_of_one_batch_see_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join(FILE_NAME));
    let (id, name, user) = alice();
    store.write(move |writes| writes.add_user(id, &name, &user)).unwrap();
    let threads = 32;
    let barrier = Barrier::new(threads);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                barrier.wait();
                store
                    .write(move |writes| {
                        let mut user = writes.user(id)?.expect("alice was added");
                        user.end_all_sessions();
                        writes.put_user(id, &user)
                    })
                    .unwrap();
            });
        }
    });
    let user = store.read(|reads| reads.user(id)).unwrap().unwrap();
    assert_eq!(user.auth_epoch, threads as u32);
}

#[test]
fn a_failed_command_stops_the_store_and_says_so_once() {
    let folder = tempfile::tempdir().unwrap();
    let (failed, failure) = std::sync::mpsc::channel();
    let store = Store::open(&folder.path().join(FILE_NAME), move |error| {
        failed.send(error.to_string()).unwrap();
    })
    .unwrap();
    let (id, name, user) = alice();
    let refused = store.write(move |writes| {
        writes.add_user(id, &name, &user)?;
        Err::<(), _>(StoreError::Failed("injected".to_owned()))
    });
    assert!(matches!(refused, Err(StoreError::Failed(_))));
    assert_eq!(failure.recv().unwrap(), "the store has failed: injected");
    assert!(matches!(store.write(|_| Ok(())), Err(StoreError::Failed(_))));
    assert!(!store.read(Reads::has_users).unwrap(), "a failed batch leaves nothing behind");
}

#[test]
fn a_command_that_panics_stops_the_store_too() {
    let folder = tempfile::tempdir().unwrap();
    let (failed, failure) = std::sync::mpsc::channel();
    let store = Store::open(&folder.path().join(FILE_NAME), move |error| {
        failed.send(error.to_string()).unwrap();
    })
    .unwrap();
    let refused = store.write(|_| -> Result<(), StoreError> { panic!("a bug, for this test") });
    assert!(matches!(refused, Err(StoreError::Failed(_))));
    assert!(failure.recv().unwrap().contains("a command panicked"));
}

#[test]
fn the_highest_time_is_noted_with_a_commit_a_minute_later() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join(FILE_NAME));
    let write_at = |secs: u64| {
        store
            .write(move |writes| {
                writes.saw_time(UnixMillis(secs * 1000));
                writes.put_key_fingerprints(&[[1; 9]])
            })
            .unwrap();
    };
    write_at(1000);
    write_at(1060);
    assert_eq!(store.highest_time_seen().unwrap(), UnixMillis(1_000_000));
    write_at(1061);
    assert_eq!(store.highest_time_seen().unwrap(), UnixMillis(1_061_000));
}

#[test]
fn a_store_that_is_open_is_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    let _first = open(&path);
    assert!(Store::open(&path, |_| {}).unwrap_err().is_in_use());
    assert!(Store::inspect(&path).unwrap_err().is_in_use());
}

#[test]
fn a_store_of_schema_1_is_migrated_with_everything_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/schema-1/latchkey.redb");
    std::fs::copy(&fixture, &path).unwrap();
    let contents = Store::inspect(&path).unwrap();
    assert_eq!((contents.users, contents.sessions, contents.key_fingerprints.len()), (2, 2, 1));
    for _ in ["migrated", "opened again"] {
        let store = open(&path);
        let users = store.read(Reads::users).unwrap();
        let names: Vec<_> = users.iter().map(|(_, user)| (user.name.as_str(), user.disabled)).collect();
        assert_eq!(names, [("Alice", false), ("bob@example", true)]);
        let [(id, session)] = store.read(|reads| reads.sessions_of(users[0].0)).unwrap().try_into().unwrap();
        assert_eq!((id.handle().as_str(), session.generation), ("RvL3al621hZvMfNasddFoQ", 1));
        assert_eq!(session.end_reason(Some(&users[0].1), session.created), None, "Alice is signed in");
        assert_eq!(store.read(|reads| reads.head(crate::audit::Log::Main)).unwrap().next, 0);
    }
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    drop(open(&path));
    let meta: redb::TableDefinition<'_, &str, &[u8]> = redb::TableDefinition::new("meta");
    let database = redb::Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(meta).unwrap().insert("schema", 9_u32.to_be_bytes().as_slice()).unwrap();
    transaction.commit().unwrap();
    drop(database);
    for message in [Store::open(&path, |_| {}).unwrap_err(), Store::inspect(&path).unwrap_err()] {
        assert!(message.to_string().contains("has schema 9"), "{message}");
    }
}

#[test]
fn a_file_that_is_no_store_is_damaged_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    let text = "this is a letter to my bank\n".repeat(200);
    std::fs::write(&path, &text).unwrap();
    let message = Store::open(&path, |_| {}).unwrap_err().to_string();
    assert!(message.contains("damaged or no latchkey store"), "{message}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn inspecting_counts_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    let (id, name, user) = alice();
    open(&path).write(move |writes| writes.add_user(id, &name, &user)).unwrap();
    let before = std::fs::read(&path).unwrap();
    assert_eq!(Store::inspect(&path).unwrap(), Contents { users: 1, ..Contents::default() });
    assert!(std::fs::read(&path).unwrap() == before);
}
