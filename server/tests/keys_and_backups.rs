//! Every order in which an operator may back up, change keys and restore, over the real commands and real files: the logs
//! stay whole, every key but the signing one can go, and sessions live and end as they should.
//!
//! `cargo test` goes three steps deep; `LATCHKEY_TEST_DEPTH` sets another depth.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where, which is what a panic does")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use latchkey::administration::{self, Answer, Command, Office};
use latchkey::clock::Clock;
use latchkey::command::{self, SignIn, Verified};
use latchkey::folder::{self, Opened};
use latchkey::hasher::{Hasher, Profile};
use latchkey::keys::{KeyRing, Keys};
use latchkey::password::Password;
use latchkey::restore::{self, Place, Terms};
use latchkey::session::{Policy, SessionId};
use latchkey::settings::{Given, Settings};
use latchkey::store::Replacement;
use latchkey::user::Role;

const POLICY: Policy = Policy { grace_secs: 0, inactivity_secs: 86_400, lifetime_secs: 86_400 };

/// What an operator may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Backup,
    AddKey,
    ActivateKey,
    RotateKey,
    /// The oldest key that does not sign; sessions that need it end.
    RetireKey,
    /// Where the backup was made, with the keys that are there now.
    Restore,
    RestoreKeepingSessions,
    /// On another machine, with the key file as it was when the backup was made.
    RestoreElsewhere,
    /// On another machine, with a new key.
    RestoreWithoutKeys,
    /// On another machine, over the store of somebody else and with their keys.
    RestoreOverAnother,
}

const STEPS: [Step; 10] = [
    Step::Backup,
    Step::AddKey,
    Step::ActivateKey,
    Step::RotateKey,
    Step::RetireKey,
    Step::Restore,
    Step::RestoreKeepingSessions,
    Step::RestoreElsewhere,
    Step::RestoreWithoutKeys,
    Step::RestoreOverAnother,
];

/// Sessions, each with the key that issued its token.
type Sessions = BTreeSet<(SessionId, u8)>;

/// What is expected of a world: who is signed in, and under which key.
#[derive(Clone, Default)]
struct Expected {
    sessions: Sessions,
    /// Those of the backup, and the fingerprints of the keys then.
    in_backup: Option<(Sessions, Vec<[u8; 9]>)>,
    signed_in: u64,
}

/// A machine's folder: store, key file, the backup and the key file of that time.
struct World {
    root: PathBuf,
    settings: Settings,
    expected: Expected,
}

impl World {
    fn at(root: &Path, expected: Expected) -> Self {
        let mut settings = Given::default().resolve().unwrap();
        settings.data = root.join("data");
        settings.key_file = settings.data.join("keys");
        Self { root: root.to_owned(), settings, expected }
    }

    /// A copy of this world in `root`.
    fn copy_to(&self, root: &Path) -> Self {
        fs::create_dir_all(root).unwrap();
        let copy = Self::at(root, self.expected.clone());
        folder::make(&copy.settings).unwrap();
        for name in ["data/keys", "data/latchkey.redb", "backup", "keys-of-backup"] {
            if self.root.join(name).exists() {
                fs::copy(self.root.join(name), root.join(name)).unwrap();
            }
        }
        copy
    }

    fn backup(&self) -> PathBuf {
        self.root.join("backup")
    }

    fn key_file_of_backup(&self) -> PathBuf {
        self.root.join("keys-of-backup")
    }

    fn open(&self) -> Opened {
        folder::open(&self.settings, |error| panic!("{error}")).unwrap()
    }

    fn keys(&self) -> Keys {
        Keys::read(&self.settings.key_file).unwrap()
    }

    /// Runs a command as the command line does on a store that nobody serves.
    fn run(&self, command: Command) -> Result<Answer, String> {
        let opened = self.open();
        let office = Office {
            clock: &Clock::starting_at(opened.store.highest_time_seen().unwrap()),
            hasher: &Hasher::new(1, Profile::LowMemory),
            keys: &KeyRing::new(self.settings.key_file.clone(), opened.keys),
            store: &opened.store,
            password_chars_min: 8,
            day: None,
            in_force: None,
        };
        administration::run(&office, command, &mut |_, _| Ok(())).map_err(|refusal| refusal.to_string())
    }

    fn sign_in(&mut self) {
        let opened = self.open();
        let (id, user) = opened.store.read(|reads| reads.users()).unwrap().remove(0);
        self.expected.signed_in += 1;
        let session = SessionId::new(id, self.expected.signed_in.to_be_bytes());
        let kid = opened.keys.signing_kid();
        let now = Clock::starting_at(opened.store.highest_time_seen().unwrap()).now();
        let sign_in = SignIn {
            user: id,
            verified: Verified::of(&user),
            upgraded: None,
            replaces: None,
            id: session,
            kid,
            address: [127, 0, 0, 1].into(),
            label: String::new(),
        };
        let opened = opened.store.write(move |writes| command::sign_in(writes, &sign_in, now, &POLICY));
        assert!(opened.unwrap().is_ok());
        self.expected.sessions.insert((session, kid));
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Backup => {
                let _ = fs::remove_file(self.backup());
                self.run(Command::Backup { path: self.backup() }).unwrap();
                fs::copy(&self.settings.key_file, self.key_file_of_backup()).unwrap();
                let keys = self.keys().fingerprints();
                self.expected.in_backup = Some((self.expected.sessions.clone(), keys));
            }
            Step::AddKey => drop(self.run(Command::AddKey).unwrap()),
            Step::RotateKey => drop(self.run(Command::RotateKey).unwrap()),
            Step::ActivateKey => {
                let keys = self.keys();
                match keys.kids().find(|kid| keys.is_standby(*kid)) {
                    Some(kid) => drop(self.run(Command::ActivateKey { kid }).unwrap()),
                    None => {
                        let kid = keys.signing_kid();
                        assert!(self.run(Command::ActivateKey { kid }).unwrap_err().contains("key add"));
                    }
                }
            }
            Step::RetireKey => {
                let keys = self.keys();
                if let Some(kid) = keys.kids().find(|kid| *kid != keys.signing_kid()) {
                    self.run(Command::RetireKey { kid, force: true, even_if_tokens_live: true }).unwrap();
                    self.expected.sessions.retain(|(_, needed)| *needed != kid);
                }
            }
            Step::Restore | Step::RestoreKeepingSessions => {
                self.restore_here(step == Step::RestoreKeepingSessions);
            }
            Step::RestoreElsewhere | Step::RestoreWithoutKeys | Step::RestoreOverAnother => {
                self.restore_elsewhere(step);
            }
        }
    }

    fn restore_here(&mut self, keep_sessions: bool) {
        let Some((sessions, fingerprints)) = self.expected.in_backup.clone() else { return };
        let outcome = self.run(Command::Restore { path: self.backup(), keep_sessions });
        if keep_sessions {
            let present = self.keys().fingerprints();
            let all_there = fingerprints.iter().all(|fingerprint| present.contains(fingerprint));
            assert_eq!(outcome.is_ok(), all_there, "{outcome:?}");
            if all_there {
                self.expected.sessions = sessions;
            }
        } else {
            outcome.unwrap();
            self.expected.sessions.clear();
        }
    }

    fn restore_elsewhere(&mut self, step: Step) {
        if self.expected.in_backup.is_none() {
            return;
        }
        fs::remove_dir_all(&self.settings.data).unwrap();
        folder::make(&self.settings).unwrap();
        let path = folder::store_path(&self.settings);
        match step {
            Step::RestoreElsewhere => {
                fs::copy(self.key_file_of_backup(), &self.settings.key_file).unwrap();
            }
            Step::RestoreWithoutKeys => drop(Keys::create(&self.settings.key_file).unwrap()),
            // Makes a store and keys of its own.
            _ => drop(self.open()),
        }
        let keys = self.keys();
        let there = (step == Step::RestoreOverAnother).then(|| self.open().store);
        let backup = Replacement::of_backup(&self.backup(), &path, &mut |_, _| Ok(())).unwrap();
        let clock = Clock::starting_at(Default::default());
        let terms =
            Terms { keys: &keys, key_file: &self.settings.key_file, clock: &clock, keep_sessions: false };
        let place = there.as_ref().map_or(Place::Free(&path), Place::Store);
        restore::restore(place, backup, terms).unwrap();
        self.expected.sessions.clear();
    }

    fn living(&self) -> BTreeSet<SessionId> {
        match self.run(Command::ListSessions { user: None, after: None }).unwrap() {
            Answer::Sessions { rows, next: None } => {
                rows.iter().map(|row| SessionId::from_handle(&row.session).unwrap()).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    fn check(&self, taken: &[Step]) {
        match self.run(Command::VerifyAudit).unwrap() {
            Answer::AuditVerified(logs) => {
                assert!(logs.iter().all(administration::Verified::is_whole), "{taken:?}: {logs:?}");
            }
            other => panic!("{other:?}"),
        }
        let expected: BTreeSet<_> = self.expected.sessions.iter().map(|(id, _)| *id).collect();
        assert_eq!(self.living(), expected, "{taken:?}");
        let kids: Vec<_> = self.keys().kids().collect();
        assert!(self.expected.sessions.iter().all(|(_, kid)| kids.contains(kid)), "{taken:?}");
    }

    /// Retires every key but the signing one, oldest first.
    fn retire_all(mut self, taken: &[Step]) {
        while self.keys().kids().count() > 1 {
            self.step(Step::RetireKey);
        }
        self.check(taken);
    }
}

fn explore(world: World, taken: &mut Vec<Step>, depth: usize) -> usize {
    let mut seen = 1;
    for step in STEPS.into_iter().filter(|_| depth > 0) {
        let folder = tempfile::tempdir_in(&world.root).unwrap();
        let mut next = world.copy_to(folder.path());
        taken.push(step);
        next.step(step);
        next.sign_in();
        next.check(taken);
        seen += explore(next, taken, depth - 1);
        taken.pop();
    }
    world.retire_all(taken);
    seen
}

#[test]
fn in_every_order_of_backups_keys_and_restores_logs_stay_whole_and_sessions_as_they_should() {
    let depth = std::env::var("LATCHKEY_TEST_DEPTH").map_or(3, |depth| depth.parse().unwrap());
    // In memory where there is such a folder: this is about orders and not about disks.
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let mut world = World::at(folder.path(), Expected::default());
    let password = Password::new("correct horse battery staple".to_owned());
    world.run(Command::AddUser { name: "alice".to_owned(), role: Role::Admin, password }).unwrap();
    world.sign_in();
    let seen = explore(world, &mut Vec::new(), depth);
    println!("{seen} orders, none of which broke a log, kept a key from going or lost a session");
    assert!(seen > STEPS.len());
}

#[test]
fn a_backup_that_is_made_while_keys_change_has_a_log_that_its_keys_verify() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::at(folder.path(), Expected::default());
    let opened = world.open();
    let office = Office {
        clock: &Clock::starting_at(Default::default()),
        hasher: &Hasher::new(1, Profile::LowMemory),
        keys: &KeyRing::new(world.settings.key_file.clone(), opened.keys),
        store: &opened.store,
        password_chars_min: 8,
        day: None,
        in_force: None,
    };
    let run = |command| administration::run(&office, command, &mut |_, _| Ok(())).unwrap();
    let backup = |number: u32| folder.path().join(format!("backup-{number}"));
    std::thread::scope(|threads| {
        threads.spawn(|| (0..100).for_each(|_| drop(run(Command::RotateKey))));
        (0..30).for_each(|number| drop(run(Command::Backup { path: backup(number) })));
    });
    for number in 0..30 {
        match run(Command::Restore { path: backup(number), keep_sessions: false }) {
            Answer::Restored(restored) => assert_eq!(restored.unverified, None, "backup {number}"),
            other => panic!("{other:?}"),
        }
    }
}
