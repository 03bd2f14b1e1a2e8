//! What the server is called from outside, and who may send it requests: the public URL and the cross-site rule.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// An origin of ours: `https://host[:port]`, or `http://` for a loopback host only.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublicUrl {
    origin: String,
    is_https: bool,
    port: u16,
}

impl PublicUrl {
    /// Reads a public URL: a scheme, a host, perhaps a port, and no path.
    ///
    /// # Errors
    /// [`PublicUrlError`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, PublicUrlError> {
        match Self::parse_also_plain(text)? {
            url if url.is_https || is_loopback_host(url.host()) => Ok(url),
            _ => Err(PublicUrlError::PlainHttp),
        }
    }

    /// The same, and `http://` for every host, for an administrator who allows that.
    ///
    /// # Errors
    /// [`PublicUrlError`] says what is wrong with it.
    pub fn parse_also_plain(text: &str) -> Result<Self, PublicUrlError> {
        let (is_https, authority) = match text.split_once("://") {
            Some(("https", authority)) => (true, authority),
            Some(("http", authority)) => (false, authority),
            _ => return Err(PublicUrlError::Scheme),
        };
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let (host, port) = split_port(authority).ok_or(PublicUrlError::Authority)?;
        let default_port = if is_https { 443 } else { 80 };
        if !is_host(host) {
            return Err(PublicUrlError::Authority);
        }
        let scheme = if is_https { "https" } else { "http" };
        let host = host.to_ascii_lowercase();
        let port = port.unwrap_or(default_port);
        // Browsers leave the scheme's own port out of an Origin (RFC 6454 §6.2).
        let origin = if port == default_port {
            format!("{scheme}://{host}")
        } else {
            format!("{scheme}://{host}:{port}")
        };
        Ok(Self { origin, is_https, port })
    }

    /// The URL of a server that is reached at the address it listens on; one that listens on every address is called
    /// by the name of this machine for itself.
    pub fn of_listener(address: SocketAddr) -> Self {
        let port = address.port();
        let authority =
            if address.ip().is_unspecified() { format!("localhost:{port}") } else { address.to_string() };
        Self { origin: format!("http://{authority}"), is_https: false, port }
    }

    /// The host, without the port.
    pub fn host(&self) -> &str {
        let authority = self.origin.split_once("://").map_or("", |(_, authority)| authority);
        split_port(authority).map_or(authority, |(host, _)| host)
    }

    /// The URL without a trailing slash, which is also its Origin.
    pub fn as_str(&self) -> &str {
        &self.origin
    }

    /// Whether a Host field calls the same port of this machine by another name, when ours is one of this machine too.
    pub fn is_other_name_of(&self, host: &str) -> bool {
        let Some((name, port)) = split_port(host) else { return false };
        let is_ours = |host: &str| !self.is_https && is_loopback_host(host);
        is_ours(self.host()) && is_ours(name) && port.unwrap_or(80) == self.port && name != self.host()
    }

    /// Whether browsers reach the server over TLS.
    pub fn is_https(&self) -> bool {
        self.is_https
    }

    /// The port browsers use.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)
    }
}

/// What is wrong with a public URL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PublicUrlError {
    /// It starts with neither `https://` nor `http://`.
    Scheme,
    /// There is no host, or more than a host and a port.
    Authority,
    /// It is `http://` and not loopback: passwords and tokens would travel in clear text.
    PlainHttp,
}

impl fmt::Display for PublicUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "it has to start with https:// (or http:// for a loopback host)",
            Self::Authority => "it has to be a scheme, a host and perhaps a port, without a path",
            Self::PlainHttp => {
                "http:// is for loopback hosts only; use https:// and a proxy that terminates TLS, or, for development, \
                 say LATCHKEY_ALLOW_PLAIN_HTTP=yes"
            }
        })
    }
}

impl std::error::Error for PublicUrlError {}

/// Splits `host:port` or `[v6]:port`; the port may be missing, and `None` means it is no number.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => Some((host, Some(parse_port(port)?))),
        _ => Some((authority, None)),
    }
}

/// Whether this can be the value of a Host field: a host and perhaps a port, which may be empty (RFC 9110 §7.2,
/// RFC 3986 §3.2.3). Of the names that the RFCs allow, those with percent signs or separators are refused.
pub fn is_authority(text: &str) -> bool {
    host_and_port(text).is_some()
}

/// Whether two authorities name the same host and port, when none means `default_port` (RFC 9110 §4.2.3).
pub fn is_same_authority(one: &str, other: &str, default_port: u16) -> bool {
    let read = |text| host_and_port(text).map(|(host, port)| (host, port.unwrap_or(default_port)));
    match (read(one), read(other)) {
        (Some((host, port)), Some((other_host, other_port))) => {
            host.eq_ignore_ascii_case(other_host) && port == other_port
        }
        _ => false,
    }
}

fn host_and_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let authority = authority.strip_suffix(':').unwrap_or(authority);
    split_port(authority).filter(|(host, _)| is_host(host))
}

/// Reads a port: digits, and not 0.
fn parse_port(text: &str) -> Option<u16> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| is_number && *port != 0)
}

/// Whether this is a host as it stands in a URL: a name, an IPv4 address, or an IPv6 address in brackets.
fn is_host(host: &str) -> bool {
    match host.strip_prefix('[') {
        Some(bracketed) => {
            bracketed.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
        }
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b)),
    }
}

/// Whether a host name can only mean this machine.
pub fn is_loopback_host(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match bare.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// Whether a Host field can only mean this machine, which a rebound DNS name never does.
pub fn is_loopback_authority(host: &str) -> bool {
    split_port(host).is_some_and(|(name, _)| is_loopback_host(name))
}

/// The fields of a request that say where in a browser it came from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Provenance<'a> {
    /// `Sec-Fetch-Site`, which a page cannot forge.
    pub sec_fetch_site: Option<&'a str>,
    /// `Origin`.
    pub origin: Option<&'a str>,
    /// `Host`.
    pub host: Option<&'a str>,
}

/// Whether a request that may change something is acceptable from where it came.
///
/// Not only cookies need this: a cross-site log-in would put a victim into the attacker's account.
pub fn is_from_own_site(from: Provenance<'_>, public_url: &PublicUrl, allowed_origins: &[String]) -> bool {
    let is_listed = |origin: &str| allowed_origins.iter().any(|allowed| allowed == origin);
    match (from.sec_fetch_site, from.origin) {
        (Some("same-origin" | "none"), _) => true,
        (Some(_), origin) => origin.is_some_and(is_listed),
        (None, None) => true,
        (None, Some(origin)) => {
            origin == public_url.as_str() || is_loopback_origin_of(origin, from.host) || is_listed(origin)
        }
    }
}

/// Whether `origin` is the loopback host the request was sent to.
pub fn is_loopback_origin_of(origin: &str, host: Option<&str>) -> bool {
    let Some((host, authority)) = host.zip(origin.strip_prefix("http://")) else { return false };
    host == authority && is_loopback_authority(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(sec_fetch_site: Option<&str>, origin: Option<&str>) -> bool {
        let public_url = PublicUrl::parse("https://auth.example.com").unwrap();
        let from = Provenance { sec_fetch_site, origin, host: Some("auth.example.com") };
        is_from_own_site(from, &public_url, &["https://app.example.com".to_owned()])
    }

    #[test]
    fn sec_fetch_site_decides_when_it_is_there() {
        assert!(passes(Some("same-origin"), Some("https://auth.example.com")));
        assert!(passes(Some("none"), None));
        assert!(!passes(Some("same-site"), Some("https://auth.example.com")));
        assert!(!passes(Some("cross-site"), Some("https://evil.example")));
        assert!(!passes(Some("cross-site"), None));
        assert!(passes(Some("same-site"), Some("https://app.example.com")));
    }

    #[test]
    fn without_sec_fetch_site_no_origin_our_own_and_listed_ones_pass() {
        assert!(passes(None, None));
        assert!(passes(None, Some("https://auth.example.com")));
        assert!(passes(None, Some("https://app.example.com")));
        for origin in
            ["null", "", "http://auth.example.com", "https://auth.example.com:8443", "https://evil.example"]
        {
            assert!(!passes(None, Some(origin)), "{origin}");
        }
    }

    #[test]
    fn the_host_of_the_request_is_our_own_origin_on_loopback_only() {
        let public_url = PublicUrl::of_listener(([127, 0, 0, 1], 8080).into());
        let passes = |origin, host| {
            let from = Provenance { sec_fetch_site: None, origin: Some(origin), host: Some(host) };
            is_from_own_site(from, &public_url, &[])
        };
        assert!(passes("http://localhost:8080", "localhost:8080"));
        assert!(passes("http://[::1]:8080", "[::1]:8080"));
        assert!(!passes("http://localhost:9999", "localhost:8080"));
        assert!(!passes("http://rebound.example:8080", "rebound.example:8080"));
    }

    #[test]
    fn a_plain_url_of_another_host_is_one_for_whoever_allows_it() {
        let url = PublicUrl::parse_also_plain("http://dev.example:8080").unwrap();
        assert_eq!(
            (url.as_str(), url.host(), url.is_https()),
            ("http://dev.example:8080", "dev.example", false)
        );
        assert_eq!(PublicUrl::parse_also_plain("http://a/b"), Err(PublicUrlError::Authority));
        assert_eq!(PublicUrl::parse("https://[::1]:8443").unwrap().host(), "[::1]");
    }

    #[test]
    fn names_of_this_machine_with_the_same_port_are_other_names_of_it() {
        let url = PublicUrl::parse("http://localhost:8088").unwrap();
        for other in ["127.0.0.1:8088", "[::1]:8088", "127.1.2.3:8088"] {
            assert!(url.is_other_name_of(other), "{other}");
        }
        for not in ["localhost:8088", "127.0.0.1:8080", "127.0.0.1", "auth.example.com:8088", ":8088", "a:b"]
        {
            assert!(!url.is_other_name_of(not), "{not}");
        }
        assert!(!PublicUrl::parse("https://localhost:8088").unwrap().is_other_name_of("127.0.0.1:8088"));
        assert!(
            !PublicUrl::parse("https://auth.example.com:8088").unwrap().is_other_name_of("127.0.0.1:8088")
        );
    }

    #[test]
    fn a_server_that_listens_everywhere_is_called_localhost() {
        assert_eq!(PublicUrl::of_listener(([0, 0, 0, 0], 8080).into()).as_str(), "http://localhost:8080");
        assert_eq!(PublicUrl::of_listener(([127, 0, 0, 1], 8080).into()).as_str(), "http://127.0.0.1:8080");
    }

    #[test]
    fn an_authority_is_a_host_and_perhaps_a_port() {
        for good in
            ["a", "A.b-c_d", "127.0.0.1:8080", "[::1]", "[::1]:8080", "a:", "a:80", "a:00080", "[::1]:"]
        {
            assert!(is_authority(good), "{good}");
        }
        for bad in [
            "",
            ":",
            ":80",
            "a:80x",
            "a:0",
            "a:65536",
            "a:-1",
            "a:+1",
            "a:8 0",
            "a::",
            "a:b:80",
            "::1",
            "[::1",
            "::1]",
            "[]",
            "[::1]80",
            "[::1%25lo]",
            "[::1]x:80",
            "[v1.a]",
            "user@a",
            "user:pw@a:80",
            "a b",
            " a",
            "a/",
            "a?",
            "a#",
            "a,b",
            "a%2eb",
            "a\t",
            "\u{e4}",
            "[a]",
            "[127.0.0.1]",
        ] {
            assert!(!is_authority(bad), "{bad:?}");
        }
    }

    #[test]
    fn authorities_are_the_same_whatever_their_case_and_with_or_without_the_schemes_port() {
        let is_same = |one, other| is_same_authority(one, other, 80);
        assert!(is_same("Auth.Example", "auth.example") && is_same("a:80", "a") && is_same("a:", "a:080"));
        for (one, other) in [("a", "b"), ("a:81", "a"), ("a:80", "a:81"), ("user@a", "a"), ("", "")] {
            assert!(!is_same(one, other), "{one} {other}");
        }
    }

    #[test]
    fn public_urls_are_https_or_loopback_and_have_no_path() {
        let origin = |text| PublicUrl::parse(text).map(|url| url.as_str().to_owned());
        assert_eq!(origin("https://Auth.Example.com:443/").unwrap(), "https://auth.example.com");
        assert_eq!(origin("https://auth.example.com:8443").unwrap(), "https://auth.example.com:8443");
        assert_eq!(origin("http://localhost:8080").unwrap(), "http://localhost:8080");
        assert_eq!(origin("http://[::1]:8080").unwrap(), "http://[::1]:8080");
        assert_eq!(origin("http://auth.example.com"), Err(PublicUrlError::PlainHttp));
        assert_eq!(origin("auth.example.com"), Err(PublicUrlError::Scheme));
        for bad in [
            "https://",
            "https://a/b",
            "https://a:b",
            "https://user@a",
            "https://a:70000",
            "https://a?b",
            "https://a:b:c:80",
            "https://[zz]",
            "http://::1:80",
            "https://a:+80",
            "https://a:0",
        ] {
            assert_eq!(origin(bad), Err(PublicUrlError::Authority), "{bad}");
        }
    }
}
