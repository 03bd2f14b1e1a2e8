//! The gate's end of a lane: requests go down its pipes, and answers come back with the numbers of their tickets.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read};
use std::net::IpAddr;
use std::sync::Arc;

use mio::net::UnixStream;
use mio::{Interest, Registry, Token};

use super::answer::{Frame, Garbled, Verdict};
use super::client::write_some;
use super::line::Line;
use super::message::{Content, Open};
use super::wiped::Wiped;

/// Whose request it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ticket {
    /// Names the request in its lane; no other one ever has it.
    pub(super) number: u64,
    /// The client's place.
    pub(super) place: usize,
    /// Which of the clients that have had this place.
    pub(super) serial: u64,
    /// The network it was sent from, seen through trusted proxies.
    pub(super) sender: IpAddr,
}

/// How much goes into a lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Capacity {
    /// Requests that may be under way in each pipe.
    pub(super) per_pipe: usize,
    /// Requests that may wait for a pipe.
    pub(super) waiting: usize,
}

/// What became of a request that a lane was to take on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Taken {
    /// It is on its way, or waits.
    Yes,
    /// It waits in place of this one, of a network that has more in line.
    InPlaceOf(Ticket),
    /// Every pipe is taken, and it cannot wait.
    No,
}

/// A request as a lane takes it on.
pub(super) trait Forwardable: Sized {
    /// Appends it to what is sent.
    fn write(self, out: &mut Wiped);

    /// Keeps it for later.
    fn keep(self) -> Arc<Wiped> {
        let mut kept = Wiped::default();
        self.write(&mut kept);
        Arc::new(kept)
    }
}

impl<F: FnOnce(&mut Wiped)> Forwardable for F {
    fn write(self, out: &mut Wiped) {
        self(out);
    }
}

/// One that is kept already, and not copied while it waits.
impl Forwardable for &Arc<Wiped> {
    fn write(self, out: &mut Wiped) {
        out.extend(self);
    }

    fn keep(self) -> Arc<Wiped> {
        Arc::clone(self)
    }
}

/// A lane as the gate sees it.
#[derive(Debug)]
pub(super) struct Lane {
    pipes: Vec<Pipe>,
    capacity: Capacity,
    line: Line,
}

#[derive(Debug)]
struct Pipe {
    stream: UnixStream,
    unsent: Wiped,
    /// The message at the end of `unsent` that takes on more requests.
    open: Option<Open>,
    received: Vec<u8>,
    /// How much of that was handed on.
    delivered: usize,
    pending: VecDeque<Ticket>,
    token: Token,
    /// Whether the last write was cut short; only then it is told when more can be written, because the other end
    /// makes room each time it reads.
    is_full: bool,
}

impl Lane {
    pub(super) fn new(streams: Vec<UnixStream>, capacity: Capacity) -> Self {
        let pipe = |stream| Pipe {
            stream,
            unsent: Wiped::default(),
            open: None,
            received: Vec::new(),
            delivered: 0,
            pending: VecDeque::new(),
            token: Token(0),
            is_full: false,
        };
        Self { pipes: streams.into_iter().map(pipe).collect(), capacity, line: Line::default() }
    }

    /// Registers each pipe with the next of `tokens`.
    pub(super) fn register(
        &mut self,
        registry: &Registry,
        tokens: &mut impl Iterator<Item = Token>,
    ) -> io::Result<()> {
        for (pipe, token) in self.pipes.iter_mut().zip(tokens) {
            pipe.token = token;
            registry.register(&mut pipe.stream, token, Interest::READABLE)?;
        }
        Ok(())
    }

    /// Takes a request on; it leaves with the next [`flush`](Self::flush). Where every pipe is taken it waits, if it may.
    pub(super) fn take_on(
        &mut self,
        ticket: Ticket,
        content: Content,
        may_wait: bool,
        request: impl Forwardable,
    ) -> Taken {
        let least_busy = self.pipes.iter_mut().min_by_key(|pipe| pipe.pending.len());
        if let Some(pipe) = least_busy.filter(|pipe| pipe.pending.len() < self.capacity.per_pipe) {
            pipe.add(ticket, content, |out| request.write(out));
            return Taken::Yes;
        }
        if !may_wait {
            return Taken::No;
        }
        let mut displaced = None;
        if self.line.len() >= self.capacity.waiting {
            displaced = self.line.displace_for(ticket.sender);
            if displaced.is_none() {
                return Taken::No;
            }
        }
        self.line.join(ticket, content, request.keep());
        displaced.map_or(Taken::Yes, Taken::InPlaceOf)
    }

    /// Whether a request of this sender would be taken on now.
    pub(super) fn has_room_for(&self, sender: IpAddr) -> bool {
        self.pipes.iter().any(|pipe| pipe.pending.len() < self.capacity.per_pipe)
            || self.line.len() < self.capacity.waiting
            || self.line.can_displace_for(sender)
    }

    /// Goes on with a pipe that can be written to again.
    pub(super) fn became_writable(&mut self, pipe: usize, registry: &Registry) -> io::Result<()> {
        let pipe = &mut self.pipes[pipe];
        pipe.is_full = false;
        registry.reregister(&mut pipe.stream, pipe.token, Interest::READABLE)
    }

    /// Sends what there is to send, as far as the pipes take it.
    pub(super) fn flush(&mut self, registry: &Registry) -> io::Result<()> {
        self.pipes.iter_mut().filter(|pipe| !pipe.is_full).try_for_each(|pipe| pipe.flush(registry))
    }

    /// Reads what has come back on a pipe.
    ///
    /// # Errors
    /// When the pipe has ended, which it never should.
    pub(super) fn receive(&mut self, pipe: usize, scratch: &mut [u8]) -> io::Result<()> {
        let pipe = &mut self.pipes[pipe];
        loop {
            match pipe.stream.read(scratch) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(len) => {
                    pipe.received.extend_from_slice(&scratch[..len]);
                    // A short read has emptied the pipe; what comes later is told anew.
                    if len < scratch.len() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// What the next whole frame of those received on a pipe says, and of whose request.
    ///
    /// # Errors
    /// When the frame is garbled or is not about the oldest request of the pipe, which would be a bug. Nobody gets it: the
    /// gate ends, and the process starts again.
    pub(super) fn next_verdict(&mut self, pipe: usize) -> io::Result<Option<(Ticket, Verdict<'_>)>> {
        let pipe = &mut self.pipes[pipe];
        let Some(frame) = Frame::read(&pipe.received[pipe.delivered..]).map_err(garbled)? else {
            return Ok(None);
        };
        match pipe.pending.pop_front() {
            Some(ticket) if ticket.number == frame.number => {
                pipe.delivered += frame.len;
                Ok(Some((ticket, frame.verdict)))
            }
            _ => Err(io::Error::other("a lane answered a request that it was not asked")),
        }
    }

    /// Forgets the answers that are delivered, and sends on who waits, now that a pipe has room.
    pub(super) fn move_up(&mut self, pipe: usize) {
        let pipe = &mut self.pipes[pipe];
        pipe.received.drain(..pipe.delivered);
        pipe.delivered = 0;
        if pipe.received.is_empty() && pipe.received.capacity() > RECEIVED_ROOM_MAX {
            pipe.received = Vec::new();
        }
        while pipe.pending.len() < self.capacity.per_pipe
            && let Some((ticket, content, request)) = self.line.next()
        {
            pipe.add(ticket, content, |out| out.extend(&request));
        }
    }

    /// Takes a client's request out of the line, if it waits there; what is in a pipe already is answered, and the answer
    /// thrown away.
    pub(super) fn leave_line(&mut self, serial: u64) -> bool {
        self.line.leave(serial)
    }
}

/// Room for answers that a pipe keeps.
const RECEIVED_ROOM_MAX: usize = 256 << 10;

impl Pipe {
    fn add(&mut self, ticket: Ticket, content: Content, write: impl FnOnce(&mut Wiped)) {
        let open = match self.open.take() {
            Some(open) if content == Content::Ordinary => open,
            other => {
                if let Some(open) = other {
                    open.seal(&mut self.unsent);
                }
                Open::begin(content, &mut self.unsent)
            }
        };
        write(&mut self.unsent);
        self.pending.push_back(ticket);
        if open.has_room_in(&self.unsent) {
            self.open = Some(open);
        } else {
            open.seal(&mut self.unsent);
        }
    }

    fn flush(&mut self, registry: &Registry) -> io::Result<()> {
        if let Some(open) = self.open.take() {
            open.seal(&mut self.unsent);
        }
        let sent = write_some(&mut self.stream, &self.unsent)?;
        self.unsent.consume(sent);
        if !self.unsent.is_empty() {
            self.is_full = true;
            let both = Interest::READABLE | Interest::WRITABLE;
            registry.reregister(&mut self.stream, self.token, both)?;
        }
        Ok(())
    }
}

fn garbled(_: Garbled) -> io::Error {
    io::Error::other("a lane's answer cannot be read")
}

#[cfg(test)]
mod tests;
