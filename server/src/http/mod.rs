//! The edge to tiny_http: one server for each lane, behind the gate, which hands requests to the API and writes the
//! answers.
//!
//! What arrives here has passed the gate: whole, small, valid, in one spelling, one request after another in a pipe.
//! tiny_http writes the answers of a pipe in the order of its requests.

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
use crate::gate::forward;
use crate::problem::Code;
use answers::Answers;

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
            let is_quick = lane == Lane::Reads;
            // Answers that leave together have to be of one pipe.
            assert!(pipes == 1 || !is_quick, "the lane of reads has one pipe");
            for _ in 0..pipes {
                let (server, app) = (Arc::clone(&tiny), Arc::clone(app));
                let name = if is_quick { "reads" } else { "log-ins" };
                spawn(name, Box::new(move || take_reads(&server, &app, is_quick)))?;
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
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        answer.extend(byte);
    }
    stream.set_nonblocking(true)?;
    Ok(mio::net::UnixStream::from_std(stream))
}

/// Takes requests and answers them; with `is_quick`, those that wait together are answered together.
fn take_reads(server: &tiny_http::Server, app: &App, is_quick: bool) {
    let mut answers = Answers::default();
    let add = |answers: &mut Answers, mut incoming| {
        let id = api::request_id();
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| answer(app, &id, &mut incoming)));
        answers.add(incoming, &id, || unwound(outcome).wait(app));
    };
    while let Some(incoming) = next(server) {
        add(&mut answers, incoming);
        while is_quick
            && !answers.are_many()
            && let Some(incoming) = waiting(server)
        {
            add(&mut answers, incoming);
        }
        answers.send();
    }
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
    let mut number = 0;
    while let Some(mut incoming) = next(server) {
        let id = api::request_id();
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| answer(app, &id, &mut incoming)));
        let reply_with = {
            let replies = replies.clone();
            // The replier outlives the taker.
            move |made| drop(replies.send((number, Reply { incoming, id, made })))
        };
        match outcome {
            Ok(Outcome::Committing(commit)) => {
                commit.queue(app, move |committed| reply_with(Made::Committed(committed)));
            }
            Ok(Outcome::Answered(response)) => reply_with(Made::Response(Ok(response))),
            Err(panic) => reply_with(Made::Response(Err(panic))),
        }
        number += 1;
    }
}

/// A request of the writes lane whose answer can be written.
struct Reply {
    incoming: tiny_http::Request,
    id: String,
    made: Made,
}

enum Made {
    Response(thread::Result<Response>),
    Committed(Committed),
}

/// Writes the answers in the order of their requests.
///
/// tiny_http holds back the answer to a request until the one before is written, and with it the thread that wants to
/// write it: the one replier must never begin with the later one.
fn reply_in_order(app: &App, replies: &Receiver<(u64, Reply)>) {
    let mut next = 0;
    let mut early = BTreeMap::new();
    let mut answers = Answers::default();
    while let Ok(reply) = replies.recv() {
        // What was committed together is answered together.
        early.extend(iter::once(reply).chain(replies.try_iter()));
        while let Some(Reply { incoming, id, made }) = early.remove(&next) {
            next += 1;
            answers.add(incoming, &id, || match made {
                Made::Response(response) => unwound(response),
                Made::Committed(committed) => committed.response(app),
            });
        }
        answers.send();
    }
}

fn answer(app: &App, id: &str, incoming: &mut tiny_http::Request) -> Outcome {
    let mut passed_on = Vec::with_capacity(incoming.body_length().unwrap_or_default());
    let read = incoming.as_reader().read_to_end(&mut passed_on);
    let Some(arrived) = read.ok().and_then(|_| forward::read(&passed_on)) else {
        log::error!("{id}: the gate passed on what cannot be read");
        return Outcome::Answered(Response::problem(&Code::Internal.into(), id));
    };
    let (path, query) = incoming.url().split_once('?').unwrap_or((incoming.url(), ""));
    app.answer(&Request {
        id,
        method: method_of(incoming.method()),
        path,
        query,
        fields: &arrived.fields,
        body: arrived.body,
        client: arrived.sender.address,
        is_forwarded: arrived.sender.is_forwarded,
    })
}

/// The method of a request, among those that paths are for.
fn method_of(method: &tiny_http::Method) -> Method {
    match method {
        tiny_http::Method::Get => Method::Get,
        tiny_http::Method::Head => Method::Head,
        tiny_http::Method::Post => Method::Post,
        tiny_http::Method::Patch => Method::Patch,
        tiny_http::Method::Delete => Method::Delete,
        tiny_http::Method::Options => Method::Options,
        _ => Method::Other,
    }
}
