//! The control socket beside the store: how the command line reaches a server that has the store open.
//!
//! One command a connection: a line of JSON in, lines of JSON out, the last of them the outcome and those before it
//! how far long work has come. Only the folder's owner can reach the socket.

use std::fs::{self, Permissions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::administration::{self, Answer, Command, Refusal};
use crate::api::App;
use crate::store::{Interrupted, Progress};

/// Name of the socket inside the data folder.
const FILE_NAME: &str = "control.sock";

/// Longest command in bytes: a name and a password at their longest, escaped, with room to spare.
const COMMAND_LEN_MAX: u64 = 16 << 10;

/// Longest path of a socket in bytes: what `sockaddr_un` has room for, less the zero at its end.
const PATH_LEN_MAX: usize = 107;

/// How long a peer may take to send its command or to take the answer.
const PEER_TIMEOUT: Duration = Duration::from_secs(5);

/// Most commands at once. A slow one, such as a backup, does not hold up the others.
const COMMANDS_MAX: usize = 16;

/// How long a stop waits for the commands under way to break off.
const STOP_PATIENCE: Duration = Duration::from_millis(1500);

/// The socket of a running server; dropping it breaks off the commands under way and removes the file.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the threads of the commands share.
#[derive(Debug, Default)]
struct Shared {
    stopping: AtomicBool,
    /// How many commands are under way.
    at_work: Mutex<usize>,
    one_ended: Condvar,
}

impl Shared {
    fn at_work(&self) -> MutexGuard<'_, usize> {
        self.at_work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more command, if there is one.
    fn begin(self: &Arc<Self>) -> Option<Place> {
        let mut at_work = self.at_work();
        let has_room = *at_work < COMMANDS_MAX;
        *at_work += usize::from(has_room);
        has_room.then(|| Place(Arc::clone(self)))
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Waits until no command is under way, or for `patience`.
    fn wait_for_all(&self, patience: Duration) {
        let at_work = self.at_work();
        let waited = self.one_ended.wait_timeout_while(at_work, patience, |at_work| *at_work > 0);
        if waited.map_or(true, |(at_work, _)| *at_work > 0) {
            log::warn!("a command was still under way");
        }
    }
}

/// The place of a command under way.
struct Place(Arc<Shared>);

impl Drop for Place {
    fn drop(&mut self) {
        *self.0.at_work() -= 1;
        self.0.one_ended.notify_all();
    }
}

impl Control {
    /// Whether the path of the socket in `folder` is short enough for the operating system.
    pub fn fits(folder: &Path) -> bool {
        folder.join(FILE_NAME).as_os_str().len() <= PATH_LEN_MAX
    }

    /// Starts to answer commands on the socket in `folder`.
    ///
    /// The store in the same folder is open, so a socket that is there already was left by a server that is gone.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn start(folder: &Path, app: Arc<App>) -> io::Result<Self> {
        let path = folder.join(FILE_NAME);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        let shared = Arc::new(Shared::default());
        let accepting = Arc::clone(&shared);
        let thread = thread::Builder::new().name("control".to_owned()).spawn(move || {
            for stream in listener.incoming().take_while(|_| !accepting.is_stopping()) {
                let begun = stream.and_then(|stream| begin(stream, &app, &accepting));
                if let Err(error) = begun {
                    log::warn!("a command was not taken: {error}");
                }
            }
        })?;
        Ok(Self { path, shared, thread: Some(thread) })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        // The thread waits for a connection, so it gets one. If it cannot have one, it ends with the process.
        let woken = UnixStream::connect(&self.path).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            // A panic there has been printed already.
            let _ = thread.join();
        }
        self.shared.wait_for_all(STOP_PATIENCE);
        // A socket that stays behind does no harm: the next server removes it.
        let _ = fs::remove_file(&self.path);
    }
}

/// Answers a command in a thread of its own.
fn begin(mut stream: UnixStream, app: &Arc<App>, shared: &Arc<Shared>) -> io::Result<()> {
    stream.set_read_timeout(Some(PEER_TIMEOUT))?;
    stream.set_write_timeout(Some(PEER_TIMEOUT))?;
    let Some(place) = shared.begin() else {
        return send(&mut stream, &Line::Outcome(Err(Refusal::TooManyCommands)));
    };
    let app = Arc::clone(app);
    thread::Builder::new().name("command".to_owned()).spawn(move || {
        // A bug in one command must not take its place along.
        match panic::catch_unwind(AssertUnwindSafe(|| answer(&app, &place.0, stream))) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => log::warn!("a command was not answered: {error}"),
            Err(_) => log::error!("a command panicked"),
        }
        // The store closes when nobody holds it any more, which the stop that waits for the place relies on.
        drop(app);
        drop(place);
    })?;
    Ok(())
}

fn answer(app: &App, shared: &Shared, mut stream: UnixStream) -> io::Result<()> {
    let line = read_line(&stream, COMMAND_LEN_MAX)?;
    let Ok(command) = serde_json::from_str::<Command>(&line) else {
        return send(&mut stream, &Line::Outcome(Err(Refusal::Unreadable)));
    };
    let mut peer = stream.try_clone()?;
    let outcome = administration::run(&app.office(), command, &mut |done, total| {
        // Whoever has gone away no longer wants to know; the work goes on.
        let _ = send(&mut peer, &Line::Progress { done, total });
        if shared.is_stopping() { Err(Interrupted) } else { Ok(()) }
    });
    send(&mut stream, &Line::Outcome(outcome))
}

/// A line of the server's.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Progress { done: u64, total: u64 },
    Outcome(Result<Answer, Refusal>),
}

fn send(stream: &mut UnixStream, line: &Line) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    stream.write_all(&bytes)
}

fn read_line(stream: &UnixStream, len_max: u64) -> io::Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(String::new());
    BufReader::new(stream.take(len_max)).read_line(&mut line)?;
    if line.ends_with('\n') { Ok(line) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Asks the server that has the store in `folder` open.
///
/// # Errors
/// When there is no such server or it does not answer; what it refuses is the inner error.
pub fn ask(folder: &Path, command: &Command, progress: Progress<'_>) -> io::Result<Result<Answer, Refusal>> {
    let mut stream = UnixStream::connect(folder.join(FILE_NAME))?;
    let mut line = Zeroizing::new(serde_json::to_vec(command)?);
    line.push(b'\n');
    // A server that takes no more commands may have said so and hung up before it has read ours.
    let sent = stream.write_all(&line);
    for line in BufReader::new(stream).lines() {
        match serde_json::from_str(&line?)? {
            Line::Progress { done, total } => progress(done, total).map_err(io::Error::other)?,
            Line::Outcome(outcome) => return Ok(outcome),
        }
    }
    sent?;
    Err(io::ErrorKind::UnexpectedEof.into())
}

/// Whether a server answers commands in `folder`.
pub fn is_served(folder: &Path) -> bool {
    UnixStream::connect(folder.join(FILE_NAME)).is_ok()
}

/// Whether an error of [`ask`] says that no server is listening, so that trying again may help.
pub fn is_nobody_there(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}
