//! Who sent a request: the peer of the connection, or whom a trusted proxy names.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

/// The proxies whose word on the client's address counts.
#[derive(Clone, Default, Debug)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Reads addresses and networks (`10.0.0.0/8`), separated by commas.
    ///
    /// # Errors
    /// The first one that is neither.
    pub fn parse(text: &str) -> Result<Self, String> {
        let network = |text: &str| {
            let bare = text.parse::<IpAddr>().map(IpNet::from);
            bare.or_else(|_| text.parse::<IpNet>()).map_err(|_| text.to_owned())
        };
        text.split(',').map(|entry| network(entry.trim())).collect::<Result<_, _>>().map(Self)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `address` is one of them.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client of a request that came from `peer` with these `X-Forwarded-For` fields, which are one list, however
    /// many they are (RFC 9110 §5.3).
    ///
    /// Each proxy adds whom it got the request from at the end. Read from there, the first address that is no trusted
    /// proxy is the client; what stands before it the client may have written itself.
    pub fn client_of(&self, peer: IpAddr, forwarded_for: &[&[u8]]) -> IpAddr {
        let mut client = peer.to_canonical();
        let entries = forwarded_for.iter().rev().flat_map(|field| field.rsplit(|&byte| byte == b','));
        // Empty elements of a list are none (RFC 9110 §5.6.1).
        for entry in entries.map(<[u8]>::trim_ascii).filter(|entry| !entry.is_empty()) {
            if !self.contain(client) {
                break;
            }
            match str::from_utf8(entry).ok().and_then(address_of) {
                Some(address) => client = address.to_canonical(),
                None => break,
            }
        }
        client
    }
}

/// An address as proxies write it, with or without brackets and a port.
fn address_of(entry: &str) -> Option<IpAddr> {
    let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(entry);
    bare.parse().ok().or_else(|| entry.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(trusted: &str, peer: &str, forwarded_for: Option<&str>) -> String {
        client_of_lines(trusted, peer, forwarded_for.as_slice())
    }

    fn client_of_lines(trusted: &str, peer: &str, forwarded_for: &[&str]) -> String {
        let trusted = TrustedProxies::parse(trusted).unwrap();
        let lines: Vec<_> = forwarded_for.iter().map(|line| line.as_bytes()).collect();
        trusted.client_of(peer.parse().unwrap(), &lines).to_string()
    }

    #[test]
    fn a_peer_that_is_not_trusted_is_the_client_whatever_it_says() {
        assert_eq!(client("10.0.0.1", "203.0.113.7", Some("198.51.100.1")), "203.0.113.7");
    }

    #[test]
    fn a_trusted_proxy_names_the_client_and_what_the_client_wrote_before_is_ignored() {
        assert_eq!(client("10.0.0.0/8", "10.1.2.3", Some("1.1.1.1, 203.0.113.7")), "203.0.113.7");
        assert_eq!(client("10.0.0.0/8", "10.1.2.3", Some("1.1.1.1, 203.0.113.7, 10.9.9.9")), "203.0.113.7");
        assert_eq!(client("10.0.0.0/8", "::ffff:10.1.2.3", Some("203.0.113.7")), "203.0.113.7");
    }

    #[test]
    fn several_lines_are_one_list() {
        let client = |lines: &[&str]| client_of_lines("10.0.0.0/8", "10.1.2.3", lines);
        assert_eq!(client(&["203.0.113.7", "10.9.9.9"]), "203.0.113.7");
        assert_eq!(client(&["1.1.1.1, 203.0.113.7", "10.9.9.9, 10.8.8.8"]), "203.0.113.7");
        assert_eq!(
            client(&["1.1.1.1", "203.0.113.7"]),
            "203.0.113.7",
            "the last line is the nearest proxy's"
        );
        assert_eq!(client(&["203.0.113.7", "unknown"]), "10.1.2.3", "and what cannot be read ends the chain");
        assert_eq!(client(&["203.0.113.7", "", " , 10.9.9.9,"]), "203.0.113.7", "empty elements are none");
    }

    #[test]
    fn a_chain_that_cannot_be_read_ends_at_the_last_address_that_could() {
        assert_eq!(client("10.0.0.0/8", "10.1.2.3", Some("203.0.113.7, unknown")), "10.1.2.3");
        assert_eq!(client("10.0.0.0/8", "10.1.2.3", Some("")), "10.1.2.3");
        assert_eq!(client("10.0.0.0/8", "10.1.2.3", None), "10.1.2.3");
        assert_eq!(client("10.0.0.0/8", "10.1.2.3", Some("10.4.4.4")), "10.4.4.4");
    }

    #[test]
    fn addresses_may_have_ports_and_brackets() {
        assert_eq!(client("::1", "::1", Some("[2001:db8::5]:443")), "2001:db8::5");
        assert_eq!(client("::1", "::1", Some("[2001:db8::5]")), "2001:db8::5");
        assert_eq!(client("::1", "::1", Some("203.0.113.7:80")), "203.0.113.7");
    }

    /// Better Auth throttled each spelling of an IPv6 address by itself (CVE-2026-45364).
    #[test]
    fn an_address_is_the_same_however_it_is_spelled() {
        for spelling in
            ["2001:db8::5", "2001:DB8::5", "2001:0db8:0:0:0:0:0:5", "2001:db8::0.0.0.5", "[2001:Db8:0::5]:1"]
        {
            assert_eq!(client("::1", "::1", Some(spelling)), "2001:db8::5", "{spelling}");
        }
        for spelling in
            ["203.0.113.7", "::ffff:203.0.113.7", "::FFFF:cb00:7107", "[0:0:0:0:0:ffff:cb00:7107]"]
        {
            assert_eq!(client("::1", "::1", Some(spelling)), "203.0.113.7", "{spelling}");
        }
        assert_eq!(client("::1", "::1", Some("203.000.113.007")), "::1", "nor are there octal ones");
    }

    #[test]
    fn what_is_no_network_is_named() {
        assert_eq!(TrustedProxies::parse("10.0.0.1, proxy.local").unwrap_err(), "proxy.local");
        assert_eq!(TrustedProxies::parse("10.0.0.0/33").unwrap_err(), "10.0.0.0/33");
    }
}
