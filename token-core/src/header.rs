//! The JOSE header (RFC 7515 §4) of a token that was not written the way our own keys write it.

use core::str;

use crate::json::{Fault, Object};
use crate::verify::VerifyError;

/// Types are registered below `application/`, and the prefix is usually left out (RFC 7515 §4.1.9).
const TYPE_PREFIX: &str = "application/";

/// Members of three letters that ask for something else than what we do.
///
/// Keys come from the caller and never from the token (RFC 8725 §3.10). A token inside the token, compression,
/// encryption: all of them change what the payload is.
const FORBIDDEN: [[u8; 3]; 8] = [*b"jwk", *b"jku", *b"x5u", *b"x5c", *b"x5t", *b"cty", *b"zip", *b"enc"];

/// What of the header chooses the key and names the type. The algorithm is not here: there is only one.
#[derive(Debug)]
pub(crate) struct Header<'a> {
    pub(crate) typ: Option<&'a str>,
    pub(crate) kid: Option<&'a str>,
}

/// Reads a decoded header strictly.
///
/// A member nobody here knows is ignored, as RFC 7515 §4 says. A member that asks for something else than what we do
/// is refused by name: to ignore it would be to accept a token on other terms than its issuer's.
pub(crate) fn read(json: &mut [u8]) -> Result<Header<'_>, VerifyError> {
    let mut object = Object::new(json);
    let (mut alg, mut typ, mut kid) = (None, None, None);
    while let Some(name) = object.next_name()? {
        let place = match object.bytes(name) {
            b"alg" => &mut alg,
            b"typ" => &mut typ,
            b"kid" => &mut kid,
            // No extension is understood here, so whatever is critical is too much, and so is an empty list
            // (RFC 7515 §4.1.11). `b64` must be listed in it (RFC 7797 §6).
            b"crit" | b"b64" => return Err(VerifyError::CriticalHeader),
            b"x5t#S256" => return Err(VerifyError::ForbiddenHeader),
            &[a, b, c] if FORBIDDEN.contains(&[a, b, c]) => return Err(VerifyError::ForbiddenHeader),
            _ => {
                object.skip_unknown(name)?;
                continue;
            }
        };
        let value = object.string()?;
        if place.replace(value).is_some() {
            return Err(VerifyError::Malformed);
        }
    }
    let json = str::from_utf8(json).map_err(|_| VerifyError::Malformed)?;
    match alg.map(|alg| alg.of(json)) {
        Some("HS256") => Ok(Header { typ: typ.map(|typ| typ.of(json)), kid: kid.map(|kid| kid.of(json)) }),
        Some(_) => Err(VerifyError::UnsupportedAlgorithm),
        None => Err(VerifyError::Malformed),
    }
}

/// Whether two types are the same, but for case and for a prefix that one of them has and the other leaves out. With
/// another slash after it, the prefix cannot be left out.
pub(crate) fn is_same_type(left: &str, right: &str) -> bool {
    let (short, long) = if left.len() < right.len() { (left, right) } else { (right, left) };
    let (prefix, rest) = long.as_bytes().split_at_checked(long.len() - short.len()).unwrap_or_default();
    rest.eq_ignore_ascii_case(short.as_bytes())
        && (prefix.is_empty()
            || prefix.eq_ignore_ascii_case(TYPE_PREFIX.as_bytes()) && !short.bytes().any(|byte| byte == b'/'))
}

/// A header that is not strict JSON, or has a member of the wrong type, is no header at all.
impl From<Fault> for VerifyError {
    fn from(_: Fault) -> Self {
        VerifyError::Malformed
    }
}
