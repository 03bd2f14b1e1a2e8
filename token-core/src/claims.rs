//! The claims of a token (RFC 7519 §4): how they are read, and what a verified token says.

use core::str;

use heapless::Vec;

use crate::json::{self, Fault, Kind, Member, Span};

/// How many audiences one token may name.
pub const AUDIENCES_MAX: usize = 8;

/// The registered claims of a token that has been verified; there is no other way to get them.
///
/// The strings are unescaped and borrowed from the buffer that was passed to
/// [`Verifier::verify`](crate::Verifier::verify). Times are whole seconds since 1970. Of a
/// fraction, `exp` is never later than it was written, and `nbf` and `iat` never earlier.
///
/// A claim not listed here is read with [`Verifier::verify_as`](crate::Verifier::verify_as).
#[derive(Clone, Debug)]
pub struct Claims<'b> {
    payload: &'b str,
    places: Places,
}

/// Where in a payload its registered claims are, and the times among them, which are the first of the members.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    found: [Option<Span>; MEMBERS.len()],
    audiences: Vec<Span, AUDIENCES_MAX>,
    times: [u64; 3],
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
            places: Places { found: [None; MEMBERS.len()], audiences: Vec::new(), times: [0; 3] },
        }
    }

    /// Whether a payload has registered claims, as far as it can be read; undoes its escapes.
    ///
    /// One that is not strict counts by what was read before: somebody else might read on.
    pub(crate) fn has_registered(payload: &mut [u8]) -> bool {
        let mut claims = Claims::empty();
        let _ = claims.read(payload);
        claims.places.found.iter().take(SID).any(Option::is_some)
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
        for (place, time) in places.times.iter_mut().enumerate() {
            if let Some(number) = places.found[place] {
                let round = if place == EXP { Round::Down } else { Round::Up };
                *time = seconds(number.bytes_of(payload), round).ok_or(Fault::invalid(place))?;
            }
        }
        self.payload = str::from_utf8(payload).map_err(|_| Fault::NOT_STRICT)?;
        if self.places.found[EXP].is_some() { Ok(()) } else { Err(Fault::MISSING) }
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
        self.places.times[EXP]
    }

    /// `nbf`: the second before which the token does not count (RFC 7519 §4.1.5).
    pub fn not_before(&self) -> Option<u64> {
        self.places.found[NBF].map(|_| self.places.times[NBF])
    }

    /// `iat`: when the token was signed (RFC 7519 §4.1.6).
    pub fn issued_at(&self) -> Option<u64> {
        self.places.found[IAT].map(|_| self.places.times[IAT])
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

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Round {
    Down,
    Up,
}

/// The whole seconds of a NumericDate (RFC 7519 §2), in any spelling of JSON's (RFC 8259 §6) without a minus, without
/// floats, which lose seconds and cost flash. `1.683061093e+09` is how Envoy and others write it.
///
/// A date beyond 64 bits is none that a clock can show.
#[inline(never)]
fn seconds(number: &[u8], round: Round) -> Option<u64> {
    // How many digits there are before the point, once the exponent has moved it.
    let mut whole_len = whole_len(number);
    let (mut whole, mut is_between) = (0_u64, false);
    let mut rest = number.iter();
    loop {
        // After the digits come the zeros that the exponent stands for; of nothing, however many come to nothing.
        let digit = match rest.next() {
            Some(b'.') => continue,
            Some(digit @ b'0'..=b'9') => digit - b'0',
            _ if whole_len > 0 && whole > 0 => {
                rest = [].iter();
                0
            }
            _ => break,
        };
        if whole_len > 0 {
            whole = whole.checked_mul(10)?.checked_add(u64::from(digit))?;
        } else {
            is_between |= digit > 0;
        }
        whole_len -= 1;
    }
    match round {
        Round::Up if is_between => whole.checked_add(1),
        _ => Some(whole),
    }
}

/// How many digits come before the point, and the exponent. An exponent far beyond all payloads is as good as the next.
fn whole_len(number: &[u8]) -> i32 {
    const FAR: i32 = 100_000;
    const { assert!(crate::TOKEN_LEN_MAX < FAR as usize, "no digits of a token may make up for it") };
    let (mut len, mut exponent, mut sign) = (0, 0, 0);
    let mut is_whole = true;
    for &byte in number {
        match byte {
            b'0'..=b'9' if sign != 0 => {
                exponent = FAR.min(exponent * 10 + i32::from(byte - b'0'));
            }
            b'0'..=b'9' => len += i32::from(is_whole),
            b'-' => sign = -1,
            b'.' => is_whole = false,
            b'e' | b'E' => sign = 1,
            _ => {}
        }
    }
    len + sign * exponent
}

/// A claim that is read, and so can be read wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Claim {
    /// `exp`
    ExpiresAt,
    /// `nbf`
    NotBefore,
    /// `iat`
    IssuedAt,
    /// `iss`
    Issuer,
    /// `sub`
    Subject,
    /// `aud`
    Audience,
    /// `jti`
    Id,
    /// `sid`, which can be wrong only by coming twice.
    Session,
    /// `role`, which can be wrong only by coming twice.
    Role,
}

impl Claim {
    const ALL: [Claim; MEMBERS.len()] = [
        Claim::ExpiresAt,
        Claim::NotBefore,
        Claim::IssuedAt,
        Claim::Issuer,
        Claim::Subject,
        Claim::Audience,
        Claim::Id,
        Claim::Session,
        Claim::Role,
    ];

    /// The claim of this place among the members.
    pub(crate) fn at(place: usize) -> Option<Claim> {
        Self::ALL.get(place).copied()
    }

    /// Its name in a token.
    pub fn name(self) -> &'static str {
        match self {
            Claim::ExpiresAt => "exp",
            Claim::NotBefore => "nbf",
            Claim::IssuedAt => "iat",
            Claim::Issuer => "iss",
            Claim::Subject => "sub",
            Claim::Audience => "aud",
            Claim::Id => "jti",
            Claim::Session => "sid",
            Claim::Role => "role",
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use std::format;

    use proptest::prelude::*;

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
    fn every_spelling_of_a_time_is_that_time() {
        for (number, down, up) in [
            ("1.683061093e+09", 1_683_061_093, 1_683_061_093),
            ("1.683061093E9", 1_683_061_093, 1_683_061_093),
            ("1683061093.5", 1_683_061_093, 1_683_061_094),
            ("1.6830610935e9", 1_683_061_093, 1_683_061_094),
            ("0.1683e10", 1_683_000_000, 1_683_000_000),
            ("16830610930e-1", 1_683_061_093, 1_683_061_093),
            ("16830610931e-1", 1_683_061_093, 1_683_061_094),
            ("1e3", 1000, 1000),
            ("1e0", 1, 1),
            ("1e00", 1, 1),
            ("1e-1", 0, 1),
            ("1e-99999999999999999999", 0, 1),
            ("0e99999999999999999999", 0, 0),
            ("0.000e5", 0, 0),
            ("0.00001e5", 1, 1),
            ("100e-2", 1, 1),
            ("18446744073709551615e0", u64::MAX, u64::MAX),
            ("1.8446744073709551615e19", u64::MAX, u64::MAX),
            ("184467440737095516150e-1", u64::MAX, u64::MAX),
        ] {
            assert_eq!(seconds(number.as_bytes(), Round::Down), Some(down), "{number}");
            assert_eq!(seconds(number.as_bytes(), Round::Up), Some(up), "{number}");
        }
    }

    #[test]
    fn times_beyond_64_bits_are_none() {
        for number in ["1e20", "1e99999999999999999999", "1.8446744073709551616e19", "0.1e21"] {
            assert_eq!(seconds(number.as_bytes(), Round::Down), None, "{number}");
            assert_eq!(seconds(number.as_bytes(), Round::Up), None, "{number}");
        }
    }

    proptest! {
        #[test]
        fn a_time_is_what_it_is_wherever_its_point_stands(time: u64, shift in 0..30_usize, zeros in 0..30_usize) {
            let digits = format!("{time:030}{}", "0".repeat(zeros));
            let (whole, fraction) = digits.split_at(30 - shift);
            let (whole, fraction) = (whole.trim_start_matches('0'), format!("{fraction}0"));
            let number = format!("{}.{fraction}e{shift}", if whole.is_empty() { "0" } else { whole });
            prop_assert_eq!(seconds(number.as_bytes(), Round::Down), Some(time), "{}", number);
            prop_assert_eq!(seconds(number.as_bytes(), Round::Up), Some(time), "{}", number);
        }

        #[test]
        fn a_time_is_near_what_a_float_says(whole in 0..2_000_000_000_u32, fraction in 0..1000_u32, exponent in -6..6_i32) {
            let number = format!("{whole}.{fraction:03}e{exponent}");
            let float: f64 = number.parse().unwrap();
            for round in [Round::Down, Round::Up] {
                let time = seconds(number.as_bytes(), round).unwrap();
                prop_assert!((time as f64 - float).abs() <= 1.0, "{number}: {time}");
            }
        }
    }

    #[test]
    fn every_member_has_a_claim_of_its_name() {
        for (place, claim) in Claim::ALL.into_iter().enumerate() {
            assert_eq!(claim as usize, place);
            assert!(MEMBERS[place].has_name(claim.name()), "{claim:?}");
        }
    }
}
