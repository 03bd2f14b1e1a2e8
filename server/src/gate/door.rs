//! The door: who is let in, and who makes room.

use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;

use mio::net::TcpStream;
use mio::{Interest, Token};

use super::crowd::Room;
use super::gatehouse::{CLIENTS, Gatehouse};
use super::refusal::{self, Glimpse};
use crate::api;
use crate::metrics::Count;
use crate::problem::{Code, Problem};

/// How long accepting pauses when descriptors have run out, in milliseconds.
const ACCEPT_PAUSE_MS: u64 = 100;

/// How often the log is told of the same trouble, in milliseconds.
const COMPLAINT_PAUSE_MS: u64 = 10_000;

/// Connections accepted before those that are there get their turn.
const ACCEPTS_AT_ONCE: usize = 64;

impl Gatehouse {
    /// Lets in whoever waits at the door.
    pub(super) fn accept(&mut self) {
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
}

/// Errors of accept(2) that are the fault of the connection that was to be accepted.
fn is_about_one_client(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted)
}
