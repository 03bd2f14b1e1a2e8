//! The gate's end of a lane: requests go down its pipes, and the answers of each pipe come back in the same order.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read};
use std::net::IpAddr;

use mio::net::UnixStream;
use mio::{Interest, Registry, Token};

use super::answer::{Answer, Garbled};
use super::client::write_some;
use super::line::Line;

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
    line: Line,
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

    /// Takes a request from `network` on, which `write` appends to what is sent; it leaves with the next
    /// [`flush`](Self::flush).
    ///
    /// # Errors
    /// [`Full`] when it cannot even wait.
    pub(super) fn take_on(
        &mut self,
        ticket: Ticket,
        network: IpAddr,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Full> {
        let least_busy = self.pipes.iter_mut().min_by_key(|pipe| pipe.pending.len());
        match least_busy.filter(|pipe| pipe.pending.len() < self.capacity.per_pipe) {
            Some(pipe) => {
                write(&mut pipe.unsent);
                pipe.pending.push_back(ticket);
            }
            None if self.line.len() < self.capacity.waiting => {
                let mut request = Vec::new();
                write(&mut request);
                self.line.join(network, ticket, request);
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

    /// Forgets the answers that are delivered, and sends on who waits, now that a pipe has room.
    pub(super) fn move_up(&mut self, pipe: usize) {
        let pipe = &mut self.pipes[pipe];
        pipe.received.drain(..pipe.delivered);
        pipe.delivered = 0;
        while pipe.pending.len() < self.capacity.per_pipe
            && let Some((ticket, request)) = self.line.next()
        {
            pipe.unsent.extend_from_slice(&request);
            pipe.pending.push_back(ticket);
        }
    }

    /// A client has gone: it waits no more. What is in a pipe already is answered for nobody.
    pub(super) fn leave_line(&mut self, serial: u64) {
        self.line.leave(serial);
    }
}

impl Pipe {
    fn flush(&mut self, registry: &Registry) -> io::Result<()> {
        let sent = write_some(&mut self.stream, &self.unsent)?;
        self.unsent.drain(..sent);
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
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream as StdStream;

    use super::*;

    /// A lane of pipes with one request each and a line of two, and the other ends of the pipes.
    fn lane(pipes: usize) -> (Lane, Vec<StdStream>) {
        let pair = |_| {
            let (near, far) = StdStream::pair().unwrap();
            near.set_nonblocking(true).unwrap();
            (UnixStream::from_std(near), far)
        };
        let (near, far) = (0..pipes).map(pair).unzip();
        (Lane::new(near, Capacity { per_pipe: 1, waiting: 2 }), far)
    }

    fn ticket(serial: u64) -> Ticket {
        Ticket { place: 0, serial, is_head: false }
    }

    fn take_on(lane: &mut Lane, serial: u64) -> Result<(), Full> {
        lane.take_on(ticket(serial), [127, 0, 0, 1].into(), |out| out.push(b'0' + serial as u8))
    }

    fn sent(lane: &mut Lane, far: &mut StdStream) -> String {
        let registry = mio::Poll::new().unwrap();
        lane.flush(registry.registry()).unwrap();
        far.set_nonblocking(true).unwrap();
        let mut bytes = [0; 64];
        let len = far.read(&mut bytes).unwrap_or_default();
        String::from_utf8(bytes[..len].to_vec()).unwrap()
    }

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

    #[test]
    fn requests_wait_in_line_and_move_up_when_an_answer_has_come() {
        let (mut lane, mut far) = lane(1);
        for serial in 1..=3 {
            take_on(&mut lane, serial).unwrap();
        }
        assert_eq!(take_on(&mut lane, 4), Err(Full));
        assert_eq!(sent(&mut lane, &mut far[0]), "1");
        far[0].write_all(ANSWER).unwrap();
        lane.receive(0, &mut [0; 256]).unwrap();
        let (whose, answer) = lane.next_answer(0).unwrap().unwrap();
        assert_eq!((whose.serial, answer.bytes()), (1, ANSWER));
        assert!(lane.next_answer(0).unwrap().is_none());
        lane.move_up(0);
        assert_eq!(sent(&mut lane, &mut far[0]), "2");
    }

    #[test]
    fn who_has_gone_loses_the_place_in_line() {
        let (mut lane, mut far) = lane(1);
        for serial in 1..=3 {
            take_on(&mut lane, serial).unwrap();
        }
        lane.leave_line(2);
        take_on(&mut lane, 4).expect("there is room in the line again");
        assert_eq!(sent(&mut lane, &mut far[0]), "1");
        far[0].write_all(ANSWER).unwrap();
        lane.receive(0, &mut [0; 256]).unwrap();
        assert!(lane.next_answer(0).unwrap().is_some());
        lane.move_up(0);
        assert_eq!(sent(&mut lane, &mut far[0]), "3");
    }

    #[test]
    fn the_least_busy_pipe_takes_the_next_request() {
        let (mut lane, mut far) = lane(2);
        take_on(&mut lane, 1).unwrap();
        take_on(&mut lane, 2).unwrap();
        assert_eq!(sent(&mut lane, &mut far[0]) + &sent(&mut lane, &mut far[1]), "12");
    }

    #[test]
    fn an_answer_nobody_waits_for_and_the_end_of_a_pipe_are_errors() {
        let (mut lane, mut far) = lane(1);
        far[0].write_all(ANSWER).unwrap();
        lane.receive(0, &mut [0; 256]).unwrap();
        assert!(lane.next_answer(0).is_err());
        far.clear();
        assert!(lane.receive(0, &mut [0; 256]).is_err());
    }
}
