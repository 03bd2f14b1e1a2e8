//! The real server binary as a child process that is killed when the test ends.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::http::{Answer, Request};

/// A password that meets the rules.
pub const PASSWORD: &str = "correct horse battery staple";

/// How long a child may take for what it normally does in milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// The server to measure: the one of `LATCHKEY_TEST_PROGRAM`, such as the released one, or else the one built with the
/// tests.
pub fn program_to_measure(built: &str) -> String {
    std::env::var("LATCHKEY_TEST_PROGRAM").unwrap_or(built.to_owned())
}

/// How a server is started.
#[derive(Debug)]
pub struct Setup {
    program: PathBuf,
    settings: Vec<(String, String)>,
    file_limit_kib: Option<u64>,
    descriptor_limit: Option<u32>,
    is_json: bool,
}

impl Setup {
    /// The server `program` with its defaults; pass `env!("CARGO_BIN_EXE_server-under-test")`.
    pub fn new(program: &str) -> Self {
        Self {
            program: program.into(),
            settings: Vec::new(),
            file_limit_kib: None,
            descriptor_limit: None,
            is_json: false,
        }
    }

    /// Sets `LATCHKEY_{name}`.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.settings.push((format!("LATCHKEY_{name}"), value.to_string()));
        self
    }

    /// Sets a variable of the environment that is no setting.
    #[must_use]
    pub fn with_variable(mut self, name: &str, value: impl ToString) -> Self {
        self.settings.push((name.to_owned(), value.to_string()));
        self
    }

    /// Logs all there is to log.
    #[must_use]
    pub fn with_every_log_line(self) -> Self {
        self.with_variable("RUST_LOG", "trace")
    }

    /// Lets the server print and log JSON.
    #[must_use]
    pub fn in_json(mut self) -> Self {
        self.is_json = true;
        self
    }

    /// Lets the server open no more than so many files and sockets.
    #[must_use]
    pub fn with_descriptors(mut self, limit: u32) -> Self {
        self.descriptor_limit = Some(limit);
        self
    }

    /// Starts the server in a folder of its own.
    pub fn start(self) -> Server {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Server { setup: self, folder, child: None, address: None, printed: Arc::default() };
        server.start();
        server
    }

    /// A folder and settings without a running server, for commands of their own.
    pub fn stopped(self) -> Server {
        let folder = tempfile::tempdir().unwrap();
        Server { setup: self, folder, child: None, address: None, printed: Arc::default() }
    }
}

/// A folder with a store, and the server that runs over it, if it does.
#[derive(Debug)]
pub struct Server {
    setup: Setup,
    folder: TempDir,
    child: Option<Child>,
    address: Option<SocketAddr>,
    printed: Arc<(Mutex<String>, Condvar)>,
}

impl Server {
    /// Starts the server, on the port it had before if it ran before.
    pub fn start(&mut self) {
        let listen = self.address.map_or("127.0.0.1:0".to_owned(), |address| address.to_string());
        let mut child = self
            .command(if self.setup.is_json { &["serve", "--json"] } else { &["serve"] })
            .env("LATCHKEY_LISTEN", listen)
            .stdout(Stdio::piped())
            .stderr(File::options().create(true).append(true).open(self.log_path()).unwrap())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut first_line = String::new();
        stdout.read_line(&mut first_line).unwrap();
        let (before, after) = if self.setup.is_json {
            ("\"listening\":\"http://", "\"")
        } else {
            (" listening on http://", "\n")
        };
        let address = first_line.split_once(before).and_then(|(_, rest)| rest.split_once(after));
        let Some((address, _)) = address else {
            child.wait().unwrap();
            panic!("the server did not start: {}", self.log());
        };
        self.address = Some(address.parse().unwrap());
        // Keeps the pipe open and empty for as long as the server runs.
        let printed = Arc::clone(&self.printed);
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                *printed.0.lock().unwrap() += &format!("{line}\n");
                printed.1.notify_all();
            }
        });
        self.child = Some(child);
    }

    fn log_path(&self) -> PathBuf {
        self.folder().join("server.log")
    }

    /// Everything the server has logged, over all its starts.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap()
    }

    /// The code of the newest set-up link that the server has printed; waits until there is one.
    pub fn set_up_code(&self) -> String {
        let printed = self.printed.0.lock().unwrap();
        let has_no_link = |printed: &mut String| !printed.contains("#setup=");
        let (printed, waited) = self.printed.1.wait_timeout_while(printed, PATIENCE, has_no_link).unwrap();
        assert!(!waited.timed_out(), "no set-up link in {printed:?}");
        let (_, code) = printed.rsplit_once("#setup=").unwrap();
        code.lines().next().unwrap().to_owned()
    }

    /// Kills the server at once, as a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Asks the server to stop with SIGTERM; returns its exit code.
    pub fn stop(&mut self) -> Option<i32> {
        self.terminate();
        self.wait()
    }

    /// Sends SIGTERM and does not wait.
    pub fn terminate(&self) {
        let killed = Command::new("kill").arg(self.pid().to_string()).status().unwrap();
        assert!(killed.success());
    }

    /// Waits until the server has ended, and returns its exit code.
    pub fn wait(&mut self) -> Option<i32> {
        wait_patiently(&mut self.child.take().expect("the server runs")).code()
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        self.address.expect("the server has been started")
    }

    /// `http://` and the address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Whether the server was started and neither stopped nor killed.
    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// The process id of the running server.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the server runs").id()
    }

    /// The working directory of every command, where a `.env` is looked for.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.folder().join("latchkey-data")
    }

    /// Sets `LATCHKEY_{name}` for the next start.
    pub fn set(&mut self, name: &str, value: impl ToString) {
        let name = format!("LATCHKEY_{name}");
        self.setup.settings.retain(|(known, _)| *known != name);
        self.setup.settings.push((name, value.to_string()));
    }

    /// From now on no file may grow past so many KiB, as on a full disk; `None` lifts the limit.
    pub fn limit_files(&mut self, kibibytes: Option<u64>) {
        self.setup.file_limit_kib = kibibytes;
    }

    /// The server binary with these arguments, this folder and these settings, and nothing else from outside.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let limits = [
            // Bash counts in KiB. The signal that would kill the process is ignored, so the write fails instead.
            self.setup.file_limit_kib.map(|kibibytes| format!("trap '' XFSZ; ulimit -f {kibibytes}; ")),
            self.setup.descriptor_limit.map(|limit| format!("ulimit -n {limit}; ")),
        ];
        let script: String = limits.into_iter().flatten().collect();
        let mut command = if script.is_empty() {
            Command::new(&self.setup.program)
        } else {
            let mut bash = Command::new("bash");
            bash.args(["-c", &format!("{script}exec \"$0\" \"$@\"")]).arg(&self.setup.program);
            bash
        };
        command.args(arguments);
        self.command_of(command)
    }

    /// Another command in this folder with these settings, and nothing else from outside.
    pub fn command_of(&self, mut command: Command) -> Command {
        command.current_dir(self.folder()).env_clear().stdin(Stdio::null());
        command.envs(self.setup.settings.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.run_with_input(arguments, "")
    }

    /// Runs a command to its end with `input` on its standard input.
    pub fn run_with_input(&self, arguments: &[&str], input: &str) -> Output {
        finish(&mut self.command(arguments), input)
    }

    /// Adds a user with the password [`PASSWORD`].
    pub fn add_user(&self, name: &str) {
        let output = self.run_with_input(&["user", "add", name, "--password-stdin"], PASSWORD);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Adds an administrator with the password [`PASSWORD`].
    pub fn add_admin(&self, name: &str) {
        let arguments = ["user", "add", name, "--role", "admin", "--password-stdin"];
        printed(&self.run_with_input(&arguments, PASSWORD));
    }

    /// Sends a request on a connection of its own.
    pub fn send(&self, request: Request) -> Answer {
        request.send(self.address())
    }

    /// Tries to sign in with the given password.
    pub fn try_login(&self, name: &str, password: &str) -> Answer {
        self.send(Request::login(name, password))
    }

    /// Signs in as a browser does.
    pub fn login(&self, name: &str) -> Tokens {
        let answer = self.try_login(name, PASSWORD);
        assert_eq!(answer.status, 200, "{answer:?}");
        Tokens::from(&answer)
    }

    /// Refreshes with a refresh token in the cookie, and a retry key if there is one.
    pub fn refresh(&self, refresh_token: &str, retry_key: Option<&str>) -> Answer {
        let mut request = Request::post("/api/auth/refresh").field("Cookie", &self.cookie(refresh_token));
        if let Some(key) = retry_key {
            request = request.field("Idempotency-Key", key);
        }
        self.send(request)
    }

    /// A protected GET.
    pub fn get(&self, path: &str, access_token: &str) -> Answer {
        self.send(Request::get(path).bearer(access_token))
    }

    /// The `Cookie` field for a refresh token.
    pub fn cookie(&self, refresh_token: &str) -> String {
        format!("latchkey-dev-{}={refresh_token}", self.address().port())
    }
}

impl Drop for Server {
    /// Ends the server, and fails the test if its log tells a secret.
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself, which is what some tests are about.
            let _ = child.kill();
            let _ = child.wait();
        }
        if !thread::panicking()
            && let Ok(log) = fs::read_to_string(self.log_path())
        {
            assert_eq!(secret_in(&log), None, "the log tells a secret");
        }
    }
}

/// Fewest characters of base64url in a row that can only be a token, a key or a hash; a session's handle has 22.
const SECRET_LEN_MIN: usize = 40;

fn is_base64url(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-_".contains(character)
}

/// The text without whatever is as long as a token or a key.
pub fn without_secrets(text: &str) -> String {
    let words = text.split_inclusive(|character| !is_base64url(character));
    let shown = words.map(|word| match word.trim_end_matches(|character| !is_base64url(character)) {
        secret if secret.len() >= SECRET_LEN_MIN => word.replace(secret, "…"),
        _ => word.to_owned(),
    });
    shown.collect()
}

/// What looks like a secret in a text: the password of all tests, a hash, or whatever is as long as a token or a key.
pub fn secret_in(text: &str) -> Option<&str> {
    let words = text.split(|character| !is_base64url(character));
    let known = [PASSWORD, "$argon2"].into_iter().find(|secret| text.contains(secret));
    known.or_else(|| words.into_iter().find(|word| word.len() >= SECRET_LEN_MIN))
}

/// Runs a command to its end with `input` on its standard input; one that does not end fails the test.
pub fn finish(command: &mut Command, input: &str) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that refuses early may close the pipe first.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let stdout = read_in_the_background(child.stdout.take().unwrap());
    let stderr = read_in_the_background(child.stderr.take().unwrap());
    let status = wait_patiently(&mut child);
    let output = Output { status, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() };
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(secret_in(&complaint), None, "a complaint tells a secret");
    // A password, a token: no command says again what it was handed in secret.
    let is_told = |line: &str| line.len() >= 8 && complaint.contains(line);
    assert!(!input.lines().any(is_told), "a complaint repeats its input: {complaint}");
    output
}

/// What a command printed, which has to have succeeded.
#[track_caller]
pub fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Asserts that a command failed with exit code 1 and a message that holds `expected`.
#[track_caller]
pub fn assert_fails(output: &Output, expected: &str) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains(expected), "{message:?} lacks {expected:?}");
    assert!(!message.contains("panicked"), "{message}");
}

/// Reads all of a pipe, so that the child never waits for room in it.
fn read_in_the_background(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        bytes
    })
}

fn wait_patiently(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match child.try_wait().unwrap() {
            Some(status) => return status,
            None if Instant::now() > deadline => {
                child.kill().unwrap();
                panic!("{child:?} does not end")
            }
            None => thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// What a log-in or refresh hands out.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "a test that fails prints no token")]
pub struct Tokens {
    /// The access token.
    pub access: String,
    /// The refresh token.
    pub refresh: String,
    /// The session's handle.
    pub session: String,
}

impl From<&Answer> for Tokens {
    fn from(answer: &Answer) -> Self {
        let body = answer.json();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let refresh = answer.cookie_value().unwrap_or_else(|| text("refresh_token"));
        Self { access: text("access_token"), refresh, session: text("session") }
    }
}

/// Copies the files of a folder into another, which is made.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}
