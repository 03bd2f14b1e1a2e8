//! The two servers as child processes over throw-away folders, with a session for every client.

use std::ffi::OsStr;
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

pub(crate) const PASSWORD: &str = "correct horse battery staple";

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

    /// Starts the axum server it is compared with, which is this program too.
    pub(crate) fn axum(folder: &Path) -> Result<Self, Failure> {
        let mut command = pinned(std::env::current_exe()?.as_os_str());
        Self::start("axum", command.arg("peer").arg(folder.join("peer.sqlite")), folder)
    }

    /// Starts the NestJS server it is compared with, installing its packages first; `None` without Node and npm.
    pub(crate) fn nest(folder: &Path) -> Result<Option<Self>, Failure> {
        let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/nest");
        for file in ["package.json", "package-lock.json", "server.js"] {
            std::fs::copy(Path::new(sources).join(file), folder.join(file))?;
        }
        let installed = Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund", "--silent"])
            .current_dir(folder)
            .status()
            .is_ok_and(|status| status.success());
        if !installed {
            return Ok(None);
        }
        let mut command = pinned(OsStr::new("node"));
        Self::start("nestjs", command.arg("server.js").current_dir(folder), folder).map(Some)
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

/// The core of the servers; the load has the others.
const CORE: &str = "0";

/// A command on the core of the servers.
fn pinned(program: &OsStr) -> Command {
    let mut command = Command::new("/usr/bin/taskset");
    command.args(["-c", CORE]).arg(program);
    command
}

/// Keeps this process, which is the load, away from the core of the servers.
pub(crate) fn leave_the_core() -> Result<(), Failure> {
    let cores = std::thread::available_parallelism()?.get();
    if cores > 1 {
        let others = format!("1-{}", cores - 1);
        let own = std::process::id().to_string();
        let status =
            Command::new("/usr/bin/taskset").args(["-acp", &others, &own]).stdout(Stdio::null()).status()?;
        if !status.success() {
            return Err("the load cannot be kept away from the servers' core".into());
        }
    }
    Ok(())
}

fn user_name(number: usize) -> String {
    format!("user-{number}")
}

fn latchkey(program: &Path, folder: &Path) -> Command {
    let mut command = pinned(program.as_os_str());
    command.current_dir(folder).env_clear().envs([
        ("LATCHKEY_LISTEN", "127.0.0.1:0"),
        ("LATCHKEY_GRACE_SECS", "0"),
        ("LATCHKEY_ACCESS_TTL_SECS", "86400"),
    ]);
    command
}
