//! The claims of a token (RFC 7519 §4): how they are read, and what a verified token says.

use core::str;

use heapless::Vec;

use crate::json::{self, Fault, Kind, Member, Span};

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
    places: Places,
}

/// Where in a payload its registered claims are, and the times among them.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    found: [Option<Span>; MEMBERS.len()],
    audiences: Vec<Span, AUDIENCES_MAX>,
    expires_at: u64,
    not_before: u64,
    issued_at: u64,
}

const EXP: usize = 0;
const NBF: usize = 1;
const IAT: usize = 2;
const ISS: usize = 3;
const SUB: usize = 4;
const JTI: usize = 6;
const SID: usize = 7;
const ROLE: usize = 8;

const MEMBERS: [Member; 9] = [
    Member::new("exp", Kind::Number),
    Member::new("nbf", Kind::Number),
    Member::new("iat", Kind::Number),
    Member::new("iss", Kind::Text),
    Member::new("sub", Kind::Text),
    Member::new("aud", Kind::Texts),
    Member::new("jti", Kind::Text),
    Member::new("sid", Kind::TextOrAny),
    Member::new("role", Kind::TextOrAny),
];

impl<'b> Claims<'b> {
    /// Claims of nothing, to be [read](Claims::read) into.
    pub(crate) fn empty() -> Self {
        Claims {
            payload: "",
            places: Places {
                found: [None; MEMBERS.len()],
                audiences: Vec::new(),
                expires_at: 0,
                not_before: 0,
                issued_at: 0,
            },
        }
    }

    /// The same claims without their payload, so that another reader can have it.
    pub(crate) fn into_places(self) -> Places {
        self.places
    }

    /// The claims that were read from a payload of these bytes; empty texts, if it is not UTF-8.
    pub(crate) fn new(payload: &'b [u8], places: Places) -> Self {
        Claims { payload: str::from_utf8(payload).unwrap_or_default(), places }
    }

    /// Reads a whole payload strictly, and the registered claims out of it; undoes its escapes.
    ///
    /// Into a place that the caller has, and kept apart: so the claims are on the stack once, and the reader only
    /// meanwhile.
    pub(crate) fn read(&mut self, payload: &'b mut [u8]) -> Result<(), Fault> {
        let places = &mut self.places;
        json::read(payload, &MEMBERS, &mut places.found, &mut places.audiences)?;
        let [exp, nbf, iat, ..] = places.found;
        let are_times = read_time(exp, payload, Round::Down, &mut places.expires_at)
            && read_time(nbf, payload, Round::Up, &mut places.not_before)
            && read_time(iat, payload, Round::Down, &mut places.issued_at);
        if !are_times {
            return Err(Fault::Invalid);
        }
        self.payload = str::from_utf8(payload).map_err(|_| Fault::NotStrict)?;
        if self.places.found[EXP].is_some() { Ok(()) } else { Err(Fault::Missing) }
    }

    /// `iss`: who signed the token (RFC 7519 §4.1.1).
    pub fn issuer(&self) -> Option<&'b str> {
        self.text(ISS)
    }

    /// `sub`: who the token is about (RFC 7519 §4.1.2).
    pub fn subject(&self) -> Option<&'b str> {
        self.text(SUB)
    }

    /// `aud`: whom the token is for (RFC 7519 §4.1.3); at most [`AUDIENCES_MAX`], none if the claim is absent.
    pub fn audiences(&self) -> impl Iterator<Item = &'b str> {
        self.places.audiences.iter().map(|span| span.of(self.payload))
    }

    /// Whether `audience` is among the [audiences](Claims::audiences).
    pub fn has_audience(&self, audience: &str) -> bool {
        self.audiences().any(|named| named == audience)
    }

    /// `exp`: the second at which the token is over (RFC 7519 §4.1.4).
    pub fn expires_at(&self) -> u64 {
        self.places.expires_at
    }

    /// `nbf`: the second before which the token does not count (RFC 7519 §4.1.5).
    pub fn not_before(&self) -> Option<u64> {
        self.places.found[NBF].map(|_| self.places.not_before)
    }

    /// `iat`: when the token was signed (RFC 7519 §4.1.6).
    pub fn issued_at(&self) -> Option<u64> {
        self.places.found[IAT].map(|_| self.places.issued_at)
    }

    /// `jti`: the token's own id (RFC 7519 §4.1.7).
    pub fn id(&self) -> Option<&'b str> {
        self.text(JTI)
    }

    /// `sid`: the session the token was issued in (OpenID Connect Front-Channel Logout 1.0 §3).
    ///
    /// `None` also when an issuer means something else by the name, and it is no text.
    pub fn session(&self) -> Option<&'b str> {
        self.text(SID)
    }

    /// `role`: what the subject may do, in the issuer's words. A claim of ours, registered nowhere.
    ///
    /// `None` also when it is no text: .NET writes an array of roles, for one. Read those with
    /// [`verify_as`](crate::Verifier::verify_as).
    pub fn role(&self) -> Option<&'b str> {
        self.text(ROLE)
    }

    fn text(&self, member: usize) -> Option<&'b str> {
        let span = self.places.found.get(member).copied().flatten()?;
        if span.is_mark() { None } else { Some(span.of(self.payload)) }
    }
}

/// Reads a time into its place, if it is there; returns whether it is one.
#[inline(never)]
fn read_time(number: Option<Span>, payload: &[u8], round: Round, place: &mut u64) -> bool {
    let time = number.map_or(Some(0), |number| seconds(number.bytes_of(payload), round));
    *place = time.unwrap_or_default();
    time.is_some()
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Round {
    Down,
    Up,
}

/// The whole seconds of a NumericDate (RFC 7519 §2), without floats, which lose seconds and cost flash.
///
/// A date before 1970, one beyond 64 bits, and one with an exponent are refused: no issuer writes them.
fn seconds(number: &[u8], round: Round) -> Option<u64> {
    let mut whole = 0_u64;
    let mut rest = number;
    while let [digit @ b'0'..=b'9', after @ ..] = rest {
        whole = whole.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
        rest = after;
    }
    let is_between = match rest {
        [] => false,
        [b'.', fraction @ ..] if fraction.iter().all(u8::is_ascii_digit) => {
            fraction.iter().any(|&digit| digit != b'0')
        }
        _ => return None,
    };
    match round {
        Round::Up if is_between => whole.checked_add(1),
        _ => Some(whole),
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
            assert_eq!(seconds(number.as_bytes(), Round::Down), Some(down), "{number}");
            assert_eq!(seconds(number.as_bytes(), Round::Up), Some(up), "{number}");
        }
    }

    #[test]
    fn the_last_second_of_64_bits_can_be_said_and_the_next_one_not() {
        assert_eq!(seconds(b"18446744073709551615", Round::Down), Some(u64::MAX));
        assert_eq!(seconds(b"18446744073709551615.5", Round::Down), Some(u64::MAX));
        assert_eq!(seconds(b"18446744073709551615.5", Round::Up), None);
        assert_eq!(seconds(b"18446744073709551616", Round::Down), None);
    }

    #[test]
    fn negative_dates_and_exponents_are_refused() {
        for number in ["-1", "-0", "-0.5", "1e9", "1E9", "1.5e9", "1e-1", "0e0"] {
            assert_eq!(seconds(number.as_bytes(), Round::Down), None, "{number}");
        }
    }
}
