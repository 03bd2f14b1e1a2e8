//! Requests that wait for a pipe: networks take turns, so that who sends many waits for them, and others do not.

use std::collections::VecDeque;
use std::net::IpAddr;

use super::lane::Ticket;

/// Those who wait.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Each network with its requests, oldest first, in the order of their turns; none is without requests.
    turns: VecDeque<(IpAddr, Requests)>,
}

type Requests = VecDeque<(Ticket, Vec<u8>)>;

impl Line {
    /// How many requests wait.
    pub(super) fn len(&self) -> usize {
        self.turns.iter().map(|(_, requests)| requests.len()).sum()
    }

    /// Puts a request behind those of its network.
    pub(super) fn join(&mut self, network: IpAddr, ticket: Ticket, request: Vec<u8>) {
        let own = self.turns.iter_mut().find(|(other, _)| *other == network);
        match own {
            Some((_, requests)) => requests.push_back((ticket, request)),
            None => self.turns.push_back((network, [(ticket, request)].into())),
        }
    }

    /// The oldest request of the network whose turn it is.
    pub(super) fn next(&mut self) -> Option<(Ticket, Vec<u8>)> {
        let (network, mut requests) = self.turns.pop_front()?;
        let request = requests.pop_front();
        if !requests.is_empty() {
            self.turns.push_back((network, requests));
        }
        request
    }

    /// Takes out the request of a client.
    pub(super) fn leave(&mut self, serial: u64) {
        self.turns.retain_mut(|(_, requests)| {
            requests.retain(|(ticket, _)| ticket.serial != serial);
            !requests.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line that these joined, by the last byte of their address and their serial number.
    fn line(joined: &[(u8, u64)]) -> Line {
        let mut line = Line::default();
        for &(last, serial) in joined {
            let ticket = Ticket { place: 0, serial, is_head: false };
            line.join([192, 0, 2, last].into(), ticket, vec![last]);
        }
        line
    }

    fn order(mut line: Line) -> Vec<u64> {
        std::iter::from_fn(|| line.next()).map(|(ticket, _)| ticket.serial).collect()
    }

    #[test]
    fn who_sends_one_waits_for_one_of_each_other() {
        assert_eq!(
            order(line(&[(1, 10), (1, 11), (1, 12), (2, 20), (3, 30), (2, 21)])),
            [10, 20, 30, 11, 21, 12]
        );
    }

    #[test]
    fn who_leaves_is_nobodys_turn() {
        let mut line = line(&[(1, 10), (2, 20), (1, 11)]);
        line.leave(20);
        assert_eq!(line.len(), 2);
        line.leave(10);
        assert_eq!(order(line), [11]);
    }
}
