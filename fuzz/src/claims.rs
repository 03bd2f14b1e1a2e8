//! Claims of a fuzzer's choosing, and claims as somebody's own type.

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use serde::Deserialize;
use token_core::{Claims, NewClaims};

/// Any claims.
#[derive(Arbitrary, Debug, PartialEq, Eq)]
pub struct AnyClaims<'a> {
    /// `exp`, `nbf` and `iat`.
    pub times: (u64, Option<u64>, Option<u64>),
    /// Issuer, subject, audience, id, session and role.
    pub names: [Option<&'a str>; 6],
}

impl<'a> AnyClaims<'a> {
    /// As they are signed.
    pub fn to_sign(&self) -> NewClaims<'a> {
        let (expires_at, not_before, issued_at) = self.times;
        let [issuer, subject, audience, id, session, role] = self.names;
        NewClaims { issuer, subject, audience, expires_at, not_before, issued_at, id, session, role }
    }

    /// Those that were verified.
    pub fn of(read: &'a Claims<'_>) -> Self {
        let audience = read.audiences().next();
        let (id, session, role) = (read.id(), read.session(), read.role());
        Self {
            times: (read.expires_at(), read.not_before(), read.issued_at()),
            names: [read.issuer(), read.subject(), audience, id, session, role],
        }
    }
}

/// Claims of one's own, read after the strict reader has passed them.
#[derive(Deserialize, PartialEq, Eq, Debug)]
pub struct Own {
    pub exp: u64,
    #[serde(default)]
    pub sub: Option<String>,
}
