//! The store on a real file: what is committed is there again, and what cannot be opened says why.

use std::sync::Barrier;

use super::*;
use crate::audit::Log;
use crate::clock::SetTime;
use crate::keys::Keys;
use crate::one_time_code::Era;
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
    let session = Session::begin(&user, 1, [127, 0, 0, 1].into(), "test", Now::at(UnixMillis(5)), &POLICY);
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
                let session =
                    Session::begin(&user, 1, [127, 0, 0, 1].into(), "test", Now::at(UnixMillis(5)), &POLICY);
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

/// A store with alice in it, whose session record is damaged.
fn with_a_damaged_record(path: &Path) -> (Store, SessionId, std::sync::mpsc::Receiver<String>) {
    let (id, name, user) = alice();
    let session_id = SessionId::new(id, [1; 8]);
    let session = Session::begin(&user, 1, [127, 0, 0, 1].into(), "test", Now::at(UnixMillis(5)), &POLICY);
    open(path)
        .write(move |writes| {
            writes.add_user(id, &name, &user)?;
            writes.put_session(session_id, &session)
        })
        .unwrap();
    let sessions: redb::TableDefinition<'_, &[u8; 16], &[u8; 120]> = redb::TableDefinition::new("sessions");
    let database = redb::Database::open(path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(sessions).unwrap().insert(&session_id.0, &[0xff; 120]).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let (store, failure) = watched(path);
    (store, session_id, failure)
}

#[test]
fn a_command_that_finds_a_damaged_record_fails_alone_and_the_store_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (store, damaged, failure) = with_a_damaged_record(&folder.path().join(FILE_NAME));
    let (answer, answered) = std::sync::mpsc::channel();
    // All three in one batch.
    store
        .write_alone(
            |_| Ok(()),
            || {
                for looks in [false, true, false] {
                    let answer = answer.clone();
                    let look = move |writes: &mut Writes<'_>| {
                        writes.note(Occurrence::of(crate::audit::Event::SignInRefused));
                        if looks { writes.session(damaged).map(drop) } else { writes.put_era(Era([1; 8])) }
                    };
                    store.write_then(look, move |outcome| answer.send(outcome.is_ok()).unwrap());
                }
            },
        )
        .unwrap();
    let answers: Vec<bool> = answered.iter().take(3).collect();
    assert_eq!(answers, [true, false, true]);
    assert_eq!(store.read(Reads::era).unwrap(), Era([1; 8]), "the others were committed");
    drop(store);
    assert!(failure.recv().is_err(), "it never failed");
}

#[test]
fn a_command_that_fails_half_done_is_taken_back_with_its_batch_and_the_store_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (store, damaged, failure) = with_a_damaged_record(&folder.path().join(FILE_NAME));
    let half = store.write(move |writes| {
        writes.note(Occurrence::of(crate::audit::Event::UserDeleted));
        writes.put_era(Era([1; 8]))?;
        writes.session(damaged).map(drop)
    });
    assert!(matches!(half, Err(StoreError::Damaged)), "{half:?}");
    assert_eq!(store.read(Reads::era).unwrap(), Era::default());
    store.write(|writes| writes.put_era(Era([2; 8]))).unwrap();
    drop(store);
    assert!(failure.recv().is_err(), "it never failed");
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
                writes.saw_time(Now::at(UnixMillis(secs * 1000)));
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

/// A store whose failure, which is told once, can be asked for.
fn watched(path: &Path) -> (Store, std::sync::mpsc::Receiver<String>) {
    let (failed, failure) = std::sync::mpsc::channel();
    let store = Store::open(path, move |error| failed.send(error.to_string()).unwrap()).unwrap();
    (store, failure)
}

#[test]
fn commands_wait_while_the_store_is_somebodys_alone_and_too_many_are_turned_away() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join(FILE_NAME));
    let (id, name, user) = alice();
    let put_name = name.clone();
    std::thread::scope(|scope| {
        let mut waiting = None;
        let meanwhile = || {
            assert!(store.read(Reads::has_users).unwrap(), "reads go on");
            for _ in 0..writer::QUEUE_LEN - 1 {
                store.note(Occurrence::of(crate::audit::Event::SignInRefused), Now::at(UnixMillis(1)));
            }
            // Two for the one place that is left; whoever gets it, the other is turned away.
            waiting = Some([0, 1].map(|_| {
                let name = put_name.clone();
                scope.spawn(|| store.write(move |writes| writes.delete_user(id, &name)))
            }));
            while waiting.iter().flatten().all(|thread| !thread.is_finished()) {
                std::thread::yield_now();
            }
            assert!(store.read(Reads::has_users).unwrap(), "the one waits");
        };
        store.write_alone(|writes| writes.add_user(id, &name, &user), meanwhile).unwrap();
        let answers = waiting.unwrap().map(|thread| thread.join().unwrap());
        let full = answers.iter().filter(|answer| matches!(answer, Err(StoreError::Full)));
        assert_eq!((full.count(), answers.iter().filter(|answer| answer.is_ok()).count()), (1, 1));
    });
    assert!(!store.read(Reads::has_users).unwrap(), "it ran afterwards");
}

#[test]
fn work_that_fails_or_panics_with_the_store_to_itself_stops_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    let (store, failure) = watched(&path);
    let refused = store.write_alone(|_| Err::<(), _>(StoreError::Failed("injected".to_owned())), || {});
    assert!(matches!(refused, Err(StoreError::Failed(_))));
    assert_eq!(failure.recv().unwrap(), "the store has failed: injected");
    assert!(matches!(store.write(|_| Ok(())), Err(StoreError::Failed(_))));
    drop(store);

    let (store, failure) = watched(&path);
    let panics = || store.write_alone(|_| Ok(()), || panic!("a bug, for this test"));
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(panics)).is_err());
    assert!(failure.recv().unwrap().contains("broke off"));
    assert!(matches!(store.write(|_| Ok(())), Err(StoreError::Failed(_))));
}

#[test]
fn once_time_was_put_back_a_command_of_the_time_before_is_of_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join(FILE_NAME));
    let time = SetTime::at(UnixMillis(1_000_000));
    let clock = Clock::set_by(&time, UnixMillis(8_200_000));
    let before = clock.now();
    let see = move |writes: &mut Writes<'_>| {
        writes.touch();
        Ok(writes.saw_time(before))
    };
    assert_eq!(store.write(see).unwrap(), before);
    assert_eq!(store.highest_time_seen().unwrap(), before.latest);
    let accepted = clock.system_time();
    let lower = |writes: &mut Writes<'_>| writes.lower_time(accepted);
    let go_back = || {
        clock.accept();
        store.limit_time(clock.clone());
    };
    store.write_alone(lower, go_back).unwrap();
    assert_eq!(store.write(see).unwrap(), Now::at(accepted));
    assert_eq!(store.highest_time_seen().unwrap(), accepted);
}

#[test]
fn a_store_goes_on_in_the_file_that_replaced_it_and_keeps_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join(FILE_NAME), folder.path().join("copy"));
    let store = open(&path);
    store.backup(&copy, &mut |_, _| Ok(())).unwrap();
    let (id, name, user) = alice();
    let (put_name, put_user) = (name.clone(), user.clone());
    store.write(move |writes| writes.add_user(id, &put_name, &put_user)).unwrap();

    let replacement = Replacement::of_backup(&copy, &path, &mut |_, _| Ok(())).unwrap();
    let (had_users, kept) = store.replace(replacement, Reads::has_users, || {}).unwrap();
    assert!(had_users && !store.read(Reads::has_users).unwrap());
    assert!(open(&kept).read(Reads::has_users).unwrap());
    assert!(Store::open(&path, |_| {}).unwrap_err().is_in_use(), "nobody else can have it");
    store.write(move |writes| writes.add_user(id, &name, &user)).unwrap();
    drop(store);
    assert!(open(&path).read(Reads::has_users).unwrap(), "what came later went into the new file");
}

#[test]
fn a_replacement_that_cannot_be_put_in_place_leaves_the_store_in_force_and_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join(FILE_NAME), folder.path().join("copy"));
    let store = open(&path);
    store.backup(&copy, &mut |_, _| Ok(())).unwrap();
    let replacement = Replacement::of_backup(&copy, &path, &mut |_, _| Ok(())).unwrap();
    std::fs::remove_file(folder.path().join(format!("{FILE_NAME}.replacement"))).unwrap();
    let refused = store.replace(replacement, Reads::has_users, || {}).unwrap_err();
    assert!(refused.to_string().contains("nothing was changed"), "{refused}");
    let mut left: Vec<_> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["copy", FILE_NAME]);
    let (id, name, user) = alice();
    store.write(move |writes| writes.add_user(id, &name, &user)).unwrap();
}

#[test]
fn a_backup_does_not_take_the_place_of_a_store_that_was_made_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join(FILE_NAME), folder.path().join("copy"));
    open(&folder.path().join("other")).backup(&copy, &mut |_, _| Ok(())).unwrap();
    let prepare = || Replacement::of_backup(&copy, &path, &mut |_, _| Ok(())).unwrap();
    prepare().put_at(&path).unwrap();
    let late = prepare();
    assert!(late.put_at(&path).unwrap_err().to_string().contains("nothing was changed"));
    assert!(!open(&path).read(Reads::has_users).unwrap());
    assert!(!folder.path().join(format!("{FILE_NAME}.replacement")).exists());
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
        assert_eq!(
            session.end_reason(Some(&users[0].1), Now::at(session.created)),
            None,
            "Alice is signed in"
        );
        assert_eq!(store.read(|reads| reads.end_of(crate::audit::Log::Main)).unwrap().next, 0);
    }
}

#[test]
fn in_place_of_a_user_who_does_not_exist_another_is_looked_up() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join(FILE_NAME));
    let look_up = |name: &str, stand_in| {
        let name: Option<Name> = name.parse().ok();
        let found = store.read(|reads| reads.user_named_or_another(name.as_ref(), UserId(stand_in))).unwrap();
        found.map(|(id, user, is_named)| (id.0, user.name, is_named))
    };
    assert_eq!(look_up("alice", 1), None, "there is nobody yet");
    let bob = || ("bob".parse::<Name>().unwrap(), User { name: "bob".to_owned(), ..alice().2 });
    store
        .write(move |writes| {
            let (id, name, user) = alice();
            writes.add_user(id, &name, &user)?;
            let (name, user) = bob();
            writes.add_user(UserId(9), &name, &user)
        })
        .unwrap();
    assert_eq!(look_up("ALICE", 8), Some((7, "Alice".to_owned(), true)));
    assert_eq!(look_up("bob", 8), Some((9, "bob".to_owned(), true)));
    for (stand_in, id, name) in [(0, 7, "Alice"), (7, 7, "Alice"), (8, 9, "bob"), (u64::MAX, 7, "Alice")] {
        assert_eq!(look_up("nobody", stand_in), Some((id, name.to_owned(), false)));
        assert_eq!(look_up("", stand_in), Some((id, name.to_owned(), false)));
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
fn an_empty_file_and_an_empty_database_are_no_new_stores() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    let refusals = |path: &Path| {
        [Store::open(path, |_| {}).unwrap_err(), Store::inspect(path).unwrap_err()]
            .map(|error| error.to_string())
    };
    std::fs::write(&path, "").unwrap();
    for message in refusals(&path) {
        assert!(message.contains("is an empty file"), "{message}");
    }
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
    std::fs::remove_file(&path).unwrap();
    drop(redb::Database::create(&path).unwrap());
    for message in refusals(&path) {
        assert!(message.contains("it holds nothing"), "{message}");
    }
}

#[test]
fn a_store_behind_a_link_is_compacted_where_it_lies() {
    let folder = tempfile::tempdir().unwrap();
    let (path, real) = (folder.path().join(FILE_NAME), folder.path().join("elsewhere.redb"));
    std::os::unix::fs::symlink("elsewhere.redb", &path).unwrap();
    let (id, name, user) = alice();
    let store = open(&path);
    store.write(move |writes| writes.add_user(id, &name, &user)).unwrap();
    store.compact(&mut |_, _| Ok(())).unwrap();
    drop(store);
    assert!(std::fs::symlink_metadata(&path).unwrap().is_symlink());
    assert!(open(&real).read(Reads::has_users).unwrap());
}

#[test]
fn whoever_opens_a_new_store_at_the_same_time_as_another_finds_the_same_one() {
    for _ in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        let barrier = Barrier::new(4);
        let opened = std::thread::scope(|scope| {
            let open = || {
                barrier.wait();
                Store::open(&path, |_| {}).map_err(|error| error.is_in_use())
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(opened.iter().any(Result::is_ok));
        assert!(opened.iter().all(|opened| !matches!(opened, Err(false))), "{opened:?}");
    }
}

#[test]
fn what_no_longer_is_wanted_is_broken_off_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    let store = open(&path);
    let copy = folder.path().join("copy");
    store.backup(&copy, &mut |_, _| Ok(())).unwrap();
    let unwanted = &mut |_, _| Err(Interrupted);
    for message in [
        Replacement::of_backup(&copy, &path, unwanted).map(drop).unwrap_err().to_string(),
        store.compact(unwanted).map(drop).unwrap_err().to_string(),
    ] {
        assert!(message.contains("the server is stopping; nothing was changed"), "{message}");
    }
    store.write(|writes| writes.put_era(Era([1; 8]))).unwrap();
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2, "nothing is left behind");
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

#[test]
fn notes_that_nobody_commits_are_on_disk_after_a_while() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    let keys = Keys::create(&folder.path().join("keys")).unwrap();
    let store = open(&path);
    store.use_audit_key(keys.signing_audit_key().clone());
    store.writer.change_terms(|terms| terms.notes_wait_ms = 0);
    store.note(Occurrence::of(crate::audit::Event::SignInRefused), Now::at(UnixMillis(5)));
    let noted = || store.read(|reads| Ok(reads.end_of(Log::Refusals)?.next)).unwrap();
    while noted() == 0 {
        std::thread::yield_now();
    }
    store.writer.change_terms(|terms| terms.notes_wait_ms = 3_600_000);
    store.note(Occurrence::of(crate::audit::Event::SignInRefused), Now::at(UnixMillis(5)));
    store.write(|_| Ok(())).unwrap();
    assert_eq!(noted(), 1, "what changes nothing costs no commit");
    drop(store);
    assert_eq!(open(&path).read(|reads| Ok(reads.end_of(Log::Refusals)?.next)).unwrap(), 2);
}
