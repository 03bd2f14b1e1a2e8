//! The JOSE header (RFC 7515 §4) of a token that was not written the way our own keys write it.

use heapless::String;

use crate::json::{Fault, Object, Text};
use crate::key::TYPE_LEN_MAX;
use crate::verify::VerifyError;

/// Types are registered below `application/`, and the prefix is usually left out (RFC 7515 §4.1.9).
const TYPE_PREFIX: &str = "application/";

/// What of the header chooses the key and names the type. The algorithm is not here: there is only one.
#[derive(Debug)]
pub(crate) struct Header<'a> {
    pub(crate) typ: Option<Text<'a>>,
    pub(crate) kid: Option<Text<'a>>,
}

/// Reads a decoded header strictly.
///
/// A member nobody here knows is ignored, as RFC 7515 §4 says. A member that asks for something else than what we do
/// is refused by name: to ignore it would be to accept a token on other terms than its issuer's.
pub(crate) fn read(json: &str) -> Result<Header<'_>, VerifyError> {
    let mut object = Object::open(json)?;
    let (mut alg, mut typ, mut kid) = (None, None, None);
    while let Some(name) = object.next_name()? {
        let place = match name.of(json).plain(&mut String::<8>::new()) {
            Some("alg") => &mut alg,
            Some("typ") => &mut typ,
            Some("kid") => &mut kid,
            // No extension is understood here, so whatever is critical is too much, and so is an empty list
            // (RFC 7515 §4.1.11). `b64` must be listed in it (RFC 7797 §6).
            Some("crit" | "b64") => return Err(VerifyError::CriticalHeader),
            // Keys come from the caller and never from the token (RFC 8725 §3.10).
            Some("jwk" | "jku" | "x5u" | "x5c" | "x5t" | "x5t#S256") => {
                return Err(VerifyError::ForbiddenHeader);
            }
            // A token inside the token, compression, encryption: all of them change what the payload is.
            Some("cty" | "zip" | "enc") => return Err(VerifyError::ForbiddenHeader),
            _ => {
                object.skip_unknown(name)?;
                continue;
            }
        };
        if place.replace(object.string()?.of(json)).is_some() {
            return Err(VerifyError::Malformed);
        }
    }
    match alg {
        Some(alg) if alg.is("HS256") => Ok(Header { typ, kid }),
        Some(_) => Err(VerifyError::UnsupportedAlgorithm),
        None => Err(VerifyError::Malformed),
    }
}

/// Whether the token's `typ` names the expected type.
pub(crate) fn is_type(typ: Text<'_>, expected: &str) -> bool {
    let mut scratch = String::<{ TYPE_PREFIX.len() + TYPE_LEN_MAX }>::new();
    typ.plain(&mut scratch).is_some_and(|typ| short_type(typ).eq_ignore_ascii_case(short_type(expected)))
}

/// The type without its prefix. With another slash in it, the prefix is part of the name.
fn short_type(typ: &str) -> &str {
    match typ.split_at_checked(TYPE_PREFIX.len()) {
        Some((prefix, short)) if prefix.eq_ignore_ascii_case(TYPE_PREFIX) && !short.contains('/') => short,
        _ => typ,
    }
}

/// A header that is not strict JSON, or has a member of the wrong type, is no header at all.
impl From<Fault> for VerifyError {
    fn from(_: Fault) -> Self {
        VerifyError::Malformed
    }
}
