//! The real client and the real server with a network between them that does its worst: nobody is signed out who was
//! not, nothing happens twice, and whoever was really signed out learns of it.
//!
//! `LATCHKEY_CHAOS_OPERATIONS` sets how much is done (`tests/chaos` does 10,000), `LATCHKEY_CHAOS_SEED` the first seed.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;

use latchkey_client::{Client, Error, FileStore};
use latchkey_tests::chaos::{Network, Random};
use latchkey_tests::http::Request;
use latchkey_tests::server::{PASSWORD, Server, Setup};

const SERVER: &str = env!("CARGO_BIN_EXE_server-under-test");

/// As many worlds go on at once, each with a seed, a user, a network and a clock of its own.
const WORLDS: u64 = 8;

/// A session that the server has ended is noticed within so many operations, or it counts as missed.
const NOTICED_WITHIN: u32 = 40;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// What came of it all.
#[derive(Debug, Default)]
struct Counts {
    operations: u64,
    answered: u64,
    offline: u64,
    faults: usize,
    restarts: u64,
    false_sign_outs: u64,
    revocations: u64,
    missed: u64,
    doubled_effects: usize,
    lost_effects: u64,
    two_children: usize,
}

impl Counts {
    fn add(mut self, other: &Self) -> Self {
        self.operations += other.operations;
        self.answered += other.answered;
        self.offline += other.offline;
        self.faults += other.faults;
        self.restarts += other.restarts;
        self.false_sign_outs += other.false_sign_outs;
        self.revocations += other.revocations;
        self.missed += other.missed;
        self.doubled_effects += other.doubled_effects;
        self.lost_effects += other.lost_effects;
        self.two_children += other.two_children;
        self
    }
}

/// A user's programs: two on one session file, one of which waits for each 401.
struct World<'a> {
    server: &'a Server,
    /// A session beside, from which the other can be ended.
    watcher: String,
    user: String,
    network: Network,
    address: SocketAddr,
    file: PathBuf,
    programs: [Client; 2],
    random: Random,
    counts: Counts,
    /// Operations since the server ended the session.
    ended: Option<u32>,
}

impl<'a> World<'a> {
    fn new(server: &'a Server, folder: &Path, seed: u64, with_keys: bool) -> Self {
        let user = format!("user-{seed}");
        server.add_user(&user);
        let (network, address) = Network::start(server.address(), seed);
        if !with_keys {
            network.take_off_retry_keys();
        }
        let file = folder.join(format!("{user}-{with_keys}.json"));
        let programs = [false, true].map(|is_reactive| program(&network, &file, is_reactive));
        let mut world = Self {
            watcher: server.login(&user).access,
            server,
            user,
            network,
            address,
            file,
            programs,
            random: Random::new(seed),
            counts: Counts::default(),
            ended: None,
        };
        world.sign_in();
        world
    }

    fn sign_in(&mut self) {
        self.network.set_bad(false);
        self.programs[0].login(&format!("http://{}", self.address), &self.user, PASSWORD).unwrap();
        self.network.set_bad(true);
        self.restart(1);
        self.ended = None;
    }

    fn restart(&mut self, which: usize) {
        self.programs[which] = program(&self.network, &self.file, which == 1);
    }

    fn run(mut self, operations: u64) -> Counts {
        for number in 0..operations {
            self.pass_time();
            if self.random.below(20) == 0 {
                let which = self.random.below(2) as usize;
                self.restart(which);
                self.counts.restarts += 1;
            }
            if self.ended.is_none() && self.random.below(100) == 0 {
                self.end_the_session();
            }
            self.operate(number);
        }
        self.counts.faults = self.network.faults();
        (self.counts.doubled_effects, self.counts.two_children) = self.network.doubled();
        self.counts
    }

    /// A program does something every few seconds, or after a pause in which its access token expires.
    fn pass_time(&mut self) {
        // A late duplicate of a request that was answered may meet one rotation more, which takes another start.
        let secs =
            if self.random.below(2) == 0 { 8 + self.random.below(12) } else { 600 + self.random.below(900) };
        self.network.advance_millis(secs * 1000);
    }

    fn end_the_session(&mut self) {
        let session = self.programs[0].identity().or_else(|| self.programs[1].identity()).unwrap().session;
        let request = Request::delete(&format!("/api/auth/sessions/{session}")).bearer(&self.watcher);
        // Without the retry key it may have ended already, and nobody has noticed yet.
        if self.server.send(request).status == 204 {
            self.counts.revocations += 1;
            self.ended = Some(0);
        }
    }

    fn operate(&mut self, number: u64) {
        let program = &self.programs[self.random.below(2) as usize];
        let effect = format!("{}-{number}", self.user);
        let posts = self.random.below(2) == 0;
        let result = if posts {
            program.post_json(&format!("/effects/{effect}"), &number)
        } else {
            program.get("/api/me")
        };
        self.counts.operations += 1;
        match result {
            Ok(response) => {
                self.counts.answered += 1;
                let is_done = posts && response.body() == b"done";
                self.counts.lost_effects += u64::from(is_done && self.network.effects_of(&effect) != 1);
            }
            Err(Error::SignedOut { .. }) => {
                self.counts.false_sign_outs += u64::from(self.ended.is_none());
                self.sign_in();
            }
            Err(Error::Network(_) | Error::Busy { .. } | Error::Refused(_)) => self.counts.offline += 1,
            Err(other) => panic!("no network can do that: {other:?}"),
        }
        if let Some(operations) = &mut self.ended {
            *operations += 1;
            if *operations > NOTICED_WITHIN {
                self.counts.missed += 1;
                self.sign_in();
            }
        }
    }
}

fn program(network: &Network, file: &Path, is_reactive: bool) -> Client {
    let builder = Client::builder().store(FileStore::new(file)).clock(network.clone());
    if is_reactive { builder.reactive() } else { builder }.build().unwrap()
}

/// Goes on in several worlds at once, and prints what came of it.
fn chaos(operations: u64, with_keys: bool) -> Counts {
    let server = Setup::new(SERVER).with("GRACE_SECS", 0).with("ARGON2_PROFILE", "low-memory").start();
    let folder = tempfile::tempdir().unwrap();
    let first = setting("LATCHKEY_CHAOS_SEED", 1);
    let seeds = first..first + WORLDS;
    let counts = thread::scope(|scope| {
        let worlds: Vec<_> = seeds
            .clone()
            .map(|seed| {
                let (server, folder) = (&server, folder.path());
                scope.spawn(move || {
                    World::new(server, folder, seed, with_keys).run(operations.div_ceil(WORLDS))
                })
            })
            .collect();
        worlds.into_iter().fold(Counts::default(), |sum, world| sum.add(&world.join().unwrap()))
    });
    println!("seeds {seeds:?}, retry keys {}: {counts:#?}", if with_keys { "kept" } else { "taken off" });
    if with_keys {
        assert_eq!(server.log().matches("a spent refresh token").count(), 0);
    }
    counts
}

#[test]
fn no_network_signs_anybody_out_or_does_anything_twice() {
    let counts = chaos(setting("LATCHKEY_CHAOS_OPERATIONS", 600), true);
    assert_eq!(counts.false_sign_outs, 0);
    assert_eq!((counts.doubled_effects, counts.lost_effects, counts.two_children), (0, 0, 0));
    assert_eq!(counts.missed, 0);
    assert!(counts.revocations > 0 && counts.faults > 100 && counts.answered > counts.operations / 4);
}

#[test]
fn without_the_retry_key_the_same_network_does() {
    let counts = chaos(setting("LATCHKEY_CHAOS_OPERATIONS", 600), false);
    assert!(counts.false_sign_outs > 0, "the network is too kind to show anything");
}
