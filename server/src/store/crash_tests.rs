//! The store on a disk that fails: power cuts that drop and tear what was not synced, full and broken disks at every
//! operation, flipped bits. What was acknowledged is there afterwards, and nothing is silently wrong.
//!
//! `LATCHKEY_CRASH_RUNS` sets the number of seeded runs: a hundred unless it is set, two thousand in `.ci/full`.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

use super::*;
use crate::command::{self, SignIn, Verified};
use crate::session::{Policy, Presented, Session, SessionId};
use crate::user::{Name, PasswordHash, Role, User, UserId};

const POLICY: Policy = Policy { grace_secs: 0, inactivity_secs: 1_000_000, lifetime_secs: 1_000_000 };
const OPERATIONS_A_RUN: u32 = 40;

fn runs() -> u64 {
    std::env::var("LATCHKEY_CRASH_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(100)
}

/// A small generator of numbers that look random and come again with the same seed (SplitMix64).
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// A disk in memory. Handles share it, as the operating system's cache is shared.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<Mutex<Platters>>);

#[derive(Debug, Default)]
struct Platters {
    /// What survives a power cut.
    synced: Vec<u8>,
    /// What a reader sees.
    seen: Vec<u8>,
    /// Writes and changes of length since the last sync, in order.
    unsynced: Vec<Change>,
    operations: u64,
    syncs: u64,
    bytes_written: u64,
    /// From this operation on, changes fail.
    fails_from: Option<u64>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Write(offset, data) => {
                let end = offset + data.len();
                to.resize(to.len().max(end), 0);
                to[*offset..end].copy_from_slice(data);
            }
            Self::SetLen(len) => to.resize(*len, 0),
        }
    }
}

impl Disk {
    fn platters(&self) -> MutexGuard<'_, Platters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(image: Vec<u8>) -> Self {
        let platters = Platters { synced: image.clone(), seen: image, ..Platters::default() };
        Self(Arc::new(Mutex::new(platters)))
    }

    fn fails_from(self, operation: u64) -> Self {
        self.platters().fails_from = Some(operation);
        self
    }

    /// What is on the disk after a power cut: of what was not synced, some is there, some is not, some is torn.
    fn after_power_cut(&self, random: &mut Seeded) -> Vec<u8> {
        let platters = self.platters();
        let mut image = platters.synced.clone();
        for change in &platters.unsynced {
            match (random.below(3), change) {
                (0, _) => {}
                (1, Change::Write(offset, data)) => {
                    // Sectors arrive or do not, each for itself.
                    for (index, sector) in data.chunks(512).enumerate() {
                        if random.below(2) == 0 {
                            Change::Write(offset + index * 512, sector.to_vec()).apply(&mut image);
                        }
                    }
                }
                (_, change) => change.apply(&mut image),
            }
        }
        image
    }

    fn change(&self, change: Change) -> io::Result<()> {
        let mut platters = self.platters();
        platters.count_operation()?;
        if let Change::Write(_, data) = &change {
            platters.bytes_written += data.len() as u64;
        }
        change.apply(&mut platters.seen);
        platters.unsynced.push(change);
        Ok(())
    }
}

impl Platters {
    fn count_operation(&mut self) -> io::Result<()> {
        self.operations += 1;
        match self.fails_from {
            Some(from) if self.operations > from => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.platters().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let platters = self.platters();
        let from = platters.seen.get(offset as usize..).unwrap_or_default();
        out.copy_from_slice(from.get(..out.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Change::SetLen(len as usize))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut platters = self.platters();
        platters.count_operation()?;
        platters.syncs += 1;
        platters.synced = platters.seen.clone();
        platters.unsynced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Change::Write(offset as usize, data.to_vec()))
    }
}

/// A store on a disk, and what it has acknowledged.
struct Run {
    store: Store,
    known: Known,
    clock: u64,
}

/// What the outside was told: which sessions are alive, and at which generation.
type Known = BTreeMap<SessionId, u32>;

/// One thing somebody asks of the store.
#[derive(Clone, Copy, Debug)]
enum Request {
    SignIn(SessionId),
    Refresh(SessionId, u32),
    SignOut(SessionId),
}

impl Request {
    /// What is known when it has been done.
    fn done(self, known: &Known) -> Known {
        let mut known = known.clone();
        match self {
            Self::SignIn(id) => known.insert(id, 1),
            Self::Refresh(id, generation) => known.insert(id, generation + 1),
            Self::SignOut(id) => known.remove(&id),
        };
        known
    }
}

const ALICE: UserId = UserId(7);

fn alice() -> (Name, User) {
    let user = User {
        name: "alice".to_owned(),
        role: Role::User,
        disabled: false,
        auth_epoch: 0,
        created: UnixMillis(1),
        password_hash: PasswordHash("hash".to_owned()),
    };
    ("alice".parse().unwrap(), user)
}

fn open(disk: &Disk) -> Result<Store, OpenFailure> {
    let database = builder().create_with_backend(disk.clone())?;
    if tables::schema(&database)?.is_none() {
        tables::create(&database)?;
    }
    Ok(Store::start(database, PathBuf::new(), |_| {}))
}

/// A disk with a store and alice in it, synced.
fn prepared() -> Vec<u8> {
    let disk = Disk::default();
    let store = open(&disk).unwrap();
    let (name, user) = alice();
    store.write(move |writes| writes.add_user(ALICE, &name, &user)).unwrap();
    drop(store);
    disk.platters().synced.clone()
}

impl Run {
    fn pick(&self, random: &mut Seeded) -> Request {
        let one = |random: &mut Seeded| {
            let index = random.below(self.known.len() as u64) as usize;
            self.known.iter().nth(index).map(|(id, generation)| (*id, *generation))
        };
        let alive = if self.known.is_empty() { None } else { one(random) };
        match (random.below(10), alive) {
            (0, Some((id, _))) => Request::SignOut(id),
            (1..=6, Some((id, generation))) => Request::Refresh(id, generation),
            _ => Request::SignIn(SessionId::new(ALICE, random.next().to_be_bytes())),
        }
    }

    /// Asks, and notes what was acknowledged.
    fn ask(&mut self, request: Request) -> Result<(), StoreError> {
        self.clock += 1;
        let now = Now::at(UnixMillis(self.clock));
        match request {
            Request::SignIn(id) => {
                let sign_in = SignIn {
                    user: ALICE,
                    verified: Verified { hash: PasswordHash("hash".to_owned()), epoch: 0 },
                    upgraded: None,
                    replaces: None,
                    id,
                    kid: 1,
                    address: [127, 0, 0, 1].into(),
                    label: String::new(),
                };
                let opened =
                    self.store.write(move |writes| command::sign_in(writes, &sign_in, now, &POLICY))?;
                assert!(opened.is_ok());
            }
            Request::Refresh(id, generation) => {
                let presented = Presented { generation, retry_key: None, signing_kid: 1 };
                let address = [127, 0, 0, 1].into();
                let refreshed = self
                    .store
                    .write(move |writes| command::refresh(writes, id, presented, address, now, &POLICY))?;
                assert_eq!(refreshed.current.unwrap().1.generation, generation + 1);
            }
            Request::SignOut(id) => {
                let address = [127, 0, 0, 1].into();
                let ended =
                    self.store.write(move |writes| command::sign_out(writes, ALICE, id, address, now))?;
                assert!(ended);
            }
        }
        self.known = request.done(&self.known);
        Ok(())
    }
}

fn found(store: &Store) -> Known {
    let sessions = store.read(|reads| reads.sessions_of(ALICE)).unwrap();
    sessions.into_iter().map(|(id, session): (SessionId, Session)| (id, session.generation)).collect()
}

/// Runs requests until the disk fails or enough are done; returns what was acknowledged and what was under way.
fn work(disk: &Disk, random: &mut Seeded) -> (Known, Option<Request>) {
    let Ok(store) = open(disk) else { return (Known::new(), None) };
    let mut run = Run { store, known: Known::new(), clock: 1 };
    for _ in 0..OPERATIONS_A_RUN {
        let request = run.pick(random);
        if run.ask(request).is_err() {
            assert!(run.ask(request).is_err(), "after a failure nothing is acknowledged any more");
            return (run.known, Some(request));
        }
    }
    (run.known, None)
}

#[track_caller]
fn assert_nothing_is_lost(image: Vec<u8>, (known, under_way): &(Known, Option<Request>), what: &str) {
    let store = open(&Disk::of(image)).unwrap_or_else(|error| panic!("{what}: {error:?}"));
    let found = found(&store);
    let is_as_acknowledged = found == *known;
    let is_one_further = under_way.is_some_and(|request| request.done(known) == found);
    assert!(is_as_acknowledged || is_one_further, "{what}: {known:?} became {found:?}");
}

#[test]
fn no_power_cut_loses_what_was_acknowledged() {
    let image = prepared();
    let mut acknowledged = 0;
    for seed in 0..runs() {
        let mut random = Seeded(seed);
        // How many operations a run has is not known beforehand; most cuts fall inside it.
        let disk = Disk::of(image.clone()).fails_from(random.below(600));
        let outcome = work(&disk, &mut random);
        acknowledged += outcome.0.values().map(|generation| u64::from(*generation)).sum::<u64>();
        assert_nothing_is_lost(disk.after_power_cut(&mut random), &outcome, &format!("seed {seed}"));
    }
    println!("{} power cuts, {acknowledged} acknowledged rotations and sign-ins, 0 lost", runs());
}

#[test]
fn a_disk_that_fails_at_any_operation_is_an_error_and_loses_nothing() {
    let image = prepared();
    let whole = Disk::of(image.clone());
    work(&whole, &mut Seeded(1));
    let operations = whole.platters().operations;
    assert!(operations > 100, "{operations} operations are no run");
    for failing in 0..operations {
        let disk = Disk::of(image.clone()).fails_from(failing);
        let outcome = work(&disk, &mut Seeded(1));
        // The process goes on to run, so what the operating system has taken in is there.
        let seen = disk.platters().seen.clone();
        assert_nothing_is_lost(seen, &outcome, &format!("operation {failing}"));
    }
    println!("{operations} operations, each failed once, 0 acknowledged answers lost");
}

#[test]
fn a_flipped_bit_is_an_error_or_has_no_effect() {
    let disk = Disk::of(prepared());
    let outcome = work(&disk, &mut Seeded(2));
    let image = disk.platters().seen.clone();
    let mut random = Seeded(3);
    let (mut refused, mut harmless) = (0, 0);
    for run in 0..runs() {
        let mut flipped = image.clone();
        let bit = random.below(8 * flipped.len() as u64);
        flipped[bit as usize / 8] ^= 1 << (bit % 8);
        match open(&Disk::of(flipped)) {
            Err(_) => refused += 1,
            Ok(store) => {
                let found = store.read(|reads| reads.sessions_of(ALICE));
                let found: Option<Known> =
                    found.ok().map(|all| all.iter().map(|(id, session)| (*id, session.generation)).collect());
                assert!(found.is_none_or(|found| found == outcome.0), "run {run}, bit {bit}: silently wrong");
                harmless += 1;
            }
        }
    }
    println!("{} flips: {refused} refused, {harmless} without effect, 0 silently wrong", runs());
}

/// The counted cost of refreshing `sessions` in one commit: syncs, and bytes written.
fn cost_of_refreshing(store: &Store, disk: &Disk, sessions: Vec<SessionId>, now: UnixMillis) -> (u64, u64) {
    let counted = || {
        let platters = disk.platters();
        (platters.syncs, platters.bytes_written)
    };
    let before = counted();
    store
        .write(move |writes| {
            for id in sessions {
                let generation = writes.session(id)?.expect("it signed in").generation;
                let presented = Presented { generation, retry_key: None, signing_kid: 1 };
                let refreshed =
                    command::refresh(writes, id, presented, [127, 0, 0, 1].into(), Now::at(now), &POLICY)?;
                assert!(refreshed.current.is_some());
            }
            Ok(())
        })
        .unwrap();
    let after = counted();
    (after.0 - before.0, after.1 - before.1)
}

#[test]
fn a_lone_refresh_is_one_sync_and_a_batch_of_64_is_one_too() {
    const USERS: u64 = 20_000;
    let disk = Disk::default();
    let store = open(&disk).unwrap();
    store
        .write(|writes| {
            let (_, user) = alice();
            let mut random = Seeded(4);
            for _ in 0..USERS {
                let id = UserId(random.next());
                let name: Name = id.to_string().parse().expect("hexadecimal digits are a name");
                writes.add_user(id, &name, &user)?;
                let session = Session::begin(
                    &user,
                    1,
                    [127, 0, 0, 1].into(),
                    "Firefox on Linux",
                    Now::at(UnixMillis(1)),
                    &POLICY,
                );
                writes.put_session(SessionId::new(id, [0; 8]), &session)?;
            }
            Ok(())
        })
        .unwrap();
    let mut random = Seeded(4);
    let mut all = (0..USERS).map(|_| SessionId::new(UserId(random.next()), [0; 8]));
    // The first ones after a start fill the free lists, and the time is noted once a minute.
    for second in 0..8 {
        cost_of_refreshing(&store, &disk, all.by_ref().take(64).collect(), UnixMillis(100_000 + second));
    }
    let lone = cost_of_refreshing(&store, &disk, all.by_ref().take(1).collect(), UnixMillis(110_000));
    let batch = cost_of_refreshing(&store, &disk, all.by_ref().take(64).collect(), UnixMillis(110_001));
    println!(
        "with {USERS} sessions: a lone refresh is {} sync and {} bytes, one of 64 in a batch {} bytes, {} sync for all",
        lone.0,
        lone.1,
        batch.1 / 64,
        batch.0
    );
    assert_eq!((lone.0, batch.0), (1, 1));
    assert!(lone.1 <= 40 << 10 && batch.1 / 64 <= 12 << 10);
}

#[test]
fn rotating_the_same_sessions_over_and_over_does_not_grow_the_file() {
    let disk = Disk::of(prepared());
    let store = open(&disk).unwrap();
    let sessions: Vec<_> = (0..256_u64).map(|n| SessionId::new(ALICE, n.to_be_bytes())).collect();
    let rotate_all = |now: u64| {
        let sessions = sessions.clone();
        store
            .write(move |writes| {
                let (_, user) = alice();
                for id in sessions {
                    let session = match writes.session(id)? {
                        Some(session) => Session { generation: session.generation + 1, ..session },
                        None => Session::begin(
                            &user,
                            1,
                            [127, 0, 0, 1].into(),
                            "",
                            Now::at(UnixMillis(now)),
                            &POLICY,
                        ),
                    };
                    writes.put_session(id, &session)?;
                }
                Ok(())
            })
            .unwrap();
    };
    // The first rounds fill the free lists.
    (0..50).for_each(rotate_all);
    let before = disk.platters().seen.len();
    let rounds = 20 * runs();
    (0..rounds).for_each(rotate_all);
    let after = disk.platters().seen.len();
    println!("{} rotations: {before} bytes before, {after} after", rounds * sessions.len() as u64);
    assert_eq!(before, after);
}
