//! What an administrator is likely to have got wrong, going by the settings alone: `serve` logs it at start, and `check`
//! prints it. What only requests show is in [`notices`](crate::notices).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::settings::{Given, Settings};
use crate::site::{PublicUrl, is_loopback_host};

/// A grace period should exceed the life of a request: 10 s for an attempt and 5 s in the server.
const GRACE_ADVISED_SECS: u64 = 15;

/// How much it matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// Good to know.
    Note,
    /// Something does not work, or is not safe.
    Warning,
}

/// Something that was found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// How much it matters.
    pub weight: Weight,
    /// What it is, and what to do.
    pub text: String,
}

impl Finding {
    fn warning(text: impl Into<String>) -> Self {
        Self { weight: Weight::Warning, text: text.into() }
    }

    fn note(text: impl Into<String>) -> Self {
        Self { weight: Weight::Note, text: text.into() }
    }

    /// Tells the log.
    pub fn log(&self) {
        match self.weight {
            Weight::Warning => log::warn!("{}", self.text),
            Weight::Note => log::info!("{}", self.text),
        }
    }
}

/// Everything that the settings show, warnings first.
pub fn findings(given: &Given, settings: &Settings) -> Vec<Finding> {
    let mut found: Vec<_> = [
        missing_proxy(settings),
        trusted_everybody(settings),
        plain_http(settings),
        short_grace(settings),
        idle_life(settings),
        unheard_port(given, settings),
        ignored_variables(given),
    ]
    .into_iter()
    .flatten()
    .chain(origins_of_other_sites(settings))
    .collect();
    found.sort_by_key(|finding| finding.weight == Weight::Note);
    found
}

/// This server speaks no TLS, so an https URL means that there is a proxy.
fn missing_proxy(settings: &Settings) -> Option<Finding> {
    let url = settings.public_url.as_ref().filter(|url| url.is_https())?;
    (settings.trusted_proxies.is_empty()).then(|| {
        Finding::warning(format!(
            "LATCHKEY_PUBLIC_URL is {url}, so a proxy stands in front, and LATCHKEY_TRUSTED_PROXIES names none: all \
             clients count as one address, and 20 log-ins that fail make everybody wait; set it to the proxy's address, \
             such as 127.0.0.1"
        ))
    })
}

fn trusted_everybody(settings: &Settings) -> Option<Finding> {
    let anybody: [IpAddr; 2] =
        [Ipv4Addr::new(203, 0, 113, 1).into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into()];
    let trusts = anybody.iter().any(|address| settings.trusted_proxies.contain(*address));
    trusts.then(|| {
        Finding::warning(
            "LATCHKEY_TRUSTED_PROXIES holds addresses of strangers: whoever has one of them can pose as any address, and \
             guess passwords without waiting; list the proxies alone",
        )
    })
}

fn plain_http(settings: &Settings) -> Option<Finding> {
    settings.allow_plain_http.then(|| {
        Finding::warning(
            "LATCHKEY_ALLOW_PLAIN_HTTP=yes: passwords and tokens may travel in clear text, and the refresh cookie goes \
             out without Secure; for development only",
        )
    })
}

fn short_grace(settings: &Settings) -> Option<Finding> {
    let grace_secs = settings.policy.grace_secs;
    (grace_secs < GRACE_ADVISED_SECS).then(|| {
        Finding::warning(format!(
            "LATCHKEY_GRACE_SECS={grace_secs} is shorter than a request may live ({GRACE_ADVISED_SECS} s): tabs that \
             refresh at the same time without sharing a retry key may be signed out"
        ))
    })
}

fn idle_life(settings: &Settings) -> Option<Finding> {
    let (inactivity, lifetime) = (settings.policy.inactivity_secs, settings.policy.lifetime_secs);
    (inactivity > lifetime).then(|| {
        Finding::note(format!(
            "LATCHKEY_SESSION_INACTIVITY_SECS={inactivity} has no effect: no session lives longer than \
             LATCHKEY_SESSION_LIFETIME_SECS={lifetime}"
        ))
    })
}

fn unheard_port(given: &Given, settings: &Settings) -> Option<Finding> {
    let port = given.unheard_port().filter(|port| *port != settings.listen.port().to_string())?;
    let port: u16 = port.parse().ok()?;
    Some(Finding::note(format!(
        "PORT={port} is not read; if the platform asks to listen there, say LATCHKEY_LISTEN=0.0.0.0:{port}"
    )))
}

fn ignored_variables(given: &Given) -> Option<Finding> {
    let names = given.ignored();
    (!names.is_empty()).then(|| {
        Finding::note(format!("not settings, but variables that an orchestrator sets: {}", names.join(", ")))
    })
}

/// Browsers keep a SameSite=Strict cookie only when page and server are of one site.
fn origins_of_other_sites(settings: &Settings) -> Vec<Finding> {
    let listener = PublicUrl::of_listener(settings.listen);
    let ours = settings.public_url.as_ref().unwrap_or(&listener);
    let listed =
        settings.allowed_origins.iter().filter_map(|origin| PublicUrl::parse_also_plain(origin).ok());
    listed
        .filter(|origin| is_certainly_another_site(origin, ours))
        .map(|origin| {
            Finding::warning(format!(
                "LATCHKEY_ALLOWED_ORIGINS holds {origin}, which is another site than {ours}: browsers do not keep the \
                 refresh cookie for its pages, and log-ins there last as long as an access token; give both hosts of one \
                 domain, or of this machine the same name"
            ))
        })
        .collect()
}

/// Whether two origins are of different sites, as far as can be told without a list of public suffixes: another scheme, or
/// hosts that share less than two labels.
fn is_certainly_another_site(one: &PublicUrl, other: &PublicUrl) -> bool {
    let (one_host, other_host) = (one.host(), other.host());
    let is_address = |host: &str| host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok();
    let is_named = |host: &str| !is_address(host) && !is_loopback_host(host);
    let domain = |host: &str| host.rsplit('.').take(2).map(str::to_owned).collect::<Vec<_>>();
    let may_share = is_named(one_host) && is_named(other_host) && domain(one_host) == domain(other_host);
    one.is_https() != other.is_https() || one_host != other_host && !may_share
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn found(variables: &[(&str, &str)]) -> Vec<Finding> {
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
        let given = Given::gather([], variables, Path::new("/nowhere/.env")).unwrap();
        findings(&given, &given.resolve().unwrap())
    }

    #[track_caller]
    fn assert_found(variables: &[(&str, &str)], weight: Weight, text: &str) {
        let found = found(variables);
        let finding = found.iter().find(|finding| finding.text.contains(text));
        assert_eq!(finding.map(|finding| finding.weight), Some(weight), "{found:?}");
    }

    const HTTPS: (&str, &str) = ("LATCHKEY_PUBLIC_URL", "https://auth.example.com");
    const PROXY: (&str, &str) = ("LATCHKEY_TRUSTED_PROXIES", "127.0.0.1, ::1, 10.0.0.0/8");

    #[test]
    fn the_defaults_and_a_sound_installation_show_nothing() {
        assert_eq!(found(&[]), []);
        let origins = ("LATCHKEY_ALLOWED_ORIGINS", "https://app.example.com,https://example.com:8443");
        assert_eq!(found(&[HTTPS, PROXY, origins]), []);
    }

    #[test]
    fn an_https_url_without_a_trusted_proxy_is_a_warning() {
        assert_found(&[HTTPS], Weight::Warning, "LATCHKEY_TRUSTED_PROXIES names none");
    }

    #[test]
    fn trusting_everybody_is_a_warning_and_trusting_a_private_network_is_not() {
        for everybody in ["0.0.0.0/0", "10.0.0.1,::/0", "128.0.0.0/1"] {
            assert_found(
                &[("LATCHKEY_TRUSTED_PROXIES", everybody)],
                Weight::Warning,
                "addresses of strangers",
            );
        }
        assert_eq!(found(&[("LATCHKEY_TRUSTED_PROXIES", "10.0.0.0/8,192.168.0.0/16,fd00::/8")]), []);
    }

    #[test]
    fn plain_http_that_is_allowed_is_a_warning() {
        assert_found(&[("LATCHKEY_ALLOW_PLAIN_HTTP", "yes")], Weight::Warning, "clear text");
        assert_eq!(found(&[("LATCHKEY_ALLOW_PLAIN_HTTP", "no")]), []);
    }

    #[test]
    fn a_short_grace_period_is_a_warning() {
        assert_found(&[("LATCHKEY_GRACE_SECS", "14")], Weight::Warning, "may be signed out");
        assert_eq!(found(&[("LATCHKEY_GRACE_SECS", "15")]), []);
    }

    #[test]
    fn an_idle_life_beyond_the_whole_life_is_a_note() {
        let idle = ("LATCHKEY_SESSION_INACTIVITY_SECS", "61");
        assert_found(&[idle, ("LATCHKEY_SESSION_LIFETIME_SECS", "60")], Weight::Note, "has no effect");
        assert_eq!(found(&[idle, ("LATCHKEY_SESSION_LIFETIME_SECS", "61")]), []);
    }

    #[test]
    fn a_port_that_the_platform_asks_for_is_a_note() {
        assert_found(&[("PORT", "5000")], Weight::Note, "LATCHKEY_LISTEN=0.0.0.0:5000");
        assert_eq!(found(&[("PORT", "8080")]), [], "it is listened on anyway");
        assert_eq!(found(&[("PORT", "tcp://x")]), []);
    }

    #[test]
    fn ignored_variables_are_a_note_that_names_them() {
        let variables = [("LATCHKEY_SERVICE_HOST", "10.0.0.1"), ("LATCHKEY_PORT", "tcp://10.0.0.1:80")];
        assert_found(&variables, Weight::Note, "LATCHKEY_PORT, LATCHKEY_SERVICE_HOST");
    }

    #[test]
    fn a_listed_origin_that_is_certainly_of_another_site_is_a_warning() {
        let listed = |origin| ("LATCHKEY_ALLOWED_ORIGINS", origin);
        for origin in ["http://localhost:3000", "http://[::1]:3000", "https://127.0.0.1:3000"] {
            assert_found(&[listed(origin)], Weight::Warning, "another site than http://127.0.0.1:8080");
        }
        assert_eq!(found(&[listed("http://127.0.0.1:3000")]), []);
        for origin in ["https://app.example.org", "https://localhost", "https://192.0.2.1"] {
            assert_found(&[HTTPS, PROXY, listed(origin)], Weight::Warning, "another site");
        }
    }

    #[test]
    fn warnings_come_first() {
        let weights: Vec<_> =
            found(&[("PORT", "5000"), HTTPS]).iter().map(|finding| finding.weight).collect();
        assert_eq!(weights, [Weight::Warning, Weight::Note]);
    }
}
