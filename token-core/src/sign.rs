//! Signing: claims in, a token in the JWS Compact Serialization out (RFC 7515 §7.1), in the caller's buffer.

use core::{fmt, str};

use heapless::{String, Vec};
use serde::Serialize;

use crate::json::plain_len;
use crate::key::{SIGNATURE_LEN, TAG_LEN, encode_tag};
use crate::verify::TOKEN_LEN_MAX;
use crate::{Claims, Key, base64url};

/// The claims of a token to be signed. What is `None` is left out.
///
/// Times are whole seconds since 1970. `expires_at` is the one claim without which no token is ever accepted.
#[derive(Clone, Copy, Default, Debug)]
pub struct NewClaims<'a> {
    /// `iss`: who signs the token (RFC 7519 §4.1.1).
    pub issuer: Option<&'a str>,
    /// `sub`: who the token is about (RFC 7519 §4.1.2).
    pub subject: Option<&'a str>,
    /// `aud`: whom the token is for (RFC 7519 §4.1.3).
    pub audience: Option<&'a str>,
    /// `exp`: the second at which the token is over (RFC 7519 §4.1.4).
    pub expires_at: u64,
    /// `nbf`: the second before which the token does not count (RFC 7519 §4.1.5).
    pub not_before: Option<u64>,
    /// `iat`: when the token is signed (RFC 7519 §4.1.6).
    pub issued_at: Option<u64>,
    /// `jti`: the token's own id (RFC 7519 §4.1.7).
    pub id: Option<&'a str>,
    /// `sid`: the session the token is issued in.
    pub session: Option<&'a str>,
    /// `role`: what the subject may do, in the issuer's words.
    pub role: Option<&'a str>,
}

impl NewClaims<'_> {
    /// Writes the claims as a JSON object. `exp` is always there, so it leads and the others bring their comma.
    fn write(&self, out: &mut [u8]) -> Result<usize, SignError> {
        let mut json = Writer::new(out);
        json.put(b"{\"exp\":");
        json.put_number(self.expires_at);
        json.put_claim(b",\"iss\":\"", self.issuer, Writer::put_text);
        json.put_claim(b",\"sub\":\"", self.subject, Writer::put_text);
        json.put_claim(b",\"aud\":\"", self.audience, Writer::put_text);
        json.put_claim(b",\"nbf\":", self.not_before, Writer::put_number);
        json.put_claim(b",\"iat\":", self.issued_at, Writer::put_number);
        json.put_claim(b",\"jti\":\"", self.id, Writer::put_text);
        json.put_claim(b",\"sid\":\"", self.session, Writer::put_text);
        json.put_claim(b",\"role\":\"", self.role, Writer::put_text);
        json.put(b"}");
        json.finish()
    }
}

/// How long the JSON of a [`Key`]'s header is, in bytes, for [`token_len`]: by the length of its type (`JWT`, if none
/// was set) and of its key id.
pub const fn header_len(type_len: usize, kid_len: Option<usize>) -> usize {
    let without_kid = r#"{"alg":"HS256","typ":""}"#.len() + type_len;
    match kid_len {
        Some(kid_len) => without_kid + r#","kid":"""#.len() + kid_len,
        None => without_kid,
    }
}

/// How long a token is, in characters: by the length of its header's JSON and of its payload, in bytes.
///
/// ```
/// use token_core::{Key, NewClaims, header_len, token_len};
///
/// const HEADER: usize = header_len("at+jwt".len(), Some("a".len()));
/// const PAYLOAD: usize = r#"{"exp":1800000000,"sub":"ada"}"#.len();
///
/// let key = Key::new(&[7; 32])?.with_type("at+jwt")?.with_kid("a")?;
/// let claims = NewClaims { subject: Some("ada"), expires_at: 1_800_000_000, ..NewClaims::default() };
/// let mut buffer = [0; token_len(HEADER, PAYLOAD)];
/// assert_eq!(key.sign(&claims, &mut buffer)?.len(), token_len(HEADER, PAYLOAD));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub const fn token_len(header_len: usize, payload_len: usize) -> usize {
    base64url::encoded_len(header_len) + 1 + base64url::encoded_len(payload_len) + 1 + SIGNATURE_LEN
}

impl Key {
    /// Signs claims into `out`, which needs [`token_len`] bytes, and returns the token.
    ///
    /// After an error the contents of `out` mean nothing.
    ///
    /// # Errors
    ///
    /// [`SignError::BufferTooSmall`], and [`SignError::TooLong`] when no verifier would take the token.
    pub fn sign<'b>(&self, claims: &NewClaims<'_>, out: &'b mut [u8]) -> Result<&'b str, SignError> {
        self.seal(out, |payload| claims.write(payload))
    }

    /// Signs claims into a string of at most `N` bytes; see [`sign`](Key::sign).
    ///
    /// # Errors
    ///
    /// As [`sign`](Key::sign).
    pub fn sign_to<const N: usize>(&self, claims: &NewClaims<'_>) -> Result<String<N>, SignError> {
        let mut token = Vec::new();
        token.resize_default(N).map_err(|_| SignError::BufferTooSmall)?;
        let len = self.sign(claims, &mut token)?.len();
        token.truncate(len);
        // Every character was just put there from an alphabet within ASCII.
        String::from_utf8(token).map_err(|_| SignError::InvalidClaims)
    }

    /// Signs claims of a type of your own, written by `serde-json-core`; else as [`sign`](Key::sign).
    ///
    /// `serde-json-core` panics on what it cannot write: leave `char`, `i128`, byte strings, tuple variants and maps
    /// with keys that are not strings out of the type.
    ///
    /// # Errors
    ///
    /// As [`sign`](Key::sign), and [`SignError::InvalidClaims`] when our own verifier would refuse what was written: no
    /// `exp`, a registered claim of the wrong type, a name twice, too deep.
    pub fn sign_as<'b, T: Serialize>(&self, claims: &T, out: &'b mut [u8]) -> Result<&'b str, SignError> {
        // A full buffer is the only way in which writing fails.
        let write =
            |out: &mut [u8]| serde_json_core::to_slice(claims, out).map_err(|_| SignError::BufferTooSmall);
        self.seal(out, |payload| {
            let len = write(payload)?;
            let json = payload.get_mut(..len).ok_or(SignError::BufferTooSmall)?;
            let has_escapes = json.contains(&b'\\');
            Claims::empty().read(json).map_err(|_| SignError::InvalidClaims)?;
            // Reading undoes escapes, so what has some is written once more.
            if has_escapes { write(payload) } else { Ok(len) }
        })
    }

    /// Signs any bytes: the JWS layer alone (RFC 7515 §5.1), for a payload that is not claims.
    ///
    /// So that it never passes as claims, also where others verify with less care, a JSON object with a registered claim
    /// in it is refused (RFC 7519 §4.1: `iss`, `sub`, `aud`, `exp`, `nbf`, `iat`, `jti`). Sign it by
    /// [`sign_as`](Key::sign_as), or put it into a member of another object.
    ///
    /// # Errors
    ///
    /// As [`sign`](Key::sign), and [`SignError::PayloadIsClaims`].
    pub fn sign_payload<'b>(&self, payload: &[u8], out: &'b mut [u8]) -> Result<&'b str, SignError> {
        self.seal(out, |place| {
            let mut writer = Writer::new(place);
            writer.put(payload);
            let len = writer.finish()?;
            if Claims::has_registered(place.get_mut(..len).unwrap_or_default()) {
                return Err(SignError::PayloadIsClaims);
            }
            // Looking for claims undoes escapes, so it is written once more.
            let mut writer = Writer::new(place);
            writer.put(payload);
            writer.finish()
        })
    }

    /// Header, dot, whatever `write` puts down, dot, tag.
    fn seal<'b>(
        &self,
        out: &'b mut [u8],
        write: impl FnOnce(&mut [u8]) -> Result<usize, SignError>,
    ) -> Result<&'b str, SignError> {
        let header_len = self.header().len();
        let (header, place) = out.split_at_mut_checked(header_len).ok_or(SignError::BufferTooSmall)?;
        header.copy_from_slice(self.header());
        let payload_len = write(place)?;
        let payload_len = base64url::encode_in_place(place, payload_len).ok_or(SignError::BufferTooSmall)?;

        let (signing_input, free) =
            out.split_at_mut_checked(header_len + payload_len).ok_or(SignError::BufferTooSmall)?;
        let tag = self.tag(signing_input);
        put_signature(free, &tag)?;

        let token_len = header_len + payload_len + 1 + SIGNATURE_LEN;
        if token_len > TOKEN_LEN_MAX {
            return Err(SignError::TooLong);
        }
        let token = out.get(..token_len).ok_or(SignError::BufferTooSmall)?;
        // Every character was just put there from an alphabet within ASCII.
        str::from_utf8(token).map_err(|_| SignError::InvalidClaims)
    }
}

/// A dot, and the encoded tag. Kept apart, so that its characters are not on the stack while the hash is.
#[inline(never)]
fn put_signature(free: &mut [u8], tag: &[u8; TAG_LEN]) -> Result<usize, SignError> {
    let mut encoded = [0; SIGNATURE_LEN + 1];
    encode_tag(tag, &mut encoded);
    let [signature @ .., _] = &encoded;
    let mut writer = Writer::new(free);
    writer.put(b".");
    writer.put(signature);
    writer.finish()
}

/// Writes to the front of a buffer. What does not fit is noticed at the end.
struct Writer<'o> {
    written: usize,
    out: &'o mut [u8],
}

impl<'o> Writer<'o> {
    fn new(out: &'o mut [u8]) -> Self {
        Writer { written: 0, out }
    }

    /// How much has been written, if there was room for it.
    fn finish(self) -> Result<usize, SignError> {
        if self.written <= self.out.len() { Ok(self.written) } else { Err(SignError::BufferTooSmall) }
    }

    #[cfg_attr(target_os = "none", inline(never))]
    fn put(&mut self, bytes: &[u8]) {
        let free = self.out.get_mut(self.written..).unwrap_or_default();
        if let Some(place) = free.get_mut(..bytes.len()) {
            place.copy_from_slice(bytes);
        }
        self.written = self.written.saturating_add(bytes.len());
    }

    fn put_claim<T>(&mut self, name: &[u8], claim: Option<T>, put: impl FnOnce(&mut Self, T)) {
        if let Some(claim) = claim {
            self.put(name);
            put(self, claim);
        }
    }

    /// The rest of a string after its opening quote, with the escapes that RFC 8259 §7 demands and no others.
    fn put_text(&mut self, text: &str) {
        let mut rest = text.as_bytes();
        loop {
            let (plain, special) = rest.split_at_checked(plain_len(rest)).unwrap_or_default();
            self.put(plain);
            let Some((&special, after)) = special.split_first() else { break };
            self.put_escape(special);
            rest = after;
        }
        self.put(b"\"");
    }

    fn put_escape(&mut self, byte: u8) {
        let hex = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + (nibble - 10) };
        match byte {
            b'"' | b'\\' => self.put(&[b'\\', byte]),
            _ => self.put(&[b'\\', b'u', b'0', b'0', hex(byte >> 4), hex(byte & 0x0F)]),
        }
    }

    fn put_number(&mut self, number: u64) {
        let mut digits = [0; 20];
        let (mut rest, mut start) = (number, digits.len());
        for place in digits.iter_mut().rev() {
            let (tenth, digit) = divide_by_ten(rest);
            *place = b'0' + digit;
            rest = tenth;
            start -= 1;
            if rest == 0 {
                break;
            }
        }
        self.put(digits.get(start..).unwrap_or_default());
    }
}

/// The quotient and the remainder. A time is in 32 bits until 2106; beyond, division would be half a kilobyte of code on
/// a device, so a tenth is summed up as 0.00011001100... in binary, and is one too small at most.
fn divide_by_ten(number: u64) -> (u64, u8) {
    if let Ok(number) = u32::try_from(number) {
        return (u64::from(number / 10), (number % 10) as u8);
    }
    let sum = (number >> 1) + (number >> 2);
    let sum = sum + (sum >> 4);
    let sum = sum + (sum >> 8);
    let sum = sum + (sum >> 16);
    let tenth = (sum + (sum >> 32)) >> 3;
    let rest = (number - tenth * 10) as u8;
    if rest < 10 { (tenth, rest) } else { (tenth + 1, rest - 10) }
}

/// Why a token was not signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SignError {
    /// The token does not fit into the buffer; see [`token_len`].
    BufferTooSmall,
    /// The token would have more than [`TOKEN_LEN_MAX`] characters.
    TooLong,
    /// Our own verifier would refuse these claims at any time.
    InvalidClaims,
    /// The payload that was not to be claims is a JSON object with registered claims.
    PayloadIsClaims,
}

impl fmt::Display for SignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SignError::BufferTooSmall => "the buffer is too small for the token",
            SignError::TooLong => "the token would be too long to be accepted",
            SignError::InvalidClaims => "the claims would never be accepted",
            SignError::PayloadIsClaims => "the payload would pass as claims",
        })
    }
}

impl core::error::Error for SignError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_is_written_with_the_escapes_it_must_have_in_their_shortest_form() {
        let mut out = [0; 64];
        let claims =
            NewClaims { subject: Some("\"a\\\n\u{1f}\u{7f}é/"), expires_at: 1, ..NewClaims::default() };
        let len = claims.write(&mut out).ok();
        let expected = r#"{"exp":1,"sub":"\"a\\\u000a\u001f"#.as_bytes();
        assert_eq!(
            len.and_then(|len| out.get(..len)),
            Some(&[expected, "\u{7f}é/\"}".as_bytes()].concat()[..])
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]

        #[test]
        fn a_number_is_divided_by_ten(number: u64, shift in 0..64_u32) {
            for number in [number, number >> shift, u64::MAX >> shift, 1 << shift] {
                prop_assert_eq!(divide_by_ten(number), (number / 10, (number % 10) as u8));
            }
        }
    }
}
