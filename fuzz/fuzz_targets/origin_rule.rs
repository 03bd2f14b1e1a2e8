//! Any lines as Sec-Fetch-Site, Origin and Host: a request passes if and only if a reference that is too plain to be wrong says so.

#![no_main]

use latchkey::site::{Provenance, PublicUrl, is_from_own_site};
use latchkey_fuzz::plain_site::{self, LISTED};
use libfuzzer_sys::fuzz_target;

const OURS: &str = "https://auth.example.com";

fuzz_target!(|input: &str| {
    // A line of a hyphen is a field that is not there.
    let mut lines = input.split('\n').map(|line| Some(line).filter(|line| *line != "-"));
    let [sec_fetch_site, origin, host] = [(); 3].map(|()| lines.next().flatten());
    let from = Provenance { sec_fetch_site, origin, host };
    let ours = PublicUrl::parse(OURS).expect("it is https");
    let passes = is_from_own_site(from, &ours, &[LISTED.to_owned()]);
    assert_eq!(passes, plain_site::passes(OURS, sec_fetch_site, origin, host));
    if let Ok(url) = PublicUrl::parse(origin.unwrap_or_default()) {
        assert_eq!(PublicUrl::parse(url.as_str()), Ok(url));
    }
});
