//! Any lines as Sec-Fetch-Site, Origin and Host: a request passes if and only if a reference that is too plain to be wrong says so.

#![no_main]

use latchkey::site::{Provenance, PublicUrl, is_from_own_site};
use libfuzzer_sys::fuzz_target;

const OURS: &str = "https://auth.example.com";
const LISTED: &str = "https://app.example.com";

fuzz_target!(|input: &str| {
    // A line of a hyphen is a field that is not there.
    let mut lines = input.split('\n').map(|line| Some(line).filter(|line| *line != "-"));
    let [sec_fetch_site, origin, host] = [(); 3].map(|()| lines.next().flatten());
    let public_url = PublicUrl::parse(OURS).expect("it is https");
    let passes =
        is_from_own_site(Provenance { sec_fetch_site, origin, host }, &public_url, &[LISTED.to_owned()]);
    let own_loopback = host.is_some_and(|host| {
        let name =
            host.rsplit_once(':').filter(|(_, port)| !port.contains(']')).map_or(host, |(name, _)| name);
        let is_loopback =
            |address: &str| address.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let names_us = name.eq_ignore_ascii_case("localhost") || is_loopback(name.trim_matches(['[', ']']));
        names_us && origin == Some(&format!("http://{host}"))
    });
    match (sec_fetch_site, origin) {
        (Some("same-origin" | "none"), _) | (None, None) => assert!(passes),
        (Some(_), origin) => assert_eq!(passes, origin == Some(LISTED)),
        (None, Some(OURS | LISTED)) => assert!(passes),
        (None, Some(_)) => assert!(!passes || own_loopback),
    }
    if let Ok(url) = PublicUrl::parse(origin.unwrap_or_default()) {
        assert_eq!(PublicUrl::parse(url.as_str()), Ok(url));
    }
});
