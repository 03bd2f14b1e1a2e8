//! Any X-Forwarded-For: a peer that is no trusted proxy is the client, and what a client writes in front changes nothing.

#![no_main]

use std::net::IpAddr;

use latchkey::gate::TrustedProxies;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|field: &[u8]| {
    let proxies = TrustedProxies::parse("10.0.0.0/8, 2001:db8::/32").expect("two networks");
    let client = IpAddr::from([198, 51, 100, 1]);
    for (peer, is_proxy) in [(IpAddr::from([10, 0, 0, 1]), true), (IpAddr::from([203, 0, 113, 7]), false)] {
        let found = proxies.client_of(peer, Some(field));
        assert!(found == found.to_canonical() && (is_proxy || found == peer));
        let added_to = [field, b", 198.51.100.1"].concat();
        assert_eq!(proxies.client_of(peer, Some(&added_to)), if is_proxy { client } else { peer });
    }
});
