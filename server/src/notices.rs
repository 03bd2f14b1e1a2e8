//! What requests show of the settings: a proxy that is not listed, another public URL than the one set. The log is told
//! once, and again after an hour, however many such requests there are and whoever sends them.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use crate::clock::Uptime;
use crate::site::PublicUrl;

/// How long the log is not told the same again, in milliseconds.
const PAUSE_MS: u64 = 3_600_000;

/// Something that a request shows.
#[derive(Clone, Copy, Debug)]
pub enum Notice<'a> {
    /// It came through a proxy at this address, which is not listed.
    UnlistedProxy(IpAddr),
    /// It came from a page of ours over https, so through a proxy, which is at this address and does not say for whom.
    SilentProxy(IpAddr),
    /// A browser sent it from a page of ours that it knows by this origin, and the public URL is the other.
    OtherOrigin(&'a PublicUrl, &'a PublicUrl),
    /// A page of this listed origin signs in, which to the browser is of another site: it keeps no cookie of ours.
    LostCookie(&'a PublicUrl),
}

impl Notice<'_> {
    const KINDS: usize = 4;

    const fn kind(&self) -> usize {
        match self {
            Self::UnlistedProxy(_) => 0,
            Self::OtherOrigin(..) => 1,
            Self::LostCookie(_) => 2,
            Self::SilentProxy(_) => 3,
        }
    }
}

impl fmt::Display for Notice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnlistedProxy(proxy) => write!(
                f,
                "a request came through a proxy at {proxy}, which is not in LATCHKEY_TRUSTED_PROXIES: all of its \
                 clients count as one address, and 20 log-ins that fail make all of them wait; if the proxy is yours, \
                 add its address"
            ),
            Self::SilentProxy(proxy) => write!(
                f,
                "a request came through a proxy at {proxy}, which does not say for whom: all of its clients count as one \
                 address, and 20 log-ins that fail make all of them wait; have it send X-Forwarded-For, and list it in \
                 LATCHKEY_TRUSTED_PROXIES"
            ),
            Self::OtherOrigin(seen, public_url) => {
                let lacks = if seen.is_https() && !public_url.is_https() {
                    ", so the refresh cookie goes out without Secure"
                } else {
                    ""
                };
                write!(
                    f,
                    "a browser calls this server {seen}, and LATCHKEY_PUBLIC_URL is {public_url}{lacks}; if that is \
                     its name, set LATCHKEY_PUBLIC_URL={seen}"
                )
            }
            Self::LostCookie(origin) => write!(
                f,
                "a page of {origin} signed in, which is another site than this server: the browser does not keep the \
                 refresh cookie; give both hosts of one domain, or of this machine the same name"
            ),
        }
    }
}

/// When the log was told what.
#[derive(Debug, Default)]
pub struct Notices(Mutex<[Option<Uptime>; Notice::KINDS]>);

impl Notices {
    /// Tells the log, unless it has been told of the like in the last hour.
    pub fn tell(&self, notice: Notice<'_>) {
        if self.is_due(notice, Uptime::now()) {
            log::warn!("{notice}");
        }
    }

    fn is_due(&self, notice: Notice<'_>, now: Uptime) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = &mut told[notice.kind()];
        let is_due = last.is_none_or(|last| now.millis_since(last) >= PAUSE_MS);
        if is_due {
            *last = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told_once_an_hour() {
        let notices = Notices::default();
        let proxy = |last| Notice::UnlistedProxy([192, 0, 2, last].into());
        let url = PublicUrl::parse("https://auth.example.com").unwrap();
        let now = Uptime::default();
        assert!(notices.is_due(proxy(1), now));
        assert!(!notices.is_due(proxy(2), now.plus_millis(PAUSE_MS - 1)));
        assert!(notices.is_due(Notice::LostCookie(&url), now), "another kind");
        assert!(notices.is_due(proxy(1), now.plus_millis(PAUSE_MS)));
    }

    #[test]
    fn a_notice_says_what_to_do() {
        let url = |text| PublicUrl::parse(text).unwrap();
        let (seen, set) = (url("https://auth.example.com"), url("http://127.0.0.1:8080"));
        let text = Notice::OtherOrigin(&seen, &set).to_string();
        assert!(
            text.contains("without Secure") && text.ends_with("LATCHKEY_PUBLIC_URL=https://auth.example.com")
        );
        assert!(
            !Notice::OtherOrigin(&seen, &url("https://auth.example.com:8443")).to_string().contains("Secure")
        );
    }
}
