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
pub mod forward;
mod lane;
mod line;
pub mod message;
pub mod parse;
mod proxies;
mod refusal;
pub mod response;
pub mod wiped;

use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, TcpListener};
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};

use crate::api::{self, App};
use crate::clock::Uptime;
use crate::cookie::RefreshCookie;
use crate::http::Server;
use crate::metrics::{Count, Metrics};
use crate::problem::{Code, Problem};
use answer::Verdict;
pub(crate) use census::network_of;
use client::{Over, Phase};
use crowd::{Crowd, Room};
use forward::Sender;
use lane::{Capacity, Forwardable, Lane, Taken, Ticket};
use message::Content;
use parse::{Parsed, Refusal};
pub use proxies::TrustedProxies;
use refusal::Glimpse;
use wiped::Wiped;

/// How long a stop waits for requests that are being received, answered or sent, in milliseconds.
const STOP_PATIENCE_MS: u64 = 3_500;

/// How long it then waits for handlers that are still at work; with what closing the store takes, five seconds in all.
const HANDLER_PATIENCE_MS: u64 = 1_000;

/// How long accepting pauses when descriptors have run out, in milliseconds.
const ACCEPT_PAUSE_MS: u64 = 100;

/// How often the log is told of the same trouble, in milliseconds.
const COMPLAINT_PAUSE_MS: u64 = 10_000;

/// How often deadlines are looked at, in milliseconds.
const TICK_MS: u64 = 100;

/// Connections the operating system keeps for us until they are accepted.
const BACKLOG: i32 = 4096;

/// Connections accepted before those that are there get their turn.
const ACCEPTS_AT_ONCE: usize = 64;

/// Bytes read at once.
const SCRATCH_LEN: usize = 64 << 10;

/// Bytes of unfinished requests kept in all: 1024 at their largest would be five times as many.
const INPUT_LEN_TOTAL_MAX: usize = 8 << 20;

/// Requests in the pipe of reads. Others wait in the gate, which serves networks in turn and drops the requests of clients
/// that have disconnected; a request in a pipe is answered in any case.
const READS_AT_ONCE: usize = 32;

/// Requests in the pipe of writes: as many as one commit takes.
const WRITES_AT_ONCE: usize = 256;

const TOO_MANY_LOG_INS: &str = "too many log-ins are waiting";

/// Why a log-in has lost its place in line.
const HUNG_UP: &str = "too many log-ins are waiting for one whose sender has stopped sending to wait as well";

const LISTENER: Token = Token(0);
const WAKER: Token = Token(1);
const PIPES: usize = 2;
const CLIENTS: usize = 1 << 20;

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

/// What the gate's thread works with.
struct Gatehouse {
    poll: Poll,
    /// `None` once the gate is closed.
    listener: Option<mio::net::TcpListener>,
    /// In the order of [`api::Lane`].
    lanes: [Lane; 3],
    crowd: Crowd,
    trusted_proxies: TrustedProxies,
    cookie: RefreshCookie,
    /// Origins whose pages may read refusals.
    listed_origins: Vec<String>,
    metrics: Arc<Metrics>,
    scratch: Box<[u8]>,
    /// The number of the newest ticket.
    last_number: u64,
    now: Uptime,
    last_tick: Uptime,
    /// Somebody may be waiting at the door: mio tells only once.
    may_accept: bool,
    /// Not before then.
    accept_at: Uptime,
    /// The log hears no earlier than then that nobody can be let in.
    complain_at: Uptime,
}

impl Gatehouse {
    fn run(mut self, stopping: &AtomicBool) -> io::Result<()> {
        self.register()?;
        let mut events = Events::with_capacity(1024);
        let mut ends_at = None;
        loop {
            // Lets the lanes get on with what they have: under load, more answers are ready at once.
            thread::yield_now();
            match self.poll.poll(&mut events, self.timeout()) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            self.now = Uptime::now();
            for event in &events {
                self.attend(event)?;
            }
            if ends_at.is_none() && stopping.load(Ordering::Acquire) {
                ends_at = Some(self.now.plus_millis(STOP_PATIENCE_MS));
                self.close();
            }
            if self.may_accept && self.accept_at <= self.now {
                self.accept();
            }
            for lane in &mut self.lanes {
                lane.flush(self.poll.registry())?;
            }
            if self.last_tick.plus_millis(TICK_MS) <= self.now {
                self.tick();
            }
            match ends_at {
                Some(_) if self.crowd.is_empty() => return Ok(()),
                Some(end) if end <= self.now => {
                    log::warn!("{} clients were still being served", self.crowd.len());
                    return Ok(());
                }
                _ => {}
            }
        }
    }

    fn register(&mut self) -> io::Result<()> {
        let registry = self.poll.registry();
        if let Some(listener) = &mut self.listener {
            registry.register(listener, LISTENER, Interest::READABLE)?;
        }
        let mut tokens = (PIPES..CLIENTS).map(Token);
        self.lanes.iter_mut().try_for_each(|lane| lane.register(registry, &mut tokens))
    }

    /// How long nothing may happen before something is due.
    fn timeout(&self) -> Option<Duration> {
        if self.may_accept && self.accept_at <= self.now {
            return Some(Duration::ZERO);
        }
        let is_idle = self.crowd.is_empty() && !self.may_accept;
        (!is_idle).then_some(Duration::from_millis(TICK_MS))
    }

    fn attend(&mut self, event: &Event) -> io::Result<()> {
        match event.token() {
            LISTENER => self.may_accept = true,
            WAKER => {}
            Token(number) if number < CLIENTS => self.attend_pipe(number - PIPES, event)?,
            Token(number) => self.attend_client(number - CLIENTS, event),
        }
        Ok(())
    }

    fn attend_client(&mut self, place: usize, event: &Event) {
        let Some(client) = self.crowd.get_mut(place) else { return };
        client.is_readable |= event.is_readable() || event.is_read_closed();
        client.end_is_near |= event.is_read_closed();
        let (serial, stops_waiting) =
            (client.serial, client.phase == Phase::Waiting && event.is_read_closed());
        let is_gone = event.is_error() || event.is_write_closed();
        if is_gone || client.go_on(&mut self.scratch, self.now).is_err() {
            return self.dismiss(place);
        }
        // Whoever stops sending may still wait for the answer, or have gone: a password is hashed for both when its turn
        // has come, and for neither when there is a line.
        if stops_waiting && self.lanes[api::Lane::LogIns as usize].leave_line(serial) {
            return self.refuse(place, &Problem::new(Code::Busy, HUNG_UP));
        }
        self.serve(place);
    }

    /// Takes a client as far as it goes: reads, and hands a whole request to its lane.
    fn serve(&mut self, place: usize) {
        while let Some(client) = self.crowd.get_mut(place)
            && matches!(client.phase, Phase::Idle | Phase::Receiving)
        {
            if client.fill(&mut self.scratch, self.now).is_err() || client.is_done() {
                return self.dismiss(place);
            }
            let request = match parse::parse(client.input(), &self.cookie) {
                Parsed::Complete(request) => request,
                Parsed::NeedMore { expects_continue } => {
                    if client.await_more(expects_continue).is_err() {
                        return self.dismiss(place);
                    }
                    if client.holds_much() && self.crowd.input_len() > INPUT_LEN_TOTAL_MAX {
                        self.metrics.count(Count::Evicted);
                        if let Some(place) = self.crowd.largest_input_of_worst() {
                            self.dismiss(place);
                        }
                    }
                    return;
                }
                Parsed::Reject(refusal) => return self.refuse(place, &refusal.into()),
            };
            let sender = Sender {
                address: self.trusted_proxies.client_of(client.peer, &request.forwarded_for),
                is_forwarded: request.is_forwarded,
            };
            self.last_number += 1;
            let ticket =
                Ticket { number: self.last_number, place, serial: client.serial, sender: sender.address };
            let write = |out: &mut Wiped| forward::write(&request, ticket.number, sender, &self.cookie, out);
            let lane = api::lane_of(request.method, &request.target);
            // What can be refused without hashing a password is refused by the reads, and stands in no line.
            let held = (lane == api::Lane::LogIns).then(|| write.keep());
            let taken = match &held {
                Some(held) => {
                    self.lanes[api::Lane::Reads as usize].take_on(ticket, Content::Secret, true, held)
                }
                None => self.lanes[lane as usize].take_on(ticket, Content::Ordinary, true, write),
            };
            debug_assert_eq!(taken, Taken::Yes, "these lanes have room for each connection");
            let keeps_alive = request.keeps_alive && self.listener.is_some();
            let (len, is_http_1_0) = (request.len, request.is_http_1_0);
            let origin = held.is_some().then(|| request.origin().map(str::to_owned)).flatten();
            client.hand_over(len, keeps_alive, is_http_1_0, self.now);
            if let Some(held) = held {
                client.hold(held, origin);
            }
        }
    }

    /// Lets a request that needs a password hashed stand in the line of log-ins.
    fn queue_log_in(&mut self, ticket: Ticket) {
        let Some(client) = self.crowd.of(ticket) else { return };
        let Some(request) = client.release() else { return };
        let may_wait = !client.has_stopped_sending();
        let lane = &mut self.lanes[api::Lane::LogIns as usize];
        match lane.take_on(ticket, Content::Secret, may_wait, &request) {
            Taken::Yes => {}
            Taken::InPlaceOf(other) => {
                if self.crowd.of(other).is_some() {
                    self.refuse(other.place, &Problem::new(Code::Busy, TOO_MANY_LOG_INS));
                }
            }
            Taken::No if may_wait => self.refuse(ticket.place, &Problem::new(Code::Busy, TOO_MANY_LOG_INS)),
            Taken::No => self.refuse(ticket.place, &Problem::new(Code::Busy, HUNG_UP)),
        }
    }

    /// Answers a request in the lanes' stead and ends the connection.
    fn refuse(&mut self, place: usize, problem: &Problem) {
        let Some(client) = self.crowd.get_mut(place) else { return };
        let id = api::request_id();
        log::debug!("{id}: refused at the gate: {}", problem.code.as_str());
        self.metrics.count(Count::Refused);
        let refusal = refusal::write(problem, &id, client.glimpse(), &self.listed_origins);
        if client.refuse(&refusal, self.now).is_err() {
            self.dismiss(place);
        }
    }

    fn attend_pipe(&mut self, number: usize, event: &Event) -> io::Result<()> {
        // The first lanes have one pipe each, the last has the rest.
        let (lane, pipe) = (number.min(2), number.saturating_sub(2));
        let lane = &mut self.lanes[lane];
        if event.is_writable() {
            lane.became_writable(pipe, self.poll.registry())?;
        }
        if !event.is_readable() && !event.is_read_closed() {
            return Ok(());
        }
        lane.receive(pipe, &mut self.scratch)?;
        let (mut answered, mut to_be_hashed) = (Vec::new(), Vec::new());
        while let Some((ticket, verdict)) = lane.next_verdict(pipe)? {
            let Verdict::Answered(answer) = verdict else {
                to_be_hashed.push(ticket);
                continue;
            };
            // One that has gone away meanwhile needs no answer.
            let Some(client) = self.crowd.of(ticket) else { continue };
            let sent = match client.connection_option() {
                None => client.send(answer.bytes(), self.now),
                Some(option) => client.send(&answer.with_connection(option), self.now),
            };
            answered.push((ticket.place, sent));
        }
        lane.move_up(pipe);
        to_be_hashed.into_iter().for_each(|ticket| self.queue_log_in(ticket));
        for (place, sent) in answered {
            match sent {
                Ok(()) => self.serve(place),
                Err(Over) => self.dismiss(place),
            }
        }
        Ok(())
    }

    /// Lets in whoever waits at the door.
    fn accept(&mut self) {
        for _ in 0..ACCEPTS_AT_ONCE {
            let Some(listener) = &self.listener else { break };
            match listener.accept() {
                Ok((stream, peer)) => self.admit(stream, peer),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.may_accept = false;
                    return;
                }
                Err(error) if is_about_one_client(&error) => {}
                Err(error) => {
                    // Descriptors or memory have run out. The door stays, and what is idle makes room.
                    if self.complain_at <= self.now {
                        log::warn!("nobody can be let in for now: {error}");
                        self.complain_at = self.now.plus_millis(COMPLAINT_PAUSE_MS);
                    }
                    self.accept_at = self.now.plus_millis(ACCEPT_PAUSE_MS);
                    if let Some(place) = self.crowd.most_dispensable() {
                        self.dismiss(place);
                    }
                    return;
                }
            }
        }
    }

    fn admit(&mut self, mut stream: TcpStream, peer: SocketAddr) {
        let is_proxy = self.trusted_proxies.contain(peer.ip());
        match self.crowd.room_for(peer.ip(), is_proxy) {
            Room::Free => {}
            Room::InPlaceOf(place) => {
                self.metrics.count(Count::Evicted);
                self.dismiss(place);
            }
            Room::None => {
                self.metrics.count(Count::Refused);
                let problem = Problem::new(Code::Busy, "there are too many connections");
                // A courtesy: a client that cannot take it at once goes without.
                let refusal = refusal::write(&problem, &api::request_id(), Glimpse::default(), &[]);
                let _ = stream.write(&refusal);
                return;
            }
        }
        // An answer in two parts would wait for the first one's acknowledgement.
        let _ = stream.set_nodelay(true);
        let place = self.crowd.admit(stream, peer.ip(), is_proxy, self.now);
        self.metrics.count(Count::Connected);
        let registered = self.crowd.get_mut(place).map(|client| {
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut client.stream, Token(CLIENTS + place), interest)
        });
        if !matches!(registered, Some(Ok(()))) {
            self.dismiss(place);
        }
    }

    /// Ends a connection, whatever it was doing. Closing the socket takes it off the registry.
    fn dismiss(&mut self, place: usize) {
        let Some(client) = self.crowd.remove(place) else { return };
        if client.phase == Phase::Waiting {
            self.lanes.iter_mut().for_each(|lane| _ = lane.leave_line(client.serial));
        }
    }

    /// Ends whatever has taken too long.
    fn tick(&mut self) {
        self.last_tick = self.now;
        for place in self.crowd.places() {
            match self.crowd.get_mut(place) {
                Some(client) if !client.is_late(self.now) => {}
                Some(client) if client.phase == Phase::Receiving => {
                    self.metrics.count(Count::TooSlow);
                    self.refuse(place, &Refusal::TooSlow.into());
                }
                Some(client) => {
                    if client.phase == Phase::Sending {
                        self.metrics.count(Count::TooSlow);
                    }
                    self.dismiss(place);
                }
                None => {}
            }
        }
    }

    /// Lets nobody in any more. What has begun is finished; who has sent nothing is told by the end of the connection.
    fn close(&mut self) {
        self.listener = None;
        self.may_accept = false;
        for place in self.crowd.places() {
            let Some(client) = self.crowd.get_mut(place) else { continue };
            client.close_after_answer();
            // A request that has arrived just now is still served.
            client.is_readable = true;
            self.serve(place);
            if self.crowd.get_mut(place).is_some_and(|client| client.phase == Phase::Idle) {
                self.dismiss(place);
            }
        }
    }
}

/// Errors of accept(2) that are the fault of the connection that was to be accepted.
fn is_about_one_client(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted)
}
