//! The gate's thread: one loop over clients, pipes and deadlines.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use mio::event::Event;
use mio::{Events, Interest, Poll, Token};

use super::answer::Verdict;
use super::client::{Over, Phase};
use super::crowd::Crowd;
use super::forward::{self, Sender};
use super::lane::{Forwardable, Lane, Taken, Ticket};
use super::message::Content;
use super::parse::{self, Parsed, Refusal};
use super::proxies::TrustedProxies;
use super::refusal;
use super::told::Told;
use super::wiped::Wiped;
use crate::api;
use crate::clock::Uptime;
use crate::cookie::RefreshCookie;
use crate::metrics::{Count, Metrics};
use crate::notices::{Notice, Notices};
use crate::problem::{Code, Problem};

/// How long a stop waits for requests that are being received, answered or sent, in milliseconds.
const STOP_PATIENCE_MS: u64 = 3_500;

/// How often deadlines are looked at, in milliseconds.
const TICK_MS: u64 = 100;

/// Bytes of unfinished requests kept in all: 1024 at their largest would be five times as many.
const INPUT_LEN_TOTAL_MAX: usize = 8 << 20;

const TOO_MANY_LOG_INS: &str = "too many log-ins are waiting";

/// Why a log-in has lost its place in line.
const HUNG_UP: &str = "log-ins are waiting, and a client that has stopped sending is not queued";

const LISTENER: Token = Token(0);
pub(super) const WAKER: Token = Token(1);
const PIPES: usize = 2;
pub(super) const CLIENTS: usize = 1 << 20;

/// What the gate's thread works with.
pub(super) struct Gatehouse {
    pub(super) poll: Poll,
    /// `None` once the gate is closed.
    pub(super) listener: Option<mio::net::TcpListener>,
    /// In the order of [`api::Lane`].
    pub(super) lanes: [Lane; 3],
    pub(super) crowd: Crowd,
    pub(super) trusted_proxies: TrustedProxies,
    pub(super) cookie: RefreshCookie,
    /// Origins whose pages may read refusals.
    pub(super) listed_origins: Vec<String>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) notices: Arc<Notices>,
    pub(super) told: Told,
    pub(super) scratch: Box<[u8]>,
    /// The number of the newest ticket.
    pub(super) last_number: u64,
    pub(super) now: Uptime,
    pub(super) last_tick: Uptime,
    /// Somebody may be waiting at the door: mio tells only once.
    pub(super) may_accept: bool,
    /// Not before then.
    pub(super) accept_at: Uptime,
    /// The log hears no earlier than then that nobody can be let in.
    pub(super) complain_at: Uptime,
}

impl Gatehouse {
    pub(super) fn run(mut self, stopping: &AtomicBool) -> io::Result<()> {
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
        // A client that stops sending may still wait for its answer, or may have gone; the two look the same. A log-in of
        // either is answered when a pipe is free, and gives up its place in line.
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
            if request.is_forwarded && !self.trusted_proxies.contain(client.peer) {
                self.notices.tell(Notice::UnlistedProxy(client.peer));
            }
            self.last_number += 1;
            let ticket =
                Ticket { number: self.last_number, place, serial: client.serial, sender: sender.address };
            let write = |out: &mut Wiped| forward::write(&request, ticket.number, sender, &self.cookie, out);
            let lane = api::lane_of(request.method, &request.target);
            let is_log_in = lane == api::Lane::LogIns;
            if is_log_in && !self.lanes[lane as usize].has_room_for(sender.address) {
                return self.refuse(place, &Problem::new(Code::Busy, TOO_MANY_LOG_INS));
            }
            // What can be refused without hashing a password is refused by the reads, and stands in no line.
            let held = is_log_in.then(|| write.keep());
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
        self.told.tell(&id, problem.code, client.peer, self.now);
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

    /// Ends a connection, whatever it was doing. Closing the socket takes it off the registry.
    pub(super) fn dismiss(&mut self, place: usize) {
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
