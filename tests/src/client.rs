//! The real client binary, with a state file of its own.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::server::{PASSWORD, Server};

/// A folder with a client's state.
#[derive(Debug)]
pub struct Client {
    program: PathBuf,
    folder: TempDir,
}

impl Client {
    /// The client `program`, signed out; pass `env!("CARGO_BIN_EXE_client-under-test")`.
    pub fn new(program: &str) -> Self {
        Self { program: program.into(), folder: tempfile::tempdir().unwrap() }
    }

    /// The file the session is kept in.
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("session.json")
    }

    /// The client with these arguments, `--trace` and its own state.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).args(["--trace", "--state"]).arg(self.state()).env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Run {
        Run::from(self.command(arguments).output().unwrap())
    }

    /// Signs in with the given password.
    pub fn login_with(&self, server: &Server, name: &str, password: &str) -> Run {
        let mut command = self.command(&["login", &server.url(), "--user", name, "--password-stdin"]);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
        Run::from(child.wait_with_output().unwrap())
    }

    /// Signs in.
    pub fn login(&self, server: &Server, name: &str) {
        let run = self.login_with(server, name, PASSWORD);
        assert_eq!(run.code, Some(0), "{run:?}");
    }
}

/// What came of a run.
#[derive(Debug)]
pub struct Run {
    /// The exit status.
    pub code: Option<i32>,
    /// What was printed for the user.
    pub output: String,
    /// The trace, line by line, and messages.
    pub trace: Vec<String>,
}

impl Run {
    /// How many lines of the trace start with `start`.
    pub fn count(&self, start: &str) -> usize {
        self.trace.iter().filter(|line| line.starts_with(start)).count()
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code(),
            output: text(output.stdout),
            trace: text(output.stderr).lines().map(str::to_owned).collect(),
        }
    }
}
