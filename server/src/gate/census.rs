//! Networks and how many of something come from each: an address of IPv4; of IPv6 the /64, and the /48 around it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

/// What counts as one address: of IPv6 the /64, which one subscriber has at least.
pub(crate) fn network_of(address: IpAddr) -> IpAddr {
    masked(address, 64)
}

/// The network that one customer has at most, as providers recommend: of IPv6 the /48. Several may share one.
pub(super) fn wide_network_of(address: IpAddr) -> IpAddr {
    masked(address, 48)
}

fn masked(address: IpAddr, prefix_len: u32) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (128 - prefix_len))).into()
        }
    }
}

/// How many there are of each network.
#[derive(Debug, Default)]
pub(super) struct Census {
    narrow: HashMap<IpAddr, usize>,
    wide: HashMap<IpAddr, usize>,
}

impl Census {
    /// One more from `address`.
    pub(super) fn add(&mut self, address: IpAddr) {
        *self.narrow.entry(network_of(address)).or_default() += 1;
        *self.wide.entry(wide_network_of(address)).or_default() += 1;
    }

    /// One fewer.
    pub(super) fn remove(&mut self, address: IpAddr) {
        for (counts, network) in
            [(&mut self.narrow, network_of(address)), (&mut self.wide, wide_network_of(address))]
        {
            if let Some(count) = counts.get_mut(&network) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(&network);
                }
            }
        }
    }

    /// How many come from where `address` is.
    pub(super) fn count(&self, address: IpAddr) -> usize {
        self.narrow.get(&network_of(address)).copied().unwrap_or_default()
    }

    /// How many more than `share` come from where `address` is; for a /48, in which several customers may live, more than
    /// four times as many.
    pub(super) fn excess(&self, address: IpAddr, share: usize) -> usize {
        let wide = self.wide.get(&wide_network_of(address)).copied().unwrap_or_default();
        self.count(address).saturating_sub(share).max(wide.saturating_sub(4 * share))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_subscriber_of_ipv6_is_one_network() {
        let one = address("2001:db8::1");
        assert_eq!(network_of(one), network_of(address("2001:db8::ffff:1")));
        assert_ne!(network_of(one), network_of(address("2001:db8:0:1::1")));
        assert_eq!(wide_network_of(one), wide_network_of(address("2001:db8:0:1::1")));
        assert_ne!(wide_network_of(one), wide_network_of(address("2001:db8:1::1")));
        assert_eq!(network_of(address("::ffff:203.0.113.1")), address("203.0.113.1"));
    }

    #[test]
    fn excess_begins_beyond_the_share() {
        let mut census = Census::default();
        let crowded = address("192.0.2.9");
        (0..12).for_each(|_| census.add(crowded));
        census.add(address("192.0.2.1"));
        assert_eq!(
            (census.count(crowded), census.excess(crowded, 10), census.excess(crowded, 12)),
            (12, 2, 0)
        );
        assert_eq!(census.excess(address("192.0.2.1"), 1), 0);
        (0..12).for_each(|_| census.remove(crowded));
        assert_eq!((census.count(crowded), census.excess(crowded, 0)), (0, 0));
    }

    #[test]
    fn many_networks_of_one_48_are_too_many_together() {
        let mut census = Census::default();
        for number in 0..40 {
            census.add(IpAddr::from([0x2001, 0xdb8, 1, number, 0, 0, 0, 1]));
            census.add(IpAddr::from([0x2001, 0xdb8, 100 + number, 0, 0, 0, 0, 1]));
        }
        assert_eq!(census.excess(address("2001:db8:1::1"), 4), 40 - 16);
        assert_eq!(census.excess(address("2001:db8:64::1"), 4), 0);
    }
}
