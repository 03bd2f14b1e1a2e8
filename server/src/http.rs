//! The edge to tiny_http: reads a request whole and within limits, hands it to the API, writes the answer.

use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tiny_http::{Header, Server, StatusCode};

use crate::api::{self, App, BODY_LEN_MAX, Method, Request, Response};
use crate::problem::{Code, Problem};

/// Threads that answer requests besides those that may all wait for a password to be checked.
const QUICK_THREADS: usize = 16;

/// How long a stop waits for requests that are being read or answered.
const STOP_PATIENCE: Duration = Duration::from_secs(4);

/// A running HTTP server.
pub struct Http {
    server: Arc<Server>,
    threads: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}

impl Http {
    /// Starts answering on `listener`; `log_ins` is how many requests the password pool can hold.
    ///
    /// # Errors
    /// When the operating system refuses a thread or the listener.
    pub fn start(listener: TcpListener, app: &Arc<App>, log_ins: usize) -> io::Result<Self> {
        // tiny_http writes an answer above 1 KiB in two parts, and has no setting for this; connections inherit it.
        TcpStream::from(OwnedFd::from(listener.try_clone()?)).set_nodelay(true)?;
        let server = Server::from_listener(listener, None).map_err(io::Error::other)?;
        let server = Arc::new(server);
        let threads = (0..QUICK_THREADS + log_ins)
            .map(|number| {
                let (server, app) = (Arc::clone(&server), Arc::clone(app));
                thread::Builder::new()
                    .name(format!("http-{number}"))
                    .spawn(move || answer_until_unblocked(&server, &app))
            })
            .collect::<io::Result<_>>()?;
        Ok(Self { server, threads })
    }

    /// Stops taking requests and waits for the answers under way, but not for a client that is not done sending.
    pub fn stop(self) {
        for _ in &self.threads {
            self.server.unblock();
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
            log::warn!("some clients were still sending their requests");
        }
    }
}

fn answer_until_unblocked(server: &Server, app: &App) {
    while let Ok(mut incoming) = server.recv() {
        let id = api::request_id();
        // A bug in one handler must not cost the others their thread; no state outlives a request but the store's.
        let answered = panic::catch_unwind(AssertUnwindSafe(|| answer(app, &id, &mut incoming)));
        let response = answered.unwrap_or_else(|_| {
            log::error!("{id}: the handler of a request panicked");
            Response::problem(&Code::Internal.into(), &id)
        });
        log::debug!("{id}: {} {} -> {}", incoming.method(), path_of(incoming.url()), response.status);
        if let Err(error) = incoming.respond(to_tiny_http(response)) {
            log::debug!("{id}: the client went away: {error}");
        }
    }
}

fn answer(app: &App, id: &str, incoming: &mut tiny_http::Request) -> Response {
    let body = match read_body(incoming) {
        Ok(body) => body,
        Err(problem) => return Response::problem(&problem, id),
    };
    let fields: Vec<_> = incoming
        .headers()
        .iter()
        .map(|header| (header.field.as_str().as_str().to_ascii_lowercase(), header.value.as_str().to_owned()))
        .collect();
    let unknown_peer = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
    app.answer(&Request {
        id,
        method: method_of(incoming.method()),
        path: path_of(incoming.url()),
        fields: &fields,
        body: &body,
        peer: incoming.remote_addr().copied().unwrap_or(unknown_peer),
    })
}

/// Reads the body, at most [`BODY_LEN_MAX`] bytes of it, and all that was announced.
fn read_body(incoming: &mut tiny_http::Request) -> Result<Vec<u8>, Problem> {
    let announced = incoming.body_length();
    if announced.is_some_and(|len| len > BODY_LEN_MAX) {
        return Err(Code::BodyTooLarge.into());
    }
    let mut body = Vec::new();
    incoming
        .as_reader()
        .take(BODY_LEN_MAX as u64 + 1)
        .read_to_end(&mut body)
        .map_err(|_| Problem::bad_request("the body did not arrive"))?;
    if body.len() > BODY_LEN_MAX {
        return Err(Code::BodyTooLarge.into());
    }
    if announced.is_some_and(|len| len != body.len()) {
        return Err(Problem::bad_request("the body is shorter than its Content-Length"));
    }
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

fn to_tiny_http(response: Response) -> tiny_http::Response<io::Cursor<Vec<u8>>> {
    let fields = response
        .fields
        .into_iter()
        .map(|(name, value)| Header::from_bytes(name, value).expect("our own header fields are ASCII"))
        .chain([Header::from_bytes("Server", "latchkey").expect("a word is ASCII")])
        .collect();
    let len = response.body.len();
    let body = io::Cursor::new(response.body.into_owned());
    tiny_http::Response::new(StatusCode(response.status), fields, body, Some(len), None)
}
