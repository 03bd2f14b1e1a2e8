//! The edge to tiny_http: one server for each lane, behind the gate, which hands requests to the API and writes the
//! answers.
//!
//! What arrives here has passed the gate: whole, small, valid, in one spelling, one request after another in a pipe.
//! tiny_http writes the answers of a pipe in the order of its requests.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tiny_http::{Header, StatusCode};

use crate::api::{self, App, BODY_LEN_MAX, Committed, Lane, Method, Outcome, Request, Response};
use crate::clock;
use crate::gate::forward::{self, CLIENT_FIELD};
use crate::problem::{Code, Problem};

/// Name of the socket that a lane's server has in the data folder until its pipes are connected.
const SOCKET_NAME: &str = "lane.sock";

/// How long a stop waits for handlers that are still at work.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

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
            let name = if lane == Lane::Reads { "reads" } else { "log-ins" };
            for _ in 0..pipes {
                let (server, app) = (Arc::clone(&tiny), Arc::clone(app));
                spawn(name, Box::new(move || answer_until_unblocked(&server, &app)))?;
            }
        }
        let streams = (0..pipes).map(|_| connect(&path)).collect::<io::Result<_>>()?;
        fs::remove_file(&path)?;
        Ok((Self { tiny, threads }, streams))
    }

    /// Takes no requests any more and waits a moment for the handlers at work.
    pub fn stop(self) {
        for _ in &self.threads {
            self.tiny.unblock();
        }
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
        if done.recv_timeout(STOP_PATIENCE) == Err(RecvTimeoutError::Timeout) {
            log::warn!("a handler was still at work");
        }
    }
}

/// Connects a pipe and waits until a thread serves it.
///
/// tiny_http counts a thread as idle until it has woken up; connections that come faster than that queue behind one
/// another for as long as the first lives. So each is served before the next is made.
fn connect(path: &Path) -> io::Result<mio::net::UnixStream> {
    let mut stream = UnixStream::connect(path)?;
    stream.write_all(b"HEAD /healthz HTTP/1.1\r\n\r\n")?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        answer.extend(byte);
    }
    stream.set_nonblocking(true)?;
    Ok(mio::net::UnixStream::from_std(stream))
}

fn answer_until_unblocked(server: &tiny_http::Server, app: &App) {
    while let Ok(mut incoming) = server.recv() {
        let id = api::request_id();
        let response = guarded(&id, || answer(app, &id, &mut incoming).wait(app));
        respond(incoming, &id, response);
    }
}

/// Takes the requests of the writes lane, queues their commands without waiting, and leaves the answers to the replier.
fn take_writes(server: &tiny_http::Server, app: &App, replies: &Sender<(u64, Reply)>) {
    let mut number = 0;
    while let Ok(mut incoming) = server.recv() {
        let id = api::request_id();
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| answer(app, &id, &mut incoming)));
        let mut reply = Reply { incoming, id, made: None };
        match outcome {
            Ok(Outcome::Committing(commit)) => {
                let replies = replies.clone();
                commit.queue(app, move |committed| {
                    reply.made = Some(Made::Committed(committed));
                    // The replier goes after the store.
                    let _ = replies.send((number, reply));
                });
            }
            Ok(Outcome::Answered(response)) => {
                reply.made = Some(Made::Response(response));
                let _ = replies.send((number, reply));
            }
            Err(_) => {
                let _ = replies.send((number, reply));
            }
        }
        number += 1;
    }
}

/// A request of the writes lane whose answer can be written.
struct Reply {
    incoming: tiny_http::Request,
    id: String,
    /// `None` when the handler panicked.
    made: Option<Made>,
}

enum Made {
    Response(Response),
    Committed(Committed),
}

/// Writes the answers in the order of their requests.
///
/// tiny_http holds back the answer to a request until the one before is written, and with it the thread that wants to
/// write it: the one replier must never begin with the later one.
fn reply_in_order(app: &App, replies: &Receiver<(u64, Reply)>) {
    let mut next = 0;
    let mut early = BTreeMap::new();
    for (number, reply) in replies {
        early.insert(number, reply);
        while let Some(Reply { incoming, id, made }) = early.remove(&next) {
            next += 1;
            let response = guarded(&id, || match made {
                Some(Made::Response(response)) => response,
                Some(Made::Committed(committed)) => committed.response(app),
                None => internal(&id),
            });
            respond(incoming, &id, response);
        }
    }
}

/// What `answer` returns, or a problem document when it panics: a bug in one handler must not cost the others their
/// thread, and no state outlives a request but the store's.
fn guarded(id: &str, answer: impl FnOnce() -> Response) -> Response {
    panic::catch_unwind(AssertUnwindSafe(answer)).unwrap_or_else(|_| internal(id))
}

fn internal(id: &str) -> Response {
    log::error!("{id}: the handler of a request panicked");
    Response::problem(&Code::Internal.into(), id)
}

fn answer(app: &App, id: &str, incoming: &mut tiny_http::Request) -> Outcome {
    let body = match read_body(incoming) {
        Ok(body) => body,
        Err(problem) => return Outcome::Answered(Response::problem(&problem, id)),
    };
    let fields: Vec<_> = incoming
        .headers()
        .iter()
        .map(|header| (header.field.as_str().as_str(), header.value.as_str()))
        .collect();
    let sender = fields.iter().find(|(name, _)| *name == CLIENT_FIELD);
    let sender = sender.and_then(|(_, value)| forward::Sender::from_field(value));
    let nobody = forward::Sender { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), is_forwarded: true };
    let sender = sender.unwrap_or(nobody);
    app.answer(&Request {
        id,
        method: method_of(incoming.method()),
        path: path_of(incoming.url()),
        fields: &fields,
        body: &body,
        client: sender.address,
        is_forwarded: sender.is_forwarded,
    })
}

/// Reads the body, which is there whole.
fn read_body(incoming: &mut tiny_http::Request) -> Result<Vec<u8>, Problem> {
    let mut body = Vec::with_capacity(incoming.body_length().unwrap_or_default().min(BODY_LEN_MAX));
    let read = incoming.as_reader().take(BODY_LEN_MAX as u64).read_to_end(&mut body);
    read.map_err(|_| Problem::bad_request("the body did not arrive"))?;
    Ok(body)
}

fn method_of(method: &tiny_http::Method) -> Method {
    match method {
        tiny_http::Method::Get => Method::Get,
        tiny_http::Method::Head => Method::Head,
        tiny_http::Method::Post => Method::Post,
        tiny_http::Method::Delete => Method::Delete,
        tiny_http::Method::Options => Method::Options,
        _ => Method::Other,
    }
}

fn path_of(target: &str) -> &str {
    target.split('?').next().unwrap_or_default()
}

fn respond(incoming: tiny_http::Request, id: &str, response: Response) {
    log::debug!("{id}: {} {} -> {}", incoming.method(), path_of(incoming.url()), response.status);
    let len = response.body.len();
    let fields = response.fields.into_iter();
    let fields = fields.chain([("Server", "latchkey".to_owned()), ("Date", clock::http_date())]);
    let headers = fields
        .map(|(name, value)| Header::from_bytes(name, value).expect("our own header fields are ASCII"))
        .collect();
    let body = io::Cursor::new(response.body);
    // The gate reads answers by their length, never in chunks.
    let answer = tiny_http::Response::new(StatusCode(response.status), headers, body, Some(len), None)
        .with_chunked_threshold(usize::MAX);
    if let Err(error) = incoming.respond(answer) {
        log::error!("{id}: the answer did not get to the gate: {error}");
    }
}
