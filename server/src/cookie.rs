//! The refresh cookie: its name, the field that sets or clears it, and reading it back strictly.

use crate::site::PublicUrl;

/// How the refresh cookie is called and set.
///
/// Over https the `__Host-` prefix keeps other hosts of the domain from planting one (RFC 6265bis §4.1.3.2).
/// Safari refuses that prefix over http. Cookies ignore ports, so the port is in the name, but for that of https itself:
/// two servers on one host would otherwise take each other's cookie.
#[derive(Clone, Debug)]
pub struct RefreshCookie {
    name: String,
    attributes: &'static str,
}

/// The cookie was sent twice, so one of them is not ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Doubled;

impl RefreshCookie {
    /// The cookie of a server with this public URL.
    pub fn new(public_url: &PublicUrl) -> Self {
        if public_url.is_https() {
            Self {
                name: match public_url.port() {
                    443 => "__Host-latchkey".to_owned(),
                    port => format!("__Host-latchkey-{port}"),
                },
                attributes: "Secure; HttpOnly; SameSite=Strict; Path=/",
            }
        } else {
            Self {
                name: format!("latchkey-dev-{}", public_url.port()),
                attributes: "HttpOnly; SameSite=Strict; Path=/",
            }
        }
    }

    /// The value of a `Set-Cookie` field for `token`.
    pub fn set(&self, token: &str, max_age_secs: u64) -> String {
        format!("{}={token}; Max-Age={max_age_secs}; {}", self.name, self.attributes)
    }

    /// The value of a `Set-Cookie` field that removes the cookie.
    pub fn clear(&self) -> String {
        self.set("", 0)
    }

    /// The cookie's value in the `Cookie` fields of a request (RFC 6265 §4.2); a value that is no ASCII is as good as
    /// an empty one.
    ///
    /// # Errors
    /// [`Doubled`] when it is there more than once: which one is ours cannot be told.
    pub fn find<'a>(&self, fields: impl IntoIterator<Item = &'a [u8]>) -> Result<Option<&'a str>, Doubled> {
        let mut found = None;
        for pair in fields.into_iter().flat_map(|field| field.split(|&byte| byte == b';')) {
            let pair = pair.trim_ascii();
            let Some((name, value)) = pair.iter().position(|&byte| byte == b'=').map(|at| pair.split_at(at))
            else {
                continue;
            };
            let value = Some(&value[1..]).filter(|value| value.is_ascii()).map(str::from_utf8);
            let value = value.and_then(Result::ok).unwrap_or_default();
            if name == self.name.as_bytes() && found.replace(value).is_some() {
                return Err(Doubled);
            }
        }
        Ok(found)
    }

    /// The cookie as a browser sends it.
    pub fn sent(&self, value: &str) -> String {
        format!("{}={value}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn https() -> RefreshCookie {
        RefreshCookie::new(&PublicUrl::parse("https://auth.example.com").unwrap())
    }

    fn find<'a>(fields: &[&'a str]) -> Result<Option<&'a str>, Doubled> {
        https().find(fields.iter().map(|field| field.as_bytes()))
    }

    #[test]
    fn over_https_the_cookie_is_bound_to_host_and_tls() {
        let set = https().set("TOKEN", 60);
        assert_eq!(set, "__Host-latchkey=TOKEN; Max-Age=60; Secure; HttpOnly; SameSite=Strict; Path=/");
    }

    #[test]
    fn two_servers_on_one_host_have_a_cookie_each() {
        let name = |url| RefreshCookie::new(&PublicUrl::parse(url).unwrap()).sent("");
        assert_eq!(name("https://auth.example.com:443"), "__Host-latchkey=");
        assert_eq!(name("https://auth.example.com:8443"), "__Host-latchkey-8443=");
        assert_eq!(name("https://auth.example.com:8444"), "__Host-latchkey-8444=");
    }

    #[test]
    fn over_http_the_port_is_in_the_name() {
        let cookie = RefreshCookie::new(&PublicUrl::parse("http://localhost:8123").unwrap());
        assert_eq!(cookie.clear(), "latchkey-dev-8123=; Max-Age=0; HttpOnly; SameSite=Strict; Path=/");
    }

    #[test]
    fn only_the_name_in_force_is_read() {
        let fields = ["a=1; latchkey-dev-443=dev;__Host-latchkey=ours; __host-latchkey=other; b", "c=2"];
        assert_eq!(find(&fields), Ok(Some("ours")));
        assert_eq!(find(&["a=1", "x__Host-latchkey=no"]), Ok(None));
    }

    /// Werkzeug read a name from the value of a cookie without one (CVE-2023-23934), and Rack decoded names
    /// (CVE-2020-8184), so that neighbours could plant a cookie whose prefix browsers guard.
    #[test]
    fn a_cookie_without_a_name_or_with_an_encoded_one_is_not_ours() {
        assert_eq!(find(&["=__Host-latchkey=planted; __Host-latchkey=ours"]), Ok(Some("ours")));
        let planted =
            ["%5F_Host-latchkey=a", "\"__Host-latchkey\"=b", "__Host-latchkey", "$__Host-latchkey=c"];
        assert_eq!(find(&planted), Ok(None));
    }

    #[test]
    fn what_is_sent_is_what_is_found() {
        assert_eq!(https().sent("TOKEN"), "__Host-latchkey=TOKEN");
        assert_eq!(find(&[&https().sent("TOKEN")]), Ok(Some("TOKEN")));
    }

    #[test]
    fn other_cookies_may_be_any_bytes_and_ours_none_but_ascii() {
        let fields = [b"other=\xff\xfe; __Host-latchkey=ours".as_slice()];
        assert_eq!(https().find(fields), Ok(Some("ours")));
        assert_eq!(https().find([b"__Host-latchkey=\xc3\xa4".as_slice()]), Ok(Some("")));
    }

    #[test]
    fn a_doubled_cookie_is_refused_also_across_fields_and_with_equal_values() {
        assert_eq!(find(&["__Host-latchkey=1; __Host-latchkey=1"]), Err(Doubled));
        assert_eq!(find(&["__Host-latchkey=1", "__Host-latchkey=2"]), Err(Doubled));
    }
}
