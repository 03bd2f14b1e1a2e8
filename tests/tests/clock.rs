//! A system clock that was ahead for one request: tokens are right again at once, nobody is signed out, and the server's
//! time heals by itself. The clock is faked by libfaketime, and PyJWT judges the tokens.

use std::fs;
use std::path::Path;
use std::process::Command;

use latchkey_tests::http::Request;
use latchkey_tests::server::{Server, Setup, Tokens, printed};

const SERVER: &str = env!("CARGO_BIN_EXE_server-under-test");
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

/// A Python with PyJWT.
fn python() -> String {
    std::env::var("LATCHKEY_TEST_PYTHON").unwrap_or("python3".to_owned())
}

/// Whether libfaketime and PyJWT are there, which has to be so in CI.
fn can_fake() -> bool {
    let has_jwt = Command::new(python()).args(["-c", "import jwt"]).output();
    let is_there = Path::new(LIBRARY).exists() && has_jwt.is_ok_and(|output| output.status.success());
    assert!(is_there || std::env::var_os("CI").is_none(), "libfaketime and PyJWT are needed in CI");
    if !is_there {
        eprintln!("SKIPPED: needs libfaketime (package faketime) and PyJWT");
    }
    is_there
}

/// A server whose system clock is as far off as a file says.
struct Faked {
    server: Server,
    file: std::path::PathBuf,
    _folder: tempfile::TempDir,
}

impl Faked {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("offset");
        fs::write(&file, "+0").unwrap();
        let server = Setup::new(SERVER)
            .with("GRACE_SECS", 0)
            .with("ARGON2_PROFILE", "low-memory")
            .with_variable("LD_PRELOAD", LIBRARY)
            .with_variable("FAKETIME_TIMESTAMP_FILE", file.display())
            .with_variable("FAKETIME_NO_CACHE", 1)
            .with_variable("FAKETIME_DONT_FAKE_MONOTONIC", 1)
            .start();
        Self { server, file, _folder: folder }
    }

    /// Sets the system clock of the server, in seconds from the right one.
    fn set(&self, offset: i64) {
        let unfinished = self.file.with_extension("new");
        fs::write(&unfinished, format!("{offset:+}")).unwrap();
        fs::rename(unfinished, &self.file).unwrap();
    }

    fn lead_secs(&self) -> u64 {
        let metrics = self.server.send(Request::get("/metrics")).body;
        let line = metrics.lines().find_map(|line| line.strip_prefix("latchkey_clock_lead_seconds "));
        line.unwrap().parse().unwrap()
    }

    /// Asserts that PyJWT accepts an access token, `iat` and `exp` by a clock that is right.
    #[track_caller]
    fn assert_acceptable(&self, tokens: &Tokens) {
        let secret = printed(&self.server.run(&["key", "export", "access"]));
        let script = "import base64, jwt, sys\n\
            secret = base64.urlsafe_b64decode(sys.argv[1] + '=')\n\
            claims = jwt.decode(sys.argv[2], secret, algorithms=['HS256'], audience=sys.argv[3])\n\
            assert claims['exp'] - claims['iat'] <= 601, claims\n";
        let arguments = ["-c", script, secret.trim(), &tokens.access, &self.server.url()];
        printed(&Command::new(python()).args(arguments).output().unwrap());
    }
}

#[test]
fn a_clock_that_was_ahead_for_one_request_leaves_no_trace_on_tokens_and_signs_nobody_out() {
    if !can_fake() {
        return;
    }
    for ahead in [30, 500, 3600] {
        let faked = Faked::start();
        let server = &faked.server;
        server.add_user("alice");
        let (bystander, first) = (server.login("alice"), server.login("alice"));
        faked.set(ahead);
        let unlucky = Tokens::from(&server.refresh(&first.refresh, None));
        faked.set(0);
        assert!((ahead as u64 - 5..=ahead as u64 + 1).contains(&faked.lead_secs()), "{}", faked.lead_secs());

        // The one who asked while the clock was ahead, one who did not, and one who signs in now.
        let refreshed =
            [&unlucky, &bystander].map(|tokens| Tokens::from(&server.refresh(&tokens.refresh, None)));
        for tokens in refreshed.iter().chain([&server.login("alice")]) {
            faked.assert_acceptable(tokens);
            assert_eq!(server.get("/api/me", &tokens.access).status, 200);
        }
        assert_ne!(refreshed[0].refresh, unlucky.refresh, "rotation goes on");
    }
}

#[test]
fn a_lead_is_told_survives_a_restart_and_is_gone_when_the_system_clock_has_caught_up() {
    if !can_fake() {
        return;
    }
    let mut faked = Faked::start();
    faked.server.add_user("alice");
    let first = faked.server.login("alice");
    faked.set(3600);
    let ahead = Tokens::from(&faked.server.refresh(&first.refresh, None));
    faked.set(0);
    faked.server.stop();
    faked.server.start();
    assert!(faked.lead_secs() > 3590);
    assert!(faked.server.log().contains("the system clock is 3"), "{}", faked.server.log());
    let healed = Tokens::from(&faked.server.refresh(&ahead.refresh, None));
    faked.assert_acceptable(&healed);
    // An hour later.
    faked.set(3600);
    assert_eq!(faked.lead_secs(), 0);
    assert_eq!(faked.server.refresh(&healed.refresh, None).status, 200, "the session lives on");
}

#[test]
fn an_expired_session_stays_expired_when_the_clock_is_set_back() {
    if !can_fake() {
        return;
    }
    let faked = Faked::start();
    faked.server.add_user("alice");
    let tokens = faked.server.login("alice");
    faked.set(31 * 86_400);
    faked.server.refresh(&tokens.refresh, None).assert_refused(401, "session_expired", "login");
    faked.set(0);
    faked.server.get("/api/me", &tokens.access).assert_refused(401, "invalid_token", "refresh");
    faked.server.refresh(&tokens.refresh, None).assert_refused(401, "session_ended", "login");
}
