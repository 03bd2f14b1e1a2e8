//! Any X-Forwarded-For, in any number of fields: they are one list, a peer that is no trusted proxy is the client, and what
//! a client writes in front changes nothing.

#![no_main]

use std::net::IpAddr;

use latchkey::gate::TrustedProxies;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let fields: Vec<_> = input.split(|&byte| byte == b'\n').collect();
    let list = fields.join(&b", "[..]);
    let proxies = TrustedProxies::parse("10.0.0.0/8, 2001:db8::/32").expect("two networks");
    let client = IpAddr::from([198, 51, 100, 1]);
    for (peer, is_proxy) in [(IpAddr::from([10, 0, 0, 1]), true), (IpAddr::from([203, 0, 113, 7]), false)] {
        let found = proxies.client_of(peer, &fields);
        assert_eq!(proxies.client_of(peer, &[&list]), found);
        assert!(found == found.to_canonical() && (is_proxy || found == peer));
        let expected = if is_proxy { client } else { peer };
        let added_to = [&list, &b", 198.51.100.1"[..]].concat();
        assert_eq!(proxies.client_of(peer, &[&added_to]), expected);
        assert_eq!(proxies.client_of(peer, &[&list, b"198.51.100.1"]), expected);
    }
});
