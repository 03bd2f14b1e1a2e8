//! What the fuzz targets share: a key, a time, room for the longest token, and readers too plain to be wrong.

pub mod claims;
pub mod commands;
pub mod json;
pub mod lane;
pub mod log_in;
pub mod plain_http;
pub mod plain_site;
pub mod server;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use latchkey::cookie::RefreshCookie;
use latchkey::site::PublicUrl;
use sha2::Sha256;
use token_core::{Key, TOKEN_LEN_MAX};

pub const SECRET: &[u8; 32] = b"a fuzzing secret, 32 bytes long.";
pub const NOW: u64 = 1_800_000_000;

/// No token, no payload and no document in a token is longer.
pub const ROOM: usize = TOKEN_LEN_MAX;

/// A key without `kid`, so that its header is short and always the same.
pub fn key() -> Key {
    Key::new(SECRET).expect("a secret of 32 bytes is long enough")
}

/// A token of these claims, whatever they are, with the plain header and the key's secret: `sign_payload` refuses claims.
pub fn forge(claims: &[u8]) -> String {
    let encoded = Base64UrlUnpadded::encode_string(claims);
    let signing_input = format!("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.{encoded}");
    let keyed = Hmac::<Sha256>::new_from_slice(SECRET).expect("HMAC accepts keys of any length");
    let tag = keyed.chain_update(&signing_input).finalize().into_bytes();
    format!("{signing_input}.{}", Base64UrlUnpadded::encode_string(&tag))
}

/// The refresh cookie of a server on loopback, whose name is the longer one.
pub fn cookie() -> RefreshCookie {
    RefreshCookie::new(&PublicUrl::parse(server::ORIGIN).expect("it is a loopback URL"))
}
