//! The gate's end of a lane: requests go down its pipes, and the answers of each pipe come back in the same order.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};

use mio::net::UnixStream;
use mio::{Interest, Registry, Token};

use super::answer::{Answer, Garbled};

/// Whose request it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ticket {
    /// The client's place.
    pub(super) place: usize,
    /// Which of the clients that have had this place.
    pub(super) serial: u64,
    /// Whether the answer has no body.
    pub(super) is_head: bool,
}

/// How much goes into a lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Capacity {
    /// Requests that may be under way in each pipe.
    pub(super) per_pipe: usize,
    /// Requests that may wait for a pipe.
    pub(super) waiting: usize,
}

/// Every pipe is taken and the line is full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Full;

/// A lane as the gate sees it.
#[derive(Debug)]
pub(super) struct Lane {
    pipes: Vec<Pipe>,
    capacity: Capacity,
    line: VecDeque<(Ticket, Vec<u8>)>,
}

#[derive(Debug)]
struct Pipe {
    stream: UnixStream,
    unsent: Vec<u8>,
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
            unsent: Vec::new(),
            received: Vec::new(),
            delivered: 0,
            pending: VecDeque::new(),
            token: Token(0),
            is_full: false,
        };
        Self { pipes: streams.into_iter().map(pipe).collect(), capacity, line: VecDeque::new() }
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

    /// Takes a request on, which `write` appends to what is sent; it leaves with the next [`flush`](Self::flush).
    ///
    /// # Errors
    /// [`Full`] when it cannot even wait.
    pub(super) fn take_on(&mut self, ticket: Ticket, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Full> {
        let least_busy = self.pipes.iter_mut().min_by_key(|pipe| pipe.pending.len());
        match least_busy.filter(|pipe| pipe.pending.len() < self.capacity.per_pipe) {
            Some(pipe) => {
                write(&mut pipe.unsent);
                pipe.pending.push_back(ticket);
            }
            None if self.line.len() < self.capacity.waiting => {
                let mut request = Vec::new();
                write(&mut request);
                self.line.push_back((ticket, request));
            }
            None => return Err(Full),
        }
        Ok(())
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

    /// The next whole answer of those received on a pipe, and whose it is.
    ///
    /// # Errors
    /// When the pipe holds something else, which would be a bug.
    pub(super) fn next_answer(&mut self, pipe: usize) -> io::Result<Option<(Ticket, Answer<'_>)>> {
        let pipe = &mut self.pipes[pipe];
        let rest = &pipe.received[pipe.delivered..];
        let Some(&ticket) = pipe.pending.front() else {
            return if rest.is_empty() { Ok(None) } else { Err(garbled(Garbled)) };
        };
        let Some(answer) = Answer::read(rest, ticket.is_head).map_err(garbled)? else { return Ok(None) };
        pipe.delivered += answer.len();
        pipe.pending.pop_front();
        Ok(Some((ticket, answer)))
    }

    /// Forgets the answers that are delivered, and sends on who waits and `is_there` still, now that a pipe has room.
    pub(super) fn move_up(&mut self, pipe: usize, is_there: impl Fn(Ticket) -> bool) {
        let pipe = &mut self.pipes[pipe];
        pipe.received.drain(..pipe.delivered);
        pipe.delivered = 0;
        while pipe.pending.len() < self.capacity.per_pipe
            && let Some((ticket, request)) = self.line.pop_front()
        {
            if is_there(ticket) {
                pipe.unsent.extend_from_slice(&request);
                pipe.pending.push_back(ticket);
            }
        }
    }
}

impl Pipe {
    fn flush(&mut self, registry: &Registry) -> io::Result<()> {
        let mut sent = 0;
        while sent < self.unsent.len() {
            match self.stream.write(&self.unsent[sent..]) {
                Ok(len) => sent += len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.is_full = true;
                    registry.reregister(
                        &mut self.stream,
                        self.token,
                        Interest::READABLE | Interest::WRITABLE,
                    )?;
                    break;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.unsent.drain(..sent);
        Ok(())
    }
}

fn garbled(_: Garbled) -> io::Error {
    io::Error::other("a lane's answer cannot be read")
}
