//! The JOSE header (RFC 7515 §4) of a token that was not written the way our own keys write it.

use core::str;

use heapless::Vec;

use crate::json::{self, Kind, Member, Span};
use crate::verify::VerifyError;

/// Types are registered below `application/`, and the prefix is usually left out (RFC 7515 §4.1.9).
const TYPE_PREFIX: &[u8] = b"application/";

/// What is looked for: first what is read, then what asks for an extension, then what is forbidden.
///
/// No extension is understood here, so whatever is critical is too much, and so is an empty list (RFC 7515 §4.1.11).
/// `b64` must be listed in it (RFC 7797 §6). Keys come from the caller and never from the token (RFC 8725 §3.10). A token
/// inside the token, compression, encryption: all of them change what the payload is.
const MEMBERS: [Member; 14] = [
    Member::new("alg", Kind::Text),
    Member::new("typ", Kind::Text),
    Member::new("kid", Kind::Text),
    Member::new("crit", Kind::Any),
    Member::new("b64", Kind::Any),
    Member::new("jwk", Kind::Any),
    Member::new("jku", Kind::Any),
    Member::new("x5u", Kind::Any),
    Member::new("x5c", Kind::Any),
    Member::new("x5t", Kind::Any),
    Member::new("x5t#S256", Kind::Any),
    Member::new("cty", Kind::Any),
    Member::new("zip", Kind::Any),
    Member::new("enc", Kind::Any),
];

/// What of the header chooses the key and names the type. The algorithm is not here: there is only one.
#[derive(Debug)]
pub(crate) struct Header<'a> {
    pub(crate) typ: Option<&'a [u8]>,
    pub(crate) kid: Option<&'a [u8]>,
}

/// Reads a decoded header strictly.
///
/// A member nobody here knows is ignored, as RFC 7515 §4 says. A member that asks for something else than what we do
/// is refused by name: to ignore it would be to accept a token on other terms than its issuer's.
pub(crate) fn read(document: &mut [u8]) -> Result<Header<'_>, VerifyError> {
    let mut found = [None; MEMBERS.len()];
    let mut no_texts = Vec::<_, 0>::new();
    // A header that is not strict JSON, has a member of the wrong type or is beyond a limit, is no header at all.
    json::read(document, &MEMBERS, &mut found, &mut no_texts).map_err(|_| VerifyError::Malformed)?;
    let [alg, typ, kid, crit, b64, forbidden @ ..] = &found;
    if crit.or(*b64).is_some() {
        return Err(VerifyError::CriticalHeader);
    }
    if forbidden.iter().any(Option::is_some) {
        return Err(VerifyError::ForbiddenHeader);
    }
    if str::from_utf8(document).is_err() {
        return Err(VerifyError::Malformed);
    }
    let text = |text: &Option<Span>| text.map(|text| text.bytes_of(document));
    match text(alg) {
        Some(b"HS256") => Ok(Header { typ: text(typ), kid: text(kid) }),
        Some(_) => Err(VerifyError::UnsupportedAlgorithm),
        None => Err(VerifyError::Malformed),
    }
}

/// Whether two types are the same, but for case and for a prefix that one of them has and the other leaves out. With
/// another slash after it, the prefix cannot be left out.
pub(crate) fn is_same_type(left: &[u8], right: &[u8]) -> bool {
    let (short, long) = if left.len() < right.len() { (left, right) } else { (right, left) };
    let (prefix, rest) = long.split_at_checked(long.len() - short.len()).unwrap_or_default();
    is_alike(rest, short)
        && (prefix.is_empty() || is_alike(prefix, TYPE_PREFIX) && short.iter().all(|&byte| byte != b'/'))
}

#[inline(never)]
fn is_alike(left: &[u8], right: &[u8]) -> bool {
    left.eq_ignore_ascii_case(right)
}
