//! The gate: one thread that owns every client's socket and lets only whole, small, valid requests through to tiny_http.
//!
//! tiny_http reads what anybody sends, as slowly as they send it, on a thread of its own for each connection. So it
//! sits behind private Unix sockets, one server for each lane, and sees the requests that [`parse`] has passed, in the
//! one spelling of [`forward`], several in one [`message`], in a few pipes that never close. The answers come back with
//! the numbers of the requests ([`answer`]), so that none can reach another client.

pub mod answer;
pub mod body;
mod census;
mod client;
mod crowd;
mod door;
pub mod forward;
mod gatehouse;
mod lane;
mod line;
pub mod message;
pub mod parse;
mod proxies;
mod refusal;
pub mod response;
mod told;
pub mod wiped;

use std::io;
use std::net::TcpListener;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use mio::{Poll, Waker};

use crate::api::{self, App};
use crate::clock::Uptime;
use crate::http::Server;
pub(crate) use census::network_of;
use crowd::Crowd;
use gatehouse::{Gatehouse, WAKER};
use lane::{Capacity, Lane};
pub use proxies::TrustedProxies;
use told::Told;

/// How long a stop waits for handlers that are still at work, once it has waited for clients; with what closing the store
/// takes, five seconds in all.
const HANDLER_PATIENCE_MS: u64 = 1_000;

/// Connections the operating system keeps for us until they are accepted.
const BACKLOG: i32 = 4096;

/// Bytes read at once.
const SCRATCH_LEN: usize = 64 << 10;

/// Requests in the pipe of reads. Others wait in the gate, which serves networks in turn and drops the requests of clients
/// that have disconnected; a request in a pipe is answered in any case.
const READS_AT_ONCE: usize = 32;

/// Requests in the pipe of writes: as many as one commit takes.
const WRITES_AT_ONCE: usize = 256;

/// How many connections there may be, and who may speak for others.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections in all.
    pub connections: usize,
    /// Connections from one address, or one /64 of IPv6. Trusted proxies are exempt.
    pub connections_per_address: usize,
    /// Proxies whose `X-Forwarded-For` counts.
    pub trusted_proxies: TrustedProxies,
    /// Passwords hashed at once.
    pub log_ins: usize,
    /// Log-ins that may wait.
    pub waiting_log_ins: usize,
}

/// The running gate.
pub struct Gate {
    stopping: Arc<AtomicBool>,
    waker: Waker,
    thread: JoinHandle<()>,
    servers: Vec<Server>,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gate")
    }
}

impl Gate {
    /// Starts the lanes' servers, whose sockets stand in `folder` for a moment, and lets the clients of `listener` in.
    ///
    /// `on_failure` is called when the gate cannot go on; the process should end and start again.
    ///
    /// # Errors
    /// When the operating system refuses a thread, a socket or the listener.
    pub fn start(
        listener: TcpListener,
        folder: &Path,
        app: &Arc<App>,
        limits: Limits,
        on_failure: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let mut servers = Vec::new();
        let mut open = |lane, pipes, capacity| {
            let (server, streams) = Server::start(lane, folder, app, pipes)?;
            servers.push(server);
            Ok::<_, io::Error>(Lane::new(streams, capacity))
        };
        // A connection has one request under way, so no more can wait than there are connections.
        let quick = |per_pipe| Capacity { per_pipe, waiting: usize::MAX };
        let one_each = Capacity { per_pipe: 1, waiting: limits.waiting_log_ins };
        let lanes = [
            open(api::Lane::Reads, 1, quick(READS_AT_ONCE))?,
            open(api::Lane::Writes, 1, quick(WRITES_AT_ONCE))?,
            open(api::Lane::LogIns, limits.log_ins, one_each)?,
        ];
        listener.set_nonblocking(true)?;
        // The standard library's queue of 128 overflows in a burst, and who is dropped there tries again a second later.
        rustix::net::listen(&listener, BACKLOG)?;
        let gatehouse = Gatehouse {
            poll,
            listener: Some(mio::net::TcpListener::from_std(listener)),
            lanes,
            crowd: Crowd::new(limits.connections, limits.connections_per_address),
            trusted_proxies: limits.trusted_proxies,
            cookie: app.cookie.clone(),
            listed_origins: app.allowed_origins.clone(),
            metrics: Arc::clone(&app.metrics),
            notices: Arc::clone(&app.notices),
            told: Told::default(),
            scratch: vec![0; SCRATCH_LEN].into(),
            last_number: forward::PROBE_NUMBER,
            now: Uptime::now(),
            last_tick: Uptime::now(),
            may_accept: false,
            accept_at: Uptime::now(),
            complain_at: Uptime::now(),
        };
        let stopping = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopping);
        let thread = thread::Builder::new().name("gate".to_owned()).spawn(move || {
            // A panic is a bug of ours, and a process that hears nobody must not live on.
            let run = AssertUnwindSafe(|| gatehouse.run(&stop));
            let ended = panic::catch_unwind(run).unwrap_or_else(|_| Err(io::Error::other("it panicked")));
            if let Err(error) = ended {
                log::error!("the gate has failed: {error}");
                on_failure();
            }
        })?;
        Ok(Self { stopping, waker, thread, servers })
    }

    /// Lets nobody in any more and waits for the answers under way, but not for ever.
    pub fn stop(self) {
        self.stopping.store(true, Ordering::Release);
        if let Err(error) = self.waker.wake() {
            log::warn!("the gate could not be woken: {error}");
        }
        // A panic there has been printed already.
        let _ = self.thread.join();
        let deadline = Uptime::now().plus_millis(HANDLER_PATIENCE_MS);
        for server in self.servers {
            server.stop(deadline);
        }
    }
}
