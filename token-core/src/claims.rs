//! The claims of a token (RFC 7519 §4): how they are read, and what a verified token says.

use core::str;

use heapless::{String, Vec};

use crate::json::{Fault, Object, Span};

/// How many audiences one token may name.
pub const AUDIENCES_MAX: usize = 8;

/// The registered claims of a token that has been verified; there is no other way to get them.
///
/// The strings are unescaped and borrowed from the buffer that was passed to
/// [`Verifier::verify`](crate::Verifier::verify). Times are whole seconds since 1970, of a fraction the side that is
/// worse for the token: `exp` and `iat` are rounded down, `nbf` up.
///
/// A claim not listed here is read with [`Verifier::verify_as`](crate::Verifier::verify_as).
#[derive(Clone, Debug)]
pub struct Claims<'b> {
    payload: &'b str,
    registered: Registered,
}

impl<'b> Claims<'b> {
    /// The claims over their payload, in which the strings are unescaped for good.
    pub(crate) fn new(payload: &'b mut [u8], mut registered: Registered) -> Option<Self> {
        registered.strings().for_each(|span| span.unescape(payload));
        Some(Claims { payload: str::from_utf8(payload).ok()?, registered })
    }

    /// `iss`: who signed the token (RFC 7519 §4.1.1).
    pub fn issuer(&self) -> Option<&'b str> {
        self.string(self.registered.issuer)
    }

    /// `sub`: who the token is about (RFC 7519 §4.1.2).
    pub fn subject(&self) -> Option<&'b str> {
        self.string(self.registered.subject)
    }

    /// `aud`: whom the token is for (RFC 7519 §4.1.3); at most [`AUDIENCES_MAX`], none if the claim is absent.
    pub fn audiences(&self) -> impl Iterator<Item = &'b str> {
        self.registered.audiences.iter().map(|span| span.raw(self.payload))
    }

    /// Whether `audience` is among the [audiences](Claims::audiences).
    pub fn has_audience(&self, audience: &str) -> bool {
        self.audiences().any(|named| named == audience)
    }

    /// `exp`: the second at which the token is over (RFC 7519 §4.1.4).
    pub fn expires_at(&self) -> u64 {
        self.registered.expires_at
    }

    /// `nbf`: the second before which the token does not count (RFC 7519 §4.1.5).
    pub fn not_before(&self) -> Option<u64> {
        self.registered.not_before
    }

    /// `iat`: when the token was signed (RFC 7519 §4.1.6).
    pub fn issued_at(&self) -> Option<u64> {
        self.registered.issued_at
    }

    /// `jti`: the token's own id (RFC 7519 §4.1.7).
    pub fn id(&self) -> Option<&'b str> {
        self.string(self.registered.id)
    }

    /// `sid`: the session the token was issued in (OpenID Connect Front-Channel Logout 1.0 §3).
    pub fn session(&self) -> Option<&'b str> {
        self.string(self.registered.session)
    }

    /// `role`: what the subject may do, in the issuer's words. A claim of ours, registered nowhere.
    pub fn role(&self) -> Option<&'b str> {
        self.string(self.registered.role)
    }

    fn string(&self, span: Option<Span>) -> Option<&'b str> {
        span.map(|span| span.raw(self.payload))
    }
}

/// The registered claims as they stand in a payload: the times read, the strings only found.
#[derive(Clone, Debug)]
pub(crate) struct Registered {
    pub(crate) issuer: Option<Span>,
    subject: Option<Span>,
    pub(crate) audiences: Vec<Span, AUDIENCES_MAX>,
    pub(crate) expires_at: u64,
    pub(crate) not_before: Option<u64>,
    issued_at: Option<u64>,
    id: Option<Span>,
    session: Option<Span>,
    role: Option<Span>,
}

impl Registered {
    fn strings(&mut self) -> impl Iterator<Item = &mut Span> {
        let single = [&mut self.issuer, &mut self.subject, &mut self.id, &mut self.session, &mut self.role];
        single.into_iter().flatten().chain(&mut self.audiences)
    }
}

/// Why a payload is not a set of claims.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ClaimsFault {
    /// Not an object in strict JSON, or beyond a limit.
    NotStrict,
    /// A registered claim of the wrong type, or twice.
    Invalid,
    /// No `exp`.
    NoExpiry,
}

impl From<Fault> for ClaimsFault {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::NotStrict => ClaimsFault::NotStrict,
            Fault::WrongType => ClaimsFault::Invalid,
        }
    }
}

/// Reads a whole payload strictly, and the registered claims out of it.
pub(crate) fn read(payload: &str) -> Result<Registered, ClaimsFault> {
    let mut object = Object::open(payload)?;
    let (mut issuer, mut subject, mut audiences) = (None, None, None);
    let (mut expires_at, mut not_before, mut issued_at) = (None, None, None);
    let (mut id, mut session, mut role) = (None, None, None);
    while let Some(name) = object.next_name()? {
        // Matched as bytes because a match on slices is compiled to a tree, one on strings to a chain.
        match name.of(payload).plain(&mut String::<8>::new()).map(str::as_bytes) {
            Some(b"iss") => fill(&mut issuer, object.string()?)?,
            Some(b"sub") => fill(&mut subject, object.string()?)?,
            Some(b"aud") => fill(&mut audiences, object.strings()?)?,
            Some(b"exp") => fill(&mut expires_at, seconds(object.number()?, Round::Down)?)?,
            Some(b"nbf") => fill(&mut not_before, seconds(object.number()?, Round::Up)?)?,
            Some(b"iat") => fill(&mut issued_at, seconds(object.number()?, Round::Down)?)?,
            Some(b"jti") => fill(&mut id, object.string()?)?,
            Some(b"sid") => fill(&mut session, object.string()?)?,
            Some(b"role") => fill(&mut role, object.string()?)?,
            _ => object.skip_unknown(name)?,
        }
    }
    Ok(Registered {
        issuer,
        subject,
        audiences: audiences.unwrap_or_default(),
        expires_at: expires_at.ok_or(ClaimsFault::NoExpiry)?,
        not_before,
        issued_at,
        id,
        session,
        role,
    })
}

/// Puts a claim into its place. A place already taken means the name came twice (RFC 7519 §4).
fn fill<T>(place: &mut Option<T>, claim: T) -> Result<(), ClaimsFault> {
    match place.replace(claim) {
        None => Ok(()),
        Some(_) => Err(ClaimsFault::Invalid),
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Round {
    Down,
    Up,
}

/// The whole seconds of a NumericDate (RFC 7519 §2), without floats, which lose seconds and cost flash.
///
/// A date before 1970, one beyond 64 bits, and one with an exponent are refused: no issuer writes them.
fn seconds(number: &str, round: Round) -> Result<u64, ClaimsFault> {
    let mut whole = 0_u64;
    let mut rest = number.as_bytes();
    while let [digit @ b'0'..=b'9', after @ ..] = rest {
        let digit = u64::from(digit - b'0');
        whole = whole.checked_mul(10).and_then(|tens| tens.checked_add(digit)).ok_or(ClaimsFault::Invalid)?;
        rest = after;
    }
    let is_between = match rest {
        [] => false,
        [b'.', fraction @ ..] if fraction.iter().all(u8::is_ascii_digit) => {
            fraction.iter().any(|&digit| digit != b'0')
        }
        _ => return Err(ClaimsFault::Invalid),
    };
    match round {
        Round::Up if is_between => whole.checked_add(1).ok_or(ClaimsFault::Invalid),
        _ => Ok(whole),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_of_a_second_is_rounded_against_the_token() {
        for (number, down, up) in [
            ("10", 10, 10),
            ("10.0", 10, 10),
            ("10.000", 10, 10),
            ("10.1", 10, 11),
            ("10.999", 10, 11),
            ("0", 0, 0),
        ] {
            assert_eq!(seconds(number, Round::Down), Ok(down), "{number}");
            assert_eq!(seconds(number, Round::Up), Ok(up), "{number}");
        }
    }

    #[test]
    fn the_last_second_of_64_bits_can_be_said_and_the_next_one_not() {
        assert_eq!(seconds("18446744073709551615", Round::Down), Ok(u64::MAX));
        assert_eq!(seconds("18446744073709551615.5", Round::Down), Ok(u64::MAX));
        assert_eq!(seconds("18446744073709551615.5", Round::Up), Err(ClaimsFault::Invalid));
        assert_eq!(seconds("18446744073709551616", Round::Down), Err(ClaimsFault::Invalid));
    }

    #[test]
    fn negative_dates_and_exponents_are_refused() {
        for number in ["-1", "-0", "-0.5", "1e9", "1E9", "1.5e9", "1e-1", "0e0"] {
            assert_eq!(seconds(number, Round::Down), Err(ClaimsFault::Invalid), "{number}");
        }
    }
}
