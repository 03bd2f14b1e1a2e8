//! The edge to tiny_http: one server for each lane, behind the gate, which hands requests to the API and writes the
//! answers.
//!
//! What arrives here has passed the gate: messages of whole, small, valid requests in one spelling. tiny_http takes each
//! message for one request, and lets a message be answered only after the one before it.

mod answers;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::iter;
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::api::{self, App, Committed, Lane, Method, Outcome, Request, Response};
use crate::clock::Uptime;
use crate::gate::forward::{self, Arrived};
use crate::gate::wiped::Wiped;
use crate::gate::{answer, message};
use answers::{About, Answers, Writer};

/// Name of the socket that a lane's server has in the data folder until its pipes are connected.
const SOCKET_NAME: &str = "lane.sock";

/// The server of a lane.
pub struct Server {
    tiny: Arc<tiny_http::Server>,
    threads: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}

impl Server {
    /// Starts the server of `lane` and connects `pipes` pipes to it through a socket in `folder`, which nobody else
    /// can enter and where the socket is gone again when this returns.
    ///
    /// # Errors
    /// When the operating system refuses a thread or the socket.
    pub fn start(
        lane: Lane,
        folder: &Path,
        app: &Arc<App>,
        pipes: usize,
    ) -> io::Result<(Self, Vec<mio::net::UnixStream>)> {
        let path = folder.join(SOCKET_NAME);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        let tiny = Arc::new(tiny_http::Server::from_listener(listener, None).map_err(io::Error::other)?);
        let mut threads = Vec::new();
        let mut spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            threads.push(thread::Builder::new().name(name.to_owned()).spawn(run)?);
            Ok::<_, io::Error>(())
        };
        if lane == Lane::Writes {
            let (replies, to_reply) = mpsc::channel();
            let (server, taker_app, replier_app) = (Arc::clone(&tiny), Arc::clone(app), Arc::clone(app));
            spawn("writes", Box::new(move || take_writes(&server, &taker_app, &replies)))?;
            spawn("replies", Box::new(move || reply_in_order(&replier_app, &to_reply)))?;
        } else {
            // Answers that leave together have to be of one pipe.
            assert!(pipes == 1 || lane == Lane::LogIns, "the lane of reads has one pipe");
            for _ in 0..pipes {
                let (server, app) = (Arc::clone(&tiny), Arc::clone(app));
                let name = if lane == Lane::Reads { "reads" } else { "log-ins" };
                spawn(name, Box::new(move || take_reads(&server, &app, lane)))?;
            }
        }
        let streams = (0..pipes).map(|_| connect(&path)).collect::<io::Result<_>>()?;
        fs::remove_file(&path)?;
        Ok((Self { tiny, threads }, streams))
    }

    /// Takes no requests any more and waits, until `deadline` at most, for the handlers at work.
    pub fn stop(self, deadline: Uptime) {
        let (all_done, done) = mpsc::channel::<()>();
        for thread in self.threads {
            let all_done = all_done.clone();
            // Dropped when the thread has ended; a thread that panicked has said so already.
            thread::spawn(move || {
                let _ = thread.join();
                drop(all_done);
            });
        }
        drop(all_done);
        loop {
            // Again and again: a thread that was only looking whether a request waits swallows what should end it.
            self.tiny.unblock();
            match done.recv_timeout(Duration::from_millis(5)) {
                Err(RecvTimeoutError::Disconnected) | Ok(()) => return,
                Err(RecvTimeoutError::Timeout) if Uptime::now() >= deadline => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
        log::warn!("a handler was still at work");
    }
}

/// Connects a pipe and waits until a thread serves it.
///
/// tiny_http counts a thread as idle until it has woken up; connections that come faster than that queue behind one
/// another for as long as the first lives. So each is served before the next is made.
fn connect(path: &Path) -> io::Result<mio::net::UnixStream> {
    let mut stream = UnixStream::connect(path)?;
    stream.write_all(&forward::probe())?;
    let mut head = [0; answer::FRAME_HEAD_LEN];
    stream.read_exact(&mut head)?;
    stream.read_exact(&mut vec![0; answer::len_behind(head)])?;
    stream.set_nonblocking(true)?;
    Ok(mio::net::UnixStream::from_std(stream))
}

/// Takes messages and answers their requests; in the lane of reads, messages that wait together are answered together.
fn take_reads(server: &tiny_http::Server, app: &App, lane: Lane) {
    if lane == Lane::LogIns {
        give_way();
    }
    let (mut answers, mut message) = (Answers::default(), Wiped::default());
    while let Some(incoming) = next(server) {
        answer_all(app, lane, incoming, &mut message, &mut answers);
        while lane == Lane::Reads
            && !answers.are_many()
            && let Some(incoming) = waiting(server)
        {
            answer_all(app, lane, incoming, &mut message, &mut answers);
        }
        answers.send();
    }
}

/// How much less urgent hashing passwords is than all else, as a nice value.
#[cfg(target_os = "linux")]
const LOG_IN_NICE: i32 = 5;

/// Lets other threads go first where processors are few: a flood of log-ins would take them from everybody else. On Linux
/// a nice value is one thread's; elsewhere it is the process's, and stays as it is.
fn give_way() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(LOG_IN_NICE) {
        log::debug!("hashing passwords is as urgent as all else: {error}");
    }
}

/// Answers the requests of a message, one after another.
fn answer_all(
    app: &App,
    lane: Lane,
    incoming: tiny_http::Request,
    message: &mut Wiped,
    answers: &mut Answers,
) {
    answers.send_with(receive(incoming, message));
    let read = for_each_request(message, |request| {
        let about = About::of(app, &request);
        let is_log_in = lane == Lane::Reads && api::lane_of(request.method, request.target) == Lane::LogIns;
        answers.add(&about, || {
            let request = to_api(&request, &about.id);
            if is_log_in {
                app.answer_without_hashing(&request)
            } else {
                Some(app.answer(&request).wait(app))
            }
        });
        if answers.are_many() {
            answers.send_some();
        }
    });
    if read.is_none() {
        answers.give_up();
    }
    message.clear();
}

/// Takes the body of a message into `message`, and the writer of its answers.
fn receive(mut incoming: tiny_http::Request, message: &mut Wiped) -> Writer {
    message.resize(incoming.body_length().unwrap_or_default());
    // In one go: asked for more than tiny_http's reader keeps, it fetches nothing into a buffer of its own.
    if incoming.as_reader().read_exact(message.as_mut_slice()).is_err() {
        message.clear();
    }
    incoming.into_writer()
}

/// Calls `handle` with each request of a message; `None` when the message cannot be read to its end.
fn for_each_request(message: &[u8], mut handle: impl FnMut(Arrived<'_>)) -> Option<()> {
    let mut frames = &message[message::frames(message)?];
    while let Some(request) = forward::next(&mut frames).ok()? {
        handle(request);
    }
    Some(())
}

/// What a handler returned, or its panic again.
fn unwound<T>(outcome: thread::Result<T>) -> T {
    outcome.unwrap_or_else(|panic| panic::resume_unwind(panic))
}

/// The next request; `None` when the server stops.
///
/// Before it sleeps, the thread lets the one that reads the pipe go on for a while: under load more requests come of
/// that, and being woken for each would cost more than many of them.
fn next(server: &tiny_http::Server) -> Option<tiny_http::Request> {
    waiting(server)
        .or_else(|| {
            thread::yield_now();
            waiting(server)
        })
        .or_else(|| server.recv().ok())
}

/// A request that is there already.
fn waiting(server: &tiny_http::Server) -> Option<tiny_http::Request> {
    server.try_recv().ok().flatten()
}

/// Takes the requests of the writes lane, queues their commands without waiting, and leaves the answers to the replier.
fn take_writes(server: &tiny_http::Server, app: &App, replies: &Sender<(u64, Reply)>) {
    let (mut number, mut message) = (0, Wiped::default());
    while let Some(incoming) = next(server) {
        // It goes along with the first answer of the message; the answers before it are then written.
        let mut writer = Some(receive(incoming, &mut message));
        let read = for_each_request(&message, |request| {
            let about = About::of(app, &request);
            let outcome = panic::catch_unwind(AssertUnwindSafe(|| app.answer(&to_api(&request, &about.id))));
            let (writer, order) = (writer.take(), number);
            number += 1;
            let reply_with = {
                let replies = replies.clone();
                // The replier outlives the taker.
                move |made| drop(replies.send((order, Reply { writer, about: Some(about), made })))
            };
            match outcome {
                Ok(Outcome::Committing(commit)) => {
                    commit.queue(app, move |committed| reply_with(Made::Committed(committed)));
                }
                Ok(Outcome::Answered(response)) => reply_with(Made::Response(Ok(response))),
                Err(panic) => reply_with(Made::Response(Err(panic))),
            }
        });
        if read.is_none() {
            let lost = Reply { writer: writer.take(), about: None, made: Made::Lost };
            // The replier outlives the taker.
            let _ = replies.send((number, lost));
            number += 1;
        }
        message.clear();
    }
}

/// What is to be answered in the writes lane.
struct Reply {
    /// The writer of its message, with the first of it.
    writer: Option<Writer>,
    /// `None` when the message cannot be read.
    about: Option<About>,
    made: Made,
}

enum Made {
    Response(thread::Result<Response>),
    Committed(Committed),
    /// The rest of a message that cannot be read.
    Lost,
}

/// Writes the answers in the order of their requests.
///
/// tiny_http holds back the answers to a message until the one before is answered, and with them the thread that wants to
/// write them: the one replier must never begin with the later message.
fn reply_in_order(app: &App, replies: &Receiver<(u64, Reply)>) {
    let mut next = 0;
    let mut early = BTreeMap::new();
    let mut answers = Answers::default();
    while let Ok(reply) = replies.recv() {
        // What was committed together is answered together.
        early.extend(iter::once(reply).chain(replies.try_iter()));
        while let Some(Reply { writer, about, made }) = early.remove(&next) {
            next += 1;
            if let Some(writer) = writer {
                answers.send_with(writer);
            }
            match about {
                Some(about) => answers.add(&about, || match made {
                    Made::Response(response) => Some(unwound(response)),
                    Made::Committed(committed) => Some(committed.response(app)),
                    Made::Lost => None,
                }),
                None => answers.give_up(),
            }
        }
        answers.send_some();
    }
}

fn to_api<'a>(arrived: &'a Arrived<'a>, id: &'a str) -> Request<'a> {
    let (path, query) = arrived.target.split_once('?').unwrap_or((arrived.target, ""));
    Request {
        id,
        method: Method::of(arrived.method),
        path,
        query,
        fields: &arrived.fields,
        body: arrived.body,
        client: arrived.sender.address,
        is_forwarded: arrived.sender.is_forwarded,
    }
}
