//! The one secret and the one set of claims that every candidate signs and verifies.

use serde::{Deserialize, Serialize};

pub(crate) const SECRET: &[u8; 32] = b"a benchmark's secret of 32 bytes";

pub(crate) const ISSUER: &str = "https://id.example";
pub(crate) const SUBJECT: &str = "user-8f14e45f";
pub(crate) const AUDIENCE: &str = "door-lock";
pub(crate) const ID: &str = "4c8f2d2e9b1a7f3355d0c6b80e6f91a7";
pub(crate) const ISSUED_AT: u64 = 1_700_000_000;
/// In the year 2096: two of the candidates read the clock themselves.
pub(crate) const EXPIRES_AT: u64 = 4_000_000_000;
/// For the candidates that are told the time.
pub(crate) const NOW: u64 = 1_800_000_000;

pub(crate) const PAYLOAD_LEN: usize = 143;
/// `{"alg":"HS256","typ":"JWT"}` becomes 36 characters, the payload 191, the tag 43; and there are two dots.
pub(crate) const TOKEN_LEN: usize = 272;

/// The claims for the candidates that leave all of them to serde.
#[derive(Serialize, Deserialize)]
pub(crate) struct Claims<S> {
    pub(crate) exp: u64,
    pub(crate) iss: S,
    pub(crate) sub: S,
    pub(crate) aud: S,
    pub(crate) iat: u64,
    pub(crate) jti: S,
}

impl Claims<&'static str> {
    pub(crate) fn to_sign() -> Self {
        Claims { exp: EXPIRES_AT, iss: ISSUER, sub: SUBJECT, aud: AUDIENCE, iat: ISSUED_AT, jti: ID }
    }
}

/// The claims for a candidate that has places of its own for the times.
#[derive(Serialize, Deserialize)]
pub(crate) struct ClaimsWithoutTimes<S> {
    pub(crate) iss: S,
    pub(crate) sub: S,
    pub(crate) aud: S,
    pub(crate) jti: S,
}

impl ClaimsWithoutTimes<&'static str> {
    pub(crate) fn to_sign() -> Self {
        ClaimsWithoutTimes { iss: ISSUER, sub: SUBJECT, aud: AUDIENCE, jti: ID }
    }
}
