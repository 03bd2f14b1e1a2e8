//! Requests that wait for a pipe: networks take turns, so that who sends many waits for them, and others do not; and in a
//! full line who has most makes room.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use super::census::{network_of, wide_network_of};
use super::lane::Ticket;
use super::message::Content;
use super::wiped::Wiped;

/// Those who wait.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Each network with its requests, oldest first, in the order of their turns; none is without requests.
    turns: VecDeque<(IpAddr, Requests)>,
    len: usize,
}

type Requests = VecDeque<(Ticket, Content, Arc<Wiped>)>;

impl Line {
    /// How many requests wait.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Puts a request behind those of its network.
    pub(super) fn join(&mut self, ticket: Ticket, content: Content, request: Arc<Wiped>) {
        self.len += 1;
        let network = network_of(ticket.sender);
        let own = self.turns.iter_mut().find(|(other, _)| *other == network);
        match own {
            Some((_, requests)) => requests.push_back((ticket, content, request)),
            None => self.turns.push_back((network, [(ticket, content, request)].into())),
        }
    }

    /// The oldest request of the network whose turn it is.
    pub(super) fn next(&mut self) -> Option<(Ticket, Content, Arc<Wiped>)> {
        let (network, mut requests) = self.turns.pop_front()?;
        let request = requests.pop_front();
        if !requests.is_empty() {
            self.turns.push_back((network, requests));
        }
        self.len -= 1;
        request
    }

    /// Takes out the newest request of the network that has most in line, if it has more than the network of `newcomer`
    /// would have.
    pub(super) fn displace_for(&mut self, newcomer: IpAddr) -> Option<Ticket> {
        let at = self.richer_than(newcomer)?;
        let (ticket, ..) = self.turns[at].1.pop_back()?;
        self.turns.retain(|(_, requests)| !requests.is_empty());
        self.len -= 1;
        Some(ticket)
    }

    /// Whether some network would make room.
    pub(super) fn can_displace_for(&self, newcomer: IpAddr) -> bool {
        self.richer_than(newcomer).is_some()
    }

    /// The turn of the network that has most in line, if it has more than the network of `newcomer` would have. The /48
    /// counts first, so that whoever has one does not get a place for each /64 in it.
    fn richer_than(&self, newcomer: IpAddr) -> Option<usize> {
        let weight = |network: &IpAddr| (self.len_of_wide(*network), self.len_of(*network));
        let networks = self.turns.iter().enumerate().map(|(at, (network, _))| (weight(network), Reverse(at)));
        let ((wide_len, len), Reverse(at)) = networks.max()?;
        let is_neighbour = wide_network_of(self.turns[at].0) == wide_network_of(newcomer);
        let has_more = if is_neighbour {
            len > self.len_of(newcomer) + 1
        } else {
            wide_len > self.len_of_wide(newcomer) + 1
        };
        has_more.then_some(at)
    }

    fn len_of(&self, sender: IpAddr) -> usize {
        let network = network_of(sender);
        self.turns.iter().find(|(other, _)| *other == network).map_or(0, |(_, requests)| requests.len())
    }

    fn len_of_wide(&self, sender: IpAddr) -> usize {
        let network = wide_network_of(sender);
        let neighbours = self.turns.iter().filter(|(other, _)| wide_network_of(*other) == network);
        neighbours.map(|(_, requests)| requests.len()).sum()
    }

    /// Takes out the request of a client; returns whether there was one.
    pub(super) fn leave(&mut self, serial: u64) -> bool {
        let len_before = self.len;
        self.turns.retain_mut(|(_, requests)| {
            requests.retain(|(ticket, ..)| ticket.serial != serial);
            !requests.is_empty()
        });
        self.len = self.turns.iter().map(|(_, requests)| requests.len()).sum();
        self.len < len_before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line that these joined, by address and serial number.
    fn line_of(joined: &[(IpAddr, u64)]) -> Line {
        let mut line = Line::default();
        for &(sender, serial) in joined {
            let ticket = Ticket { number: serial, place: 0, serial, sender };
            line.join(ticket, Content::Ordinary, Arc::default());
        }
        line
    }

    /// The same by the last byte of the address.
    fn line(joined: &[(u8, u64)]) -> Line {
        line_of(&joined.iter().map(|&(last, serial)| (address(last), serial)).collect::<Vec<_>>())
    }

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    fn order(mut line: Line) -> Vec<u64> {
        let len = line.len();
        let order: Vec<_> = std::iter::from_fn(|| line.next()).map(|(ticket, ..)| ticket.serial).collect();
        assert_eq!((order.len(), line.len()), (len, 0));
        order
    }

    fn displaced(line: &mut Line, newcomer: IpAddr) -> Option<u64> {
        line.displace_for(newcomer).map(|ticket| ticket.serial)
    }

    #[test]
    fn who_sends_one_waits_for_one_of_each_other() {
        assert_eq!(
            order(line(&[(1, 10), (1, 11), (1, 12), (2, 20), (3, 30), (2, 21)])),
            [10, 20, 30, 11, 21, 12]
        );
    }

    #[test]
    fn a_network_whose_requests_have_left_has_no_turn() {
        let mut line = line(&[(1, 10), (2, 20), (1, 11)]);
        assert!(line.leave(20) && !line.leave(20));
        assert_eq!(line.len(), 2);
        line.leave(10);
        assert_eq!(order(line), [11]);
    }

    #[test]
    fn the_newest_of_the_network_with_most_makes_room_for_one_with_fewer() {
        let mut line = line(&[(1, 10), (1, 11), (2, 20), (1, 12)]);
        assert_eq!(displaced(&mut line, address(3)), Some(12));
        assert_eq!(displaced(&mut line, address(2)), None, "it would have as many as the other");
        assert_eq!(displaced(&mut line, address(1)), None);
        assert_eq!(displaced(&mut line, address(3)), Some(11));
        assert_eq!(displaced(&mut line, address(3)), None, "nobody has more than one");
        assert_eq!(order(line), [10, 20]);
    }

    #[test]
    fn many_networks_of_one_48_count_together() {
        let of_64 = |number: u16| IpAddr::from([0x2001, 0xdb8, 1, number, 0, 0, 0, 1]);
        let elsewhere: IpAddr = "2001:db8:2::1".parse().unwrap();
        let mut line =
            line_of(&[(of_64(1), 1), (of_64(2), 2), (of_64(3), 3), (address(1), 10), (address(1), 11)]);
        assert_eq!(displaced(&mut line, of_64(4)), None, "a fourth of the same /48 displaces none");
        assert_eq!(displaced(&mut line, elsewhere), Some(1));
        assert_eq!(displaced(&mut line, of_64(2)), None, "a neighbour with one displaces nobody with one");
        line.join(
            Ticket { number: 4, place: 0, serial: 4, sender: of_64(3) },
            Content::Ordinary,
            Arc::default(),
        );
        line.join(
            Ticket { number: 5, place: 0, serial: 5, sender: of_64(3) },
            Content::Ordinary,
            Arc::default(),
        );
        assert_eq!(displaced(&mut line, of_64(9)), Some(5), "but one with many");
    }
}
