//! The two servers as child processes over throw-away folders, with a session for every client.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::load::Session;

/// Sessions a user of Latchkey may have alive.
const SESSIONS_PER_USER: usize = 64;

const PASSWORD: &str = "correct horse battery staple";

/// A server that runs; it is killed when this is dropped.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) start_time: Duration,
    child: Child,
    address: SocketAddr,
}

impl Server {
    /// Starts `latchkey` over the store in `folder`, or a new one; a token is good once, as with the other server.
    pub(crate) fn latchkey(program: &Path, folder: &Path) -> Result<Self, Failure> {
        Self::start("latchkey", latchkey(program, folder).arg("serve"), folder)
    }

    /// Starts the server it is compared with, which is this program too.
    pub(crate) fn peer(folder: &Path) -> Result<Self, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        Self::start("axum", command.arg("peer").arg(folder.join("peer.sqlite")), folder)
    }

    fn start(name: &'static str, command: &mut Command, folder: &Path) -> Result<Self, Failure> {
        let log = File::create(folder.join(format!("{name}.log")))?;
        let begin = Instant::now();
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn()?;
        let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut first_line = String::new();
        output.read_line(&mut first_line)?;
        let start_time = begin.elapsed();
        let Some((_, address)) = first_line.trim().split_once(" listening on http://") else {
            child.wait()?;
            let log = std::fs::read_to_string(folder.join(format!("{name}.log")))?;
            return Err(format!("{name} did not start: {log}").into());
        };
        let address = address.parse()?;
        // Keeps the pipe open and empty for as long as the server runs.
        thread::spawn(move || io::copy(&mut output, &mut io::sink()));
        Ok(Self { name, start_time, child, address })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Opens so many sessions, of the users of [`add_users`].
    pub(crate) fn open_sessions(&self, count: usize) -> Result<Vec<Session>, Failure> {
        let user = |number| user_name(number / SESSIONS_PER_USER);
        (0..count).map(|number| Session::open(self.address, &user(number), PASSWORD)).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Gone already is gone too.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Adds the users that so many sessions need to the store in `folder`.
pub(crate) fn add_users(program: &Path, folder: &Path, sessions: usize) -> Result<(), Failure> {
    for number in 0..sessions.div_ceil(SESSIONS_PER_USER) {
        let mut command = latchkey(program, folder);
        command.args(["user", "add", &user_name(number), "--password-stdin"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        child.stdin.take().expect("it is piped").write_all(PASSWORD.as_bytes())?;
        if !child.wait()?.success() {
            return Err("latchkey did not add a user".into());
        }
    }
    Ok(())
}

fn user_name(number: usize) -> String {
    format!("user-{number}")
}

fn latchkey(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).env_clear().envs([
        ("LATCHKEY_LISTEN", "127.0.0.1:0"),
        ("LATCHKEY_GRACE_SECS", "0"),
        ("LATCHKEY_ARGON2_PROFILE", "low-memory"),
    ]);
    command
}
