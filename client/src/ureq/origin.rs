//! Where tokens may go: one origin, over TLS unless it is this very machine.

use std::fmt;
use std::net::IpAddr;

use ::ureq::http::Uri;

/// Scheme, host and port of the server that was signed in to (RFC 6454). Tokens go there and nowhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    secure: bool,
    /// In lower case; an IPv6 address in brackets.
    host: String,
    port: u16,
}

/// An address that no token is sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressError {
    /// Not an absolute `http` or `https` address, or one with a name and password in it.
    Malformed,
    /// The address to sign in to has a path of its own.
    NotAnOrigin,
    /// Plain http to another machine: whoever listens would read the tokens.
    PlainHttp,
    /// `https`, but the program was built without the feature `tls`.
    TlsNotBuiltIn,
    /// Not the origin that was signed in to.
    OtherOrigin,
}

impl Origin {
    /// Reads the address of a server: `http://127.0.0.1:8080`, `https://auth.example`.
    ///
    /// # Errors
    /// [`AddressError`] when it is more or less than an origin, or one that tokens must not go to.
    pub fn parse(address: &str) -> Result<Self, AddressError> {
        let uri: Uri = address.parse().map_err(|_| AddressError::Malformed)?;
        let origin = Self::of(&uri)?;
        match uri.path_and_query().map(|path| path.as_str()) {
            None | Some("/") => Ok(origin),
            Some(_) => Err(AddressError::NotAnOrigin),
        }
    }

    /// The full address of `target`, which is a path at this origin or a full address of it.
    ///
    /// # Errors
    /// [`AddressError::OtherOrigin`] when the token must not go there, [`AddressError::Malformed`] when it is
    /// no address.
    pub(super) fn resolve(&self, target: &str) -> Result<Uri, AddressError> {
        let address = match target {
            path if path.starts_with("//") => return Err(AddressError::OtherOrigin),
            path if path.starts_with('/') => format!("{self}{path}"),
            full if full.contains("://") => full.to_owned(),
            relative => format!("{self}/{relative}"),
        };
        let uri: Uri = address.parse().map_err(|_| AddressError::Malformed)?;
        // Judged on what was parsed, never on the text: this line is what keeps the token at home.
        if Self::of(&uri)? == *self { Ok(uri) } else { Err(AddressError::OtherOrigin) }
    }

    /// Whether this build can speak to the origin.
    ///
    /// # Errors
    /// [`AddressError::TlsNotBuiltIn`] for https without the feature `tls`.
    pub fn check_reachable(&self) -> Result<(), AddressError> {
        if self.secure && !cfg!(feature = "tls") { Err(AddressError::TlsNotBuiltIn) } else { Ok(()) }
    }

    fn of(uri: &Uri) -> Result<Self, AddressError> {
        let authority = uri.authority().ok_or(AddressError::Malformed)?;
        if authority.as_str().contains('@') {
            return Err(AddressError::Malformed);
        }
        let (secure, default_port) = match uri.scheme_str() {
            Some("https") => (true, 443),
            Some("http") => (false, 80),
            _ => return Err(AddressError::Malformed),
        };
        let host = authority.host().to_ascii_lowercase();
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            // `http://host:` and `http://host:99999` leave a colon behind that is no port.
            None if authority.as_str().len() != host.len() => return Err(AddressError::Malformed),
            None => default_port,
        };
        match host.as_str() {
            "" => Err(AddressError::Malformed),
            host if !secure && !is_loopback(host) => Err(AddressError::PlainHttp),
            _ => Ok(Self { secure, host, port }),
        }
    }
}

/// Only names that every resolver must keep on the machine (RFC 6761 §6.3), and addresses that cannot leave
/// it.
fn is_loopback(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, default_port) = if self.secure { ("https", 443) } else { ("http", 80) };
        write!(f, "{scheme}://{}", self.host)?;
        if self.port == default_port { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => {
                "not an address: write http://127.0.0.1:8080, https://host, or a path like /api/me"
            }
            Self::NotAnOrigin => "sign in with the address of the server alone, without a path",
            Self::PlainHttp => "plain http is for this machine only: use https to reach another one",
            Self::TlsNotBuiltIn => "this build cannot speak https: build it with the feature `tls`",
            Self::OtherOrigin => "not the server that was signed in to: the token is not sent there",
        })
    }
}

impl std::error::Error for AddressError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(address: &str) -> Origin {
        Origin::parse(address).unwrap()
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        for (address, printed) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://LOCALHOST:80/", "http://localhost"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("https://Auth.Example:443", "https://auth.example"),
            ("HTTPS://auth.example:8443", "https://auth.example:8443"),
        ] {
            assert_eq!(origin(address).to_string(), printed);
            assert_eq!(origin(printed), origin(address));
        }
    }

    #[test]
    fn what_is_not_an_origin_is_refused() {
        for address in [
            "",
            "localhost",
            "/api",
            "ftp://localhost",
            "http://",
            "http:///x",
            "http://user@localhost",
            "http://user:secret@localhost",
            "http://localhost:",
            "http://localhost:99999",
            "http://local host",
            "http://localhost:8080@evil.example",
            "javascript://localhost",
        ] {
            assert_eq!(Origin::parse(address), Err(AddressError::Malformed), "{address}");
        }
        for address in ["http://localhost/auth", "http://localhost/?a", "https://auth.example/x"] {
            assert_eq!(Origin::parse(address), Err(AddressError::NotAnOrigin), "{address}");
        }
    }

    #[test]
    fn plain_http_is_for_loopback_only() {
        for address in ["http://127.0.0.1", "http://127.9.9.9:1", "http://[::1]", "http://localhost"] {
            assert!(Origin::parse(address).is_ok(), "{address}");
        }
        for address in [
            "http://auth.example",
            "http://192.168.1.1",
            "http://0.0.0.0",
            "http://[::]",
            "http://127.1",
            "http://localhost.",
            "http://localhost.evil.example",
            "http://127.0.0.1.evil.example",
            "http://2130706433",
        ] {
            assert_eq!(Origin::parse(address), Err(AddressError::PlainHttp), "{address}");
        }
    }

    #[test]
    fn a_target_stays_at_the_origin() {
        let home = origin("http://127.0.0.1:8080");
        for (target, address) in [
            ("/api/me", "http://127.0.0.1:8080/api/me"),
            ("api/me", "http://127.0.0.1:8080/api/me"),
            ("/api?q=http://evil.example", "http://127.0.0.1:8080/api?q=http://evil.example"),
            ("http://127.0.0.1:8080/api/me", "http://127.0.0.1:8080/api/me"),
            ("evil.example/x", "http://127.0.0.1:8080/evil.example/x"),
            ("@evil.example/x", "http://127.0.0.1:8080/@evil.example/x"),
        ] {
            assert_eq!(home.resolve(target).unwrap().to_string(), address);
        }
    }

    #[test]
    fn a_target_elsewhere_is_refused() {
        let home = origin("http://127.0.0.1:8080");
        for target in [
            "//evil.example/x",
            "http://127.0.0.1:8081/",
            "http://127.0.0.1/",
            "https://127.0.0.1:8080/",
            "http://localhost:8080/",
            "https://evil.example/",
        ] {
            assert_eq!(home.resolve(target), Err(AddressError::OtherOrigin), "{target}");
        }
        for target in ["http://127.0.0.1:8080@evil.example/", "ftp://127.0.0.1:8080/", "/a b", "/a\r\nX: y"] {
            assert_eq!(home.resolve(target), Err(AddressError::Malformed), "{target}");
        }
        assert_eq!(home.resolve("http://evil.example/"), Err(AddressError::PlainHttp));
    }

    #[test]
    fn https_needs_its_feature() {
        let reachable = origin("https://auth.example").check_reachable();
        assert_eq!(reachable.is_ok(), cfg!(feature = "tls"));
        assert_eq!(origin("http://localhost").check_reachable(), Ok(()));
    }
}
