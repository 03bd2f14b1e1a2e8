//! The values of settings, read from texts; what is wrong with one is said in words.

use std::net::SocketAddr;

use log::LevelFilter;

use super::TOKEN_TEXT_LEN_MAX;
use crate::gate::TrustedProxies;
use crate::hasher::Profile;
use crate::site::{PublicUrl, PublicUrlError};

/// Listening where others can reach us takes an https public URL: that is how the administrator says that a proxy
/// terminates TLS. Or it takes a word that clear text is wanted.
pub(super) fn listen_address(text: &str, off_loopback: bool) -> Result<SocketAddr, String> {
    let address: SocketAddr = text
        .parse()
        .map_err(|_| "it has to be an IP address and a port, such as 127.0.0.1:8080".to_owned())?;
    if !address.ip().is_loopback() && !off_loopback {
        return Err(
            "off loopback, passwords would travel in clear text; put a reverse proxy that terminates TLS in front, \
             and set LATCHKEY_PUBLIC_URL to the https:// address it has, or, for development, say \
             LATCHKEY_ALLOW_PLAIN_HTTP=yes"
                .to_owned(),
        );
    }
    Ok(address)
}

pub(super) fn networks(text: &str) -> Result<TrustedProxies, String> {
    TrustedProxies::parse(text).map_err(|entry| format!("`{entry}` is neither an address nor a network"))
}

pub(super) fn token_text(text: &str) -> Result<String, String> {
    if text.len() > TOKEN_TEXT_LEN_MAX {
        return Err(format!("it has more than {TOKEN_TEXT_LEN_MAX} bytes"));
    }
    Ok(text.to_owned())
}

pub(super) fn origins(
    text: &str,
    read_url: impl Fn(&str) -> Result<PublicUrl, PublicUrlError>,
) -> Result<Vec<String>, String> {
    text.split(',')
        .map(|origin| match read_url(origin.trim()) {
            Ok(url) => Ok(url.as_str().to_owned()),
            Err(error) => Err(format!("`{}` is no origin: {error}", origin.trim())),
        })
        .collect()
}

pub(super) fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("it has to be `yes` or `no`".to_owned()),
    }
}

pub(super) fn log_level(text: &str) -> Result<LevelFilter, String> {
    text.parse().map_err(|_| "it has to be error, warn, info, debug, trace or off".to_owned())
}

pub(super) fn profile(text: &str) -> Result<Profile, String> {
    match text {
        "standard" => Ok(Profile::Standard),
        "low-memory" => Ok(Profile::LowMemory),
        _ => Err("it has to be `standard` or `low-memory`".to_owned()),
    }
}

pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(64))
}
