//! The clients that are connected: how many there may be, how many from one address, and who goes when it is full.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use mio::net::TcpStream;
use slab::Slab;

use super::client::{Client, Phase};
use super::lane::Ticket;
use crate::clock::Uptime;

/// A network with more than this part of all connections loses some even while they are answered.
const CROWD_SHARE: usize = 16;

/// Everybody connected.
#[derive(Debug)]
pub(super) struct Crowd {
    clients: Slab<Client>,
    per_network: HashMap<IpAddr, usize>,
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

impl Crowd {
    pub(super) fn new(len_max: usize, per_network_max: usize) -> Self {
        Self { clients: Slab::new(), per_network: HashMap::new(), len_max, per_network_max, serial: 0 }
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
        let from_there = self.per_network.get(&network).copied().unwrap_or_default();
        let victim = if !is_proxy && from_there >= self.per_network_max {
            self.longest_idle(|client| !client.is_proxy && network_of(client.peer) == network)
        } else if self.clients.len() >= self.len_max {
            self.most_dispensable()
        } else {
            return Room::Free;
        };
        victim.map_or(Room::None, Room::InPlaceOf)
    }

    /// Of the network with the most connections the one that is idle longest: who opens many pays for it, not who
    /// has one, and not a proxy, which speaks for many.
    pub(super) fn most_dispensable(&self) -> Option<usize> {
        let can_go = |client: &&Client| self.rank(client).is_some();
        let worst =
            self.clients.iter().map(|(_, client)| client).filter(can_go).map(|c| self.crowding(c)).max()?;
        self.longest_idle(|client| self.crowding(client) == worst)
    }

    /// Who can go first. Who does not take an answer goes late, but goes: a few addresses full of such clients would
    /// keep everybody else out. So would those who keep the lanes busy, unless they are few where they come from.
    fn rank(&self, client: &Client) -> Option<u8> {
        match client.phase {
            Phase::Lingering => Some(0),
            Phase::Idle => Some(1),
            Phase::Receiving => Some(2),
            Phase::Sending => Some(3),
            Phase::Waiting => (self.crowding(client) > self.len_max / CROWD_SHARE).then_some(4),
        }
    }

    /// How many connections come from where this one does.
    fn crowding(&self, client: &Client) -> usize {
        let count = || self.per_network.get(&network_of(client.peer)).copied().unwrap_or_default();
        if client.is_proxy { 0 } else { count() }
    }

    /// Bytes of unfinished requests that are kept.
    pub(super) fn input_len(&self) -> usize {
        self.clients.iter().map(|(_, client)| client.input().len()).sum()
    }

    /// Of those who keep us holding an unfinished request, the one with the most connections beside it, and of these
    /// the one that has sent most.
    pub(super) fn largest_input_of_worst(&self) -> Option<usize> {
        let receiving = self.clients.iter().filter(|(_, client)| client.phase == Phase::Receiving);
        let worst = receiving.max_by_key(|(_, client)| (self.crowding(client), client.input().len()));
        worst.map(|(place, _)| place)
    }

    fn longest_idle(&self, is_eligible: impl Fn(&Client) -> bool) -> Option<usize> {
        let eligible = self.clients.iter().filter(|(_, client)| is_eligible(client));
        let ranked = eligible.filter_map(|(place, client)| Some((self.rank(client)?, client.since, place)));
        ranked.min().map(|(.., place)| place)
    }

    pub(super) fn admit(&mut self, stream: TcpStream, peer: IpAddr, is_proxy: bool, now: Uptime) -> usize {
        self.serial += 1;
        *self.per_network.entry(network_of(peer)).or_default() += 1;
        self.clients.insert(Client::new(stream, peer, is_proxy, self.serial, now))
    }

    /// Takes a client out; its socket closes when it is dropped.
    pub(super) fn remove(&mut self, place: usize) -> Option<Client> {
        let client = self.clients.try_remove(place)?;
        let network = network_of(client.peer);
        if let Some(count) = self.per_network.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                self.per_network.remove(&network);
            }
        }
        Some(client)
    }
}

/// What counts as one address: of IPv6 the /64, which one subscriber has at least.
pub(crate) fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A crowd of at most 4, 2 from one network; each is told by the last byte of the address and when it came.
    fn crowd(arrivals: &[(u8, u64)]) -> Crowd {
        let mut crowd = Crowd::new(4, 2);
        for &(last, millis) in arrivals {
            let (stream, _other_end) = pair();
            crowd.admit(stream, address(last), false, Uptime::default().plus_millis(millis));
        }
        crowd
    }

    fn address(last: u8) -> IpAddr {
        [203, 0, 113, last].into()
    }

    fn pair() -> (TcpStream, std::net::TcpStream) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let other_end = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (TcpStream::from_std(listener.accept().unwrap().0), other_end)
    }

    #[test]
    fn at_its_own_cap_an_address_displaces_its_longest_idle_connection() {
        let mut crowd = crowd(&[(1, 5), (2, 1), (1, 3)]);
        assert_eq!(crowd.room_for(address(1), false), Room::InPlaceOf(2));
        assert_eq!(crowd.room_for(address(2), false), Room::Free);
        assert_eq!(crowd.room_for(address(1), true), Room::Free, "a proxy speaks for many");
        for place in [0, 2] {
            crowd.get_mut(place).unwrap().phase = Phase::Waiting;
        }
        assert_eq!(crowd.room_for(address(1), false), Room::InPlaceOf(2), "even while it is answered");
        crowd.len_max = 1000;
        assert_eq!(crowd.room_for(address(1), false), Room::None, "unless they are few");
    }

    #[test]
    fn at_the_cap_who_has_the_most_connections_pays() {
        let crowd = crowd(&[(1, 1), (2, 2), (3, 4), (3, 3)]);
        assert_eq!(crowd.room_for(address(9), false), Room::InPlaceOf(3));
    }

    #[test]
    fn who_has_begun_a_request_goes_after_who_has_not_and_whom_a_lane_works_for_never() {
        let mut crowd = crowd(&[(3, 1), (3, 2)]);
        crowd.len_max = 1000;
        crowd.get_mut(0).unwrap().phase = Phase::Receiving;
        assert_eq!(crowd.most_dispensable(), Some(1));
        crowd.get_mut(1).unwrap().phase = Phase::Sending;
        assert_eq!(crowd.most_dispensable(), Some(0));
        crowd.get_mut(0).unwrap().phase = Phase::Waiting;
        assert_eq!(crowd.most_dispensable(), Some(1), "who does not take an answer goes last");
        crowd.get_mut(1).unwrap().phase = Phase::Waiting;
        assert_eq!(crowd.most_dispensable(), None);
    }

    #[test]
    fn a_proxy_does_not_pay_for_the_many_it_speaks_for() {
        let mut crowd = crowd(&[(1, 1), (2, 5)]);
        for _ in 0..2 {
            let (stream, _other_end) = pair();
            crowd.admit(stream, address(9), true, Uptime::default());
        }
        assert_eq!(crowd.room_for(address(3), false), Room::InPlaceOf(0));
    }

    #[test]
    fn who_has_gone_counts_no_more_and_its_ticket_is_nobody_elses() {
        let mut crowd = crowd(&[(1, 1), (1, 2)]);
        let ticket = Ticket { place: 1, serial: crowd.get_mut(1).unwrap().serial, is_head: false };
        assert!(crowd.of(ticket).is_some());
        assert!(crowd.remove(1).is_some());
        assert!(crowd.remove(1).is_none());
        assert_eq!(crowd.room_for(address(1), false), Room::Free);
        let (stream, _other_end) = pair();
        assert_eq!(crowd.admit(stream, address(2), false, Uptime::default()), 1);
        assert!(crowd.of(ticket).is_none());
    }

    #[test]
    fn a_subscriber_of_ipv6_is_one_address() {
        let one: IpAddr = "2001:db8::1".parse().unwrap();
        let other: IpAddr = "2001:db8::ffff:1".parse().unwrap();
        let neighbour: IpAddr = "2001:db8:0:1::1".parse().unwrap();
        assert_eq!(network_of(one), network_of(other));
        assert_ne!(network_of(one), network_of(neighbour));
        assert_eq!(network_of("::ffff:203.0.113.1".parse().unwrap()), address(1));
    }
}
