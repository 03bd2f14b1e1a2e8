//! kill -9 of the client at any point of a refresh: the next start goes on in the same session.

use std::fs;
use std::process::{Command, Output};
use std::time::Duration;

use latchkey_client::{Client, FileStore};
use latchkey_tests::chaos::Random;
use latchkey_tests::server::{PASSWORD, Server, Setup};

const SERVER: &str = env!("CARGO_BIN_EXE_server-under-test");
const KILLED: &str = env!("CARGO_BIN_EXE_killed");

/// Kills at moments that a seed chooses.
const KILLS: u64 = 60;
const SEED: u64 = 6;

struct Scenario {
    server: Server,
    folder: tempfile::TempDir,
    session: String,
    starts: u64,
}

impl Scenario {
    /// A session in a file; the server rotates at every refresh, and each start of a program refreshes.
    fn signed_in() -> Self {
        let server = Setup::new(SERVER).with("GRACE_SECS", 0).with("ARGON2_PROFILE", "low-memory").start();
        server.add_user("alice");
        let folder = tempfile::tempdir().unwrap();
        let client =
            Client::builder().store(FileStore::new(folder.path().join("session.json"))).build().unwrap();
        let session = client.login(&server.url(), "alice", PASSWORD).unwrap().session;
        Self { server, folder, session, starts: 0 }
    }

    /// The next start of the program, killed at a point of its own.
    fn start(&mut self, point: &str) -> Command {
        self.starts += 1;
        let mut command = Command::new(KILLED);
        command.arg(self.folder.path().join("session.json")).arg(point).arg(self.starts.to_string());
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        command
    }

    fn assert_goes_on(&mut self) {
        let Output { status, stdout, stderr } = self.start("never").output().unwrap();
        assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
        let answer = String::from_utf8(stdout).unwrap();
        assert!(answer.contains(&format!("\"session\":\"{}\"", self.session)), "{answer}");
    }

    fn is_unanswered(&self) -> bool {
        fs::read_to_string(self.folder.path().join("session.json")).unwrap().contains("\"unanswered\": true")
    }
}

#[test]
fn killed_at_any_point_of_a_refresh_it_goes_on_in_the_same_session() {
    let mut scenario = Scenario::signed_in();
    for (point, is_unanswered) in [
        ("opened", Some(false)),
        ("before-first-write", Some(false)),
        ("after-first-write", Some(true)),
        ("sent", None),
        ("answered", Some(true)),
        ("before-second-write", Some(true)),
        ("after-second-write", Some(false)),
    ] {
        for times in 1..=3 {
            // As often in a row, too: a start may be killed while it takes up what the one before left.
            for _ in 0..times {
                let output = scenario.start(point).output().unwrap();
                assert!(point == "sent" || output.status.code().is_none(), "{point}: {output:?}");
            }
            assert!(is_unanswered.is_none_or(|expected| expected == scenario.is_unanswered()), "{point}");
            scenario.assert_goes_on();
        }
    }
    assert_eq!(scenario.server.log().matches("a spent refresh token").count(), 0);
}

#[test]
fn killed_at_random_moments_it_goes_on_in_the_same_session() {
    let mut scenario = Scenario::signed_in();
    let mut random = Random::new(SEED);
    let (mut killed, mut in_a_refresh) = (0, 0);
    for kill in 0..KILLS {
        let mut child = scenario.start("never").spawn().unwrap();
        std::thread::sleep(Duration::from_micros(random.below(12_000)));
        child.kill().unwrap();
        killed += u64::from(child.wait().unwrap().code().is_none());
        in_a_refresh += u64::from(scenario.is_unanswered());
        if kill % 3 == 0 {
            scenario.assert_goes_on();
        }
    }
    scenario.assert_goes_on();
    println!(
        "seed {SEED}: {killed} of {KILLS} starts killed, {in_a_refresh} of them in the middle of a refresh"
    );
    assert!(in_a_refresh > 0, "no kill came at an interesting moment");
    assert_eq!(scenario.server.log().matches("a spent refresh token").count(), 0);
}
