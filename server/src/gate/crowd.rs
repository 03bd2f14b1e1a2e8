//! The clients that are connected: how many there may be, how many from one address, and who goes when it is full.

use std::cmp::Reverse;
use std::net::IpAddr;

use mio::net::TcpStream;
use slab::Slab;

use super::census::{Census, network_of};
use super::client::{Client, Phase};
use super::lane::Ticket;
use crate::clock::Uptime;

/// More than this part of all connections are many: of a network, beyond its share, or of those that have just come.
const CROWD_SHARE: usize = 16;

/// The share of one network is this part of all connections: enough for an office, or for a browser with many tabs.
const FAIR_SHARE: usize = 64;

/// Everybody connected.
#[derive(Debug)]
pub(super) struct Crowd {
    clients: Slab<Client>,
    /// Where they come from; trusted proxies, which speak for many, are not counted.
    census: Census,
    len_max: usize,
    per_network_max: usize,
    serial: u64,
}

/// Whether one more can be let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Room {
    /// Yes.
    Free,
    /// When this one goes.
    InPlaceOf(usize),
    /// No: all are busy.
    None,
}

/// Whose connection it is; those of the first go first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Standing {
    /// All is said.
    Over,
    /// One of many that have never sent a whole request.
    Newcomer,
    /// One of a network that has far too many. What it does there counts little: a few addresses full of clients that keep
    /// the lanes busy, or take no answers, would keep everybody else out.
    Crowd,
    /// Any other.
    Guest,
}

/// What a connection is doing; the first of these goes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Use {
    /// Nothing of a request has come.
    Idle,
    /// It sends a request.
    Receiving,
    /// It takes an answer, or has just come and gets its chance, as one of a few.
    Sending,
    /// It waits for its answer.
    Waiting,
}

/// Who goes first: the least one.
type Order = (Standing, Use, IsProxy, Reverse<usize>, Uptime, usize);

/// A proxy speaks for many, so it goes after others of the same standing and use.
type IsProxy = bool;

impl Crowd {
    pub(super) fn new(len_max: usize, per_network_max: usize) -> Self {
        Self { clients: Slab::new(), census: Census::default(), len_max, per_network_max, serial: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.clients.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    pub(super) fn get_mut(&mut self, place: usize) -> Option<&mut Client> {
        self.clients.get_mut(place)
    }

    /// The client of a ticket, if it is still there.
    pub(super) fn of(&mut self, ticket: Ticket) -> Option<&mut Client> {
        self.clients.get_mut(ticket.place).filter(|client| client.serial == ticket.serial)
    }

    /// Every place taken now.
    pub(super) fn places(&self) -> Vec<usize> {
        self.clients.iter().map(|(place, _)| place).collect()
    }

    /// Whether one more from `peer` can be let in.
    pub(super) fn room_for(&self, peer: IpAddr, is_proxy: bool) -> Room {
        let network = network_of(peer);
        let victim = if !is_proxy && self.census.count(peer) >= self.per_network_max {
            self.first_to_go(|client| !client.is_proxy && network_of(client.peer) == network)
        } else if self.clients.len() >= self.len_max {
            self.most_dispensable()
        } else {
            return Room::Free;
        };
        victim.map_or(Room::None, Room::InPlaceOf)
    }

    /// Who goes first of all.
    pub(super) fn most_dispensable(&self) -> Option<usize> {
        self.first_to_go(|_| true)
    }

    /// Who goes first: by standing, then by use, then by how many its network has too many, then by age. So a thousand
    /// silent connections of a thousand addresses make room for one another, not an office with ten in use.
    fn first_to_go(&self, is_eligible: impl Fn(&Client) -> bool) -> Option<usize> {
        let newcomers = self.clients.iter().filter(|(_, client)| !client.has_sent_a_request()).count();
        let are_newcomers_many = newcomers > self.len_max / CROWD_SHARE;
        let eligible = self.clients.iter().filter(|(_, client)| is_eligible(client));
        let order = eligible.filter_map(|(place, client)| self.order(place, client, are_newcomers_many));
        order.min().map(|(.., place)| place)
    }

    /// `None` when it stays in any case: a lane works for it, and its network is no crowd.
    fn order(&self, place: usize, client: &Client, are_newcomers_many: bool) -> Option<Order> {
        let excess = self.excess(client);
        let is_newcomer = !client.is_proxy && !client.has_sent_a_request();
        let standing = match client.phase {
            Phase::Lingering => Standing::Over,
            _ if is_newcomer && are_newcomers_many => Standing::Newcomer,
            _ if excess > self.len_max / CROWD_SHARE => Standing::Crowd,
            Phase::Waiting => return None,
            _ => Standing::Guest,
        };
        let used = match client.phase {
            _ if is_newcomer && standing == Standing::Guest => Use::Sending,
            Phase::Idle => Use::Idle,
            Phase::Receiving => Use::Receiving,
            Phase::Sending | Phase::Lingering => Use::Sending,
            Phase::Waiting => Use::Waiting,
        };
        Some((standing, used, client.is_proxy, Reverse(excess), client.since, place))
    }

    /// How many connections too many come from where this one does.
    fn excess(&self, client: &Client) -> usize {
        if client.is_proxy { 0 } else { self.census.excess(client.peer, self.len_max / FAIR_SHARE) }
    }

    /// Bytes of unfinished requests that are kept.
    pub(super) fn input_len(&self) -> usize {
        self.clients.iter().map(|(_, client)| client.input().len()).sum()
    }

    /// Of those who keep us holding an unfinished request, the one whose network has most beyond its share, and of these
    /// the one that has sent most.
    pub(super) fn largest_input_of_worst(&self) -> Option<usize> {
        let receiving = self.clients.iter().filter(|(_, client)| client.phase == Phase::Receiving);
        let worst = receiving.max_by_key(|(_, client)| (self.excess(client), client.input().len()));
        worst.map(|(place, _)| place)
    }

    pub(super) fn admit(&mut self, stream: TcpStream, peer: IpAddr, is_proxy: bool, now: Uptime) -> usize {
        self.serial += 1;
        let client = Client::new(stream, peer, is_proxy, self.serial, now);
        if !is_proxy {
            self.census.add(client.peer);
        }
        self.clients.insert(client)
    }

    /// Takes a client out; its socket closes when it is dropped.
    pub(super) fn remove(&mut self, place: usize) -> Option<Client> {
        let client = self.clients.try_remove(place)?;
        if !client.is_proxy {
            self.census.remove(client.peer);
        }
        Some(client)
    }
}

#[cfg(test)]
mod tests;
