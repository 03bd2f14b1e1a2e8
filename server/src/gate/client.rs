//! One client's connection: what it has sent, what it is owed, and how long it may take.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown};
use std::sync::Arc;

use mio::net::TcpStream;
use zeroize::Zeroize;

use super::body::CHUNKED_LEN_MAX;
use super::parse::HEAD_LEN_MAX;
use super::refusal::Glimpse;
use super::wiped::Wiped;
use crate::clock::Uptime;

/// Most bytes of a client's that are kept: one request at its largest.
const INPUT_LEN_MAX: usize = HEAD_LEN_MAX + CHUNKED_LEN_MAX;

/// What old clients send after a body; it belongs to no request and is ignored (RFC 9112 §2.2). It does not begin one
/// either: whoever sends nothing else is idle.
const EMPTY_LINE: &[u8] = b"\r\n";

/// Room an idle connection may keep.
const IDLE_ROOM_MAX: usize = 2 << 10;

/// Bytes of a refused client's that are read and thrown away, so that it gets to see the refusal.
const DISCARDED_LEN_MAX: usize = 256 << 10;

/// How long a client may take for what, in milliseconds. Each is a total, not a pause between two bytes.
pub(super) mod patience {
    /// From the first byte of a request to its last.
    pub(in super::super) const REQUEST_MS: u64 = 5_000;
    /// Between two requests: longer than the 15 s that our own client keeps a connection.
    pub(in super::super) const IDLE_MS: u64 = 30_000;
    /// The same for a trusted proxy: longer than the 60 s of nginx, so that the proxy closes first.
    pub(in super::super) const PROXY_IDLE_MS: u64 = 75_000;
    /// For taking an answer.
    pub(in super::super) const ANSWER_MS: u64 = 10_000;
    /// Between a refusal and the end.
    pub(in super::super) const LINGER_MS: u64 = 1_000;
}

/// Requests on one connection; then it ends, so that what has gathered anywhere goes with it.
const REQUESTS_MAX: u32 = 1_000;

/// What a connection is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// Nothing of a request has come.
    Idle,
    /// A request has begun.
    Receiving,
    /// A lane has the request.
    Waiting,
    /// The answer is on its way.
    Sending,
    /// All is said; what still comes is thrown away. Closing with unread bytes would take the answer back (RFC 9112
    /// §9.6).
    Lingering,
}

/// The connection is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Over;

/// A connection.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) stream: TcpStream,
    pub(super) peer: IpAddr,
    pub(super) is_proxy: bool,
    pub(super) serial: u64,
    pub(super) phase: Phase,
    /// When the phase has to be over; `None` while a lane has the request.
    deadline: Option<Uptime>,
    /// When the phase began.
    pub(super) since: Uptime,
    input: Wiped,
    /// The request under way, while it may still have to wait for a password to be hashed.
    held: Option<Arc<Wiped>>,
    /// Its Origin.
    held_origin: Option<String>,
    output: Vec<u8>,
    sent: usize,
    discarded: usize,
    requests: u32,
    /// There may be more to read: mio tells only once.
    pub(super) is_readable: bool,
    /// The end of what the client sends has arrived, behind what is still to be read: no more is told.
    pub(super) end_is_near: bool,
    /// The client will send nothing more, and may still want its answer.
    has_ended: bool,
    /// The connection ends with the answer.
    closes: bool,
    speaks_http_1_0: bool,
    was_told_to_continue: bool,
}

impl Client {
    pub(super) fn new(stream: TcpStream, peer: IpAddr, is_proxy: bool, serial: u64, now: Uptime) -> Self {
        let mut client = Self {
            stream,
            peer: peer.to_canonical(),
            is_proxy,
            serial,
            phase: Phase::Idle,
            deadline: None,
            since: now,
            input: Wiped::default(),
            held: None,
            held_origin: None,
            output: Vec::new(),
            sent: 0,
            discarded: 0,
            requests: 0,
            is_readable: false,
            end_is_near: false,
            has_ended: false,
            closes: false,
            speaks_http_1_0: false,
            was_told_to_continue: false,
        };
        client.enter(Phase::Idle, now);
        client
    }

    fn enter(&mut self, phase: Phase, now: Uptime) {
        let millis = match phase {
            Phase::Idle if self.is_proxy => Some(patience::PROXY_IDLE_MS),
            Phase::Idle => Some(patience::IDLE_MS),
            Phase::Receiving => Some(patience::REQUEST_MS),
            Phase::Waiting => None,
            Phase::Sending => Some(patience::ANSWER_MS),
            Phase::Lingering => Some(patience::LINGER_MS),
        };
        self.phase = phase;
        self.since = now;
        self.deadline = millis.map(|millis| now.plus_millis(millis));
    }

    /// Whether the phase has taken too long.
    pub(super) fn is_late(&self, now: Uptime) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }

    /// What has come and is not answered.
    pub(super) fn input(&self) -> &[u8] {
        &self.input
    }

    /// Reads what has come, within the limit; the first byte of a request starts its time.
    pub(super) fn fill(&mut self, scratch: &mut [u8], now: Uptime) -> Result<(), Over> {
        while self.is_readable && self.input.len() < INPUT_LEN_MAX {
            let room = scratch.len().min(INPUT_LEN_MAX - self.input.len());
            match self.stream.read(&mut scratch[..room]) {
                Ok(0) => (self.is_readable, self.has_ended) = (false, true),
                Ok(len) => {
                    self.input.extend(&scratch[..len]);
                    scratch[..len].zeroize();
                    // A short read has emptied the socket; what comes later is told anew, but for the end.
                    self.is_readable = len == room || self.end_is_near;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.is_readable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(Over),
            }
        }
        if self.phase == Phase::Idle {
            self.skip_empty_lines();
            if self.has_begun() {
                self.enter(Phase::Receiving, now);
            }
        }
        Ok(())
    }

    fn skip_empty_lines(&mut self) {
        let pairs = self.input.chunks_exact(EMPTY_LINE.len());
        let empty_lines = pairs.take_while(|pair| *pair == EMPTY_LINE).count();
        self.input.consume(empty_lines * EMPTY_LINE.len());
    }

    /// Whether something of a request is there, and not only half an empty line.
    fn has_begun(&self) -> bool {
        !EMPTY_LINE.starts_with(&self.input)
    }

    /// The request is not there whole; a client that has stopped sending will never complete it.
    pub(super) fn await_more(&mut self, expects_continue: bool) -> Result<(), Over> {
        if self.has_ended {
            return Err(Over);
        }
        if expects_continue && !self.was_told_to_continue {
            self.was_told_to_continue = true;
            // It fits into the empty buffer of the socket; a client whose buffer is full is not waiting.
            let _ = self.stream.write(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        Ok(())
    }

    /// A lane has taken on the request that the first `len` bytes are.
    pub(super) fn hand_over(&mut self, len: usize, keeps_alive: bool, is_http_1_0: bool, now: Uptime) {
        self.input.consume(len);
        self.spare_room();
        self.requests += 1;
        self.closes = !keeps_alive || self.requests == REQUESTS_MAX;
        self.speaks_http_1_0 = is_http_1_0;
        self.was_told_to_continue = false;
        self.enter(Phase::Waiting, now);
    }

    /// Keeps the request under way, a log-in, until it is known whether a password has to be hashed for it.
    pub(super) fn hold(&mut self, request: Arc<Wiped>, origin: Option<String>) {
        (self.held, self.held_origin) = (Some(request), origin);
    }

    /// What can be seen of the request under way, or of the one that begins, for a refusal.
    pub(super) fn glimpse(&self) -> Glimpse<'_> {
        match self.phase {
            Phase::Waiting => Glimpse { is_head: false, origin: self.held_origin.as_deref() },
            _ => Glimpse::of(&self.input),
        }
    }

    /// Gives back the request that is held.
    pub(super) fn release(&mut self) -> Option<Arc<Wiped>> {
        self.held.take()
    }

    /// Whether the client has said that it will send nothing more. It may have gone, or it may wait for its answer: the
    /// two look the same.
    pub(super) fn has_stopped_sending(&self) -> bool {
        self.end_is_near || self.has_ended
    }

    /// Whether it has ever sent a whole request.
    pub(super) fn has_sent_a_request(&self) -> bool {
        self.requests > 0
    }

    #[cfg(test)]
    pub(super) fn has_sent_one(&mut self) {
        self.requests += 1;
    }

    /// No request after this one.
    pub(super) fn close_after_answer(&mut self) {
        self.closes = true;
    }

    /// The option the answer has to carry, if any (RFC 9112 §9.3).
    pub(super) fn connection_option(&self) -> Option<&'static str> {
        match (self.closes, self.speaks_http_1_0) {
            (true, _) => Some("close"),
            (false, true) => Some("keep-alive"),
            (false, false) => None,
        }
    }

    /// Sends an answer, as far as the client takes it now.
    pub(super) fn send(&mut self, answer: &[u8], now: Uptime) -> Result<(), Over> {
        self.enter(Phase::Sending, now);
        self.held = None;
        let sent = write_some(&mut self.stream, answer).map_err(|_| Over)?;
        if sent < answer.len() {
            self.output = answer[sent..].to_vec();
            self.sent = 0;
            return Ok(());
        }
        self.finish(now)
    }

    /// Sends a refusal, after which nothing is read any more.
    pub(super) fn refuse(&mut self, answer: &[u8], now: Uptime) -> Result<(), Over> {
        self.closes = true;
        self.input = Wiped::default();
        self.send(answer, now)
    }

    /// Goes on with what is to be sent or thrown away.
    pub(super) fn go_on(&mut self, scratch: &mut [u8], now: Uptime) -> Result<(), Over> {
        match self.phase {
            Phase::Sending => {
                self.sent += write_some(&mut self.stream, &self.output[self.sent..]).map_err(|_| Over)?;
                if self.sent == self.output.len() { self.finish(now) } else { Ok(()) }
            }
            Phase::Lingering => self.discard(scratch),
            Phase::Idle | Phase::Receiving | Phase::Waiting => Ok(()),
        }
    }

    /// The answer is out.
    fn finish(&mut self, now: Uptime) -> Result<(), Over> {
        self.output = Vec::new();
        if self.closes {
            if self.has_ended || self.stream.shutdown(Shutdown::Write).is_err() {
                return Err(Over);
            }
            self.enter(Phase::Lingering, now);
            return Ok(());
        }
        self.skip_empty_lines();
        self.spare_room();
        self.enter(if self.has_begun() { Phase::Receiving } else { Phase::Idle }, now);
        Ok(())
    }

    /// Whether more of an unfinished request is kept than of most whole ones.
    pub(super) fn holds_much(&self) -> bool {
        self.input.len() > IDLE_ROOM_MAX
    }

    fn spare_room(&mut self) {
        if self.input.capacity() > IDLE_ROOM_MAX {
            self.input.shrink();
        }
    }

    fn discard(&mut self, scratch: &mut [u8]) -> Result<(), Over> {
        while self.is_readable && self.discarded < DISCARDED_LEN_MAX {
            match self.stream.read(scratch) {
                Ok(0) => return Err(Over),
                Ok(len) => self.discarded += len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.is_readable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(Over),
            }
        }
        if self.discarded < DISCARDED_LEN_MAX { Ok(()) } else { Err(Over) }
    }

    /// Whether the client has said it will send nothing more, and nothing of it is left.
    pub(super) fn is_done(&self) -> bool {
        self.has_ended && !self.has_begun()
    }
}

/// Writes as much of `bytes` as is taken without waiting; returns how much that is.
pub(super) fn write_some(stream: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match stream.write(&bytes[sent..]) {
            Ok(len) => sent += len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}
