//! The claims of a token (RFC 7519 §4): how they are read, and what a verified token says.

use core::str;

use heapless::Vec;

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
    issuer: Option<Span>,
    subject: Option<Span>,
    audiences: Vec<Span, AUDIENCES_MAX>,
    expires_at: u64,
    not_before: Option<u64>,
    issued_at: Option<u64>,
    id: Option<Span>,
    session: Option<Span>,
    role: Option<Span>,
}

impl<'b> Claims<'b> {
    /// Claims of nothing, to be [read](Claims::read) into.
    pub(crate) fn empty() -> Self {
        Claims {
            payload: "",
            issuer: None,
            subject: None,
            audiences: Vec::new(),
            expires_at: 0,
            not_before: None,
            issued_at: None,
            id: None,
            session: None,
            role: None,
        }
    }

    /// Reads a whole payload strictly, and the registered claims out of it; undoes its escapes.
    ///
    /// Into a place that the caller has, and kept apart: so the claims are on the stack once, and the reader only
    /// meanwhile.
    #[inline(never)]
    pub(crate) fn read(&mut self, payload: &'b mut [u8]) -> Result<(), Fault> {
        let mut object = Object::new(payload);
        let (mut audience, mut expires_at) = (None, None);
        while let Some(name) = object.next_name()? {
            let string = match object.bytes(name) {
                b"iss" => &mut self.issuer,
                b"sub" => &mut self.subject,
                b"jti" => &mut self.id,
                b"sid" => &mut self.session,
                b"role" => &mut self.role,
                b"aud" => {
                    fill(&mut audience, ())?;
                    object.strings(&mut self.audiences)?;
                    continue;
                }
                time @ (b"exp" | b"nbf" | b"iat") => {
                    let (time, round) = match time {
                        b"exp" => (&mut expires_at, Round::Down),
                        b"nbf" => (&mut self.not_before, Round::Up),
                        _ => (&mut self.issued_at, Round::Down),
                    };
                    let number = object.number()?;
                    fill(time, seconds(object.bytes(number), round)?)?;
                    continue;
                }
                _ => {
                    object.skip_unknown(name)?;
                    continue;
                }
            };
            fill(string, object.string()?)?;
        }
        self.payload = str::from_utf8(payload).map_err(|_| Fault::NotStrict)?;
        self.expires_at = expires_at.ok_or(Fault::Missing)?;
        Ok(())
    }

    /// The payload, in which escapes have been undone: it is JSON only if it had none.
    pub(crate) fn payload(&self) -> &'b str {
        self.payload
    }

    /// `iss`: who signed the token (RFC 7519 §4.1.1).
    pub fn issuer(&self) -> Option<&'b str> {
        self.string(self.issuer)
    }

    /// `sub`: who the token is about (RFC 7519 §4.1.2).
    pub fn subject(&self) -> Option<&'b str> {
        self.string(self.subject)
    }

    /// `aud`: whom the token is for (RFC 7519 §4.1.3); at most [`AUDIENCES_MAX`], none if the claim is absent.
    pub fn audiences(&self) -> impl Iterator<Item = &'b str> {
        self.audiences.iter().map(|span| span.of(self.payload))
    }

    /// Whether `audience` is among the [audiences](Claims::audiences).
    pub fn has_audience(&self, audience: &str) -> bool {
        self.audiences().any(|named| named == audience)
    }

    /// `exp`: the second at which the token is over (RFC 7519 §4.1.4).
    pub fn expires_at(&self) -> u64 {
        self.expires_at
    }

    /// `nbf`: the second before which the token does not count (RFC 7519 §4.1.5).
    pub fn not_before(&self) -> Option<u64> {
        self.not_before
    }

    /// `iat`: when the token was signed (RFC 7519 §4.1.6).
    pub fn issued_at(&self) -> Option<u64> {
        self.issued_at
    }

    /// `jti`: the token's own id (RFC 7519 §4.1.7).
    pub fn id(&self) -> Option<&'b str> {
        self.string(self.id)
    }

    /// `sid`: the session the token was issued in (OpenID Connect Front-Channel Logout 1.0 §3).
    pub fn session(&self) -> Option<&'b str> {
        self.string(self.session)
    }

    /// `role`: what the subject may do, in the issuer's words. A claim of ours, registered nowhere.
    pub fn role(&self) -> Option<&'b str> {
        self.string(self.role)
    }

    fn string(&self, span: Option<Span>) -> Option<&'b str> {
        span.map(|span| span.of(self.payload))
    }
}

/// Puts a claim into its place. A place already taken means the name came twice (RFC 7519 §4).
fn fill<T>(place: &mut Option<T>, claim: T) -> Result<(), Fault> {
    match place.replace(claim) {
        None => Ok(()),
        Some(_) => Err(Fault::Invalid),
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
fn seconds(number: &[u8], round: Round) -> Result<u64, Fault> {
    let mut whole = 0_u64;
    let mut rest = number;
    while let [digit @ b'0'..=b'9', after @ ..] = rest {
        let digit = u64::from(digit - b'0');
        whole = whole.checked_mul(10).and_then(|tens| tens.checked_add(digit)).ok_or(Fault::Invalid)?;
        rest = after;
    }
    let is_between = match rest {
        [] => false,
        [b'.', fraction @ ..] if fraction.iter().all(u8::is_ascii_digit) => {
            fraction.iter().any(|&digit| digit != b'0')
        }
        _ => return Err(Fault::Invalid),
    };
    match round {
        Round::Up if is_between => whole.checked_add(1).ok_or(Fault::Invalid),
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
            assert_eq!(seconds(number.as_bytes(), Round::Down), Ok(down), "{number}");
            assert_eq!(seconds(number.as_bytes(), Round::Up), Ok(up), "{number}");
        }
    }

    #[test]
    fn the_last_second_of_64_bits_can_be_said_and_the_next_one_not() {
        assert_eq!(seconds(b"18446744073709551615", Round::Down), Ok(u64::MAX));
        assert_eq!(seconds(b"18446744073709551615.5", Round::Down), Ok(u64::MAX));
        assert_eq!(seconds(b"18446744073709551615.5", Round::Up), Err(Fault::Invalid));
        assert_eq!(seconds(b"18446744073709551616", Round::Down), Err(Fault::Invalid));
    }

    #[test]
    fn negative_dates_and_exponents_are_refused() {
        for number in ["-1", "-0", "-0.5", "1e9", "1E9", "1.5e9", "1e-1", "0e0"] {
            assert_eq!(seconds(number.as_bytes(), Round::Down), Err(Fault::Invalid), "{number}");
        }
    }
}
