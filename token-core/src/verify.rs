//! Verifying: a stranger's bytes in, claims out, or the reason why not.

use core::{fmt, str};

use serde::de::DeserializeOwned;

use crate::base64url::{self, DecodeError};
use crate::claims::{Claim, Claims};
use crate::header;
use crate::json::Fault;
use crate::key::{Key, SIGNATURE_LEN};
use crate::typed::{self, TypedError};

/// Longest token that is looked at, in characters. HTTP servers commonly end a header line at 8 KiB.
pub const TOKEN_LEN_MAX: usize = 8192;

/// Longest encoded JOSE header that is looked at, in characters.
pub const HEADER_LEN_MAX: usize = 512;

const _: () = assert!(TOKEN_LEN_MAX <= u16::MAX as usize, "places in a payload are kept in 16 bits");

/// How many bytes of buffer suffice to verify any token of up to `token_len` characters, by any method.
///
/// The header and the payload are decoded into the same place, one after the other. A header just as one of our keys
/// writes it is not decoded at all.
pub const fn payload_len_max(token_len: usize) -> usize {
    base64url::decoded_len(token_len.saturating_sub(SIGNATURE_LEN + 2))
}

/// Verifies tokens against a set of keys and what the caller expects of them.
///
/// An expected claim is a required claim: with an issuer or an audience configured, a token without it is refused.
/// `exp` is required always. There is no setting that skips a check.
///
/// A token is verified in this order, and the first thing wrong is the answer:
/// 1. its shape and length; 2. the header, and the key it names; 3. the MAC, compared in constant time in its encoded
///    form, so that exactly one spelling of a token is accepted; 4. the payload, read strictly to its end; 5. the time;
///    6. issuer and audience.
///
/// ```
/// use token_core::{Key, NewClaims, Verifier, VerifyError};
///
/// // Rotation: the first key signs, by convention; both verify.
/// let keys = [Key::new(&[2; 32])?.with_kid("new")?, Key::new(&[1; 32])?.with_kid("old")?];
/// let claims = NewClaims { issuer: Some("home"), expires_at: 100, ..NewClaims::default() };
/// let token = keys[1].sign_to::<160>(&claims)?;
///
/// let verifier = Verifier::new(&keys).issuer("home").any_audience().leeway_secs(5);
/// let mut buffer = [0; 64];
/// assert!(verifier.verify(&token, 104, &mut buffer).is_ok());
/// assert_eq!(verifier.verify(&token, 105, &mut buffer).err(), Some(VerifyError::Expired));
/// assert_eq!(verifier.audience("door").verify(&token, 99, &mut buffer).err(), Some(VerifyError::WrongAudience));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Whom its tokens are for is a choice that has to be made: [`audience`](Verifier::audience),
/// [`audiences`](Verifier::audiences) or [`any_audience`](Verifier::any_audience), said aloud. Until then there is no
/// `verify` to call:
///
/// ```compile_fail,E0599
/// # use token_core::{Key, Verifier};
/// # let keys = [Key::new(&[1; 32])?];
/// Verifier::new(&keys).verify("a.b.c", 0, &mut [0; 64]);
/// # Ok::<(), token_core::KeyError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Verifier<'k, A = Audience<'k>> {
    keys: Keys<'k>,
    issuer: Expected<'k>,
    audience: A,
    leeway_secs: u32,
}

/// What a [`Verifier`] has until it is told whom its tokens are for; it verifies no claims.
#[derive(Clone, Copy, Debug)]
pub struct NoAudienceYet;

/// Whom the tokens of a [`Verifier`] are for.
#[derive(Clone, Copy, Debug)]
pub struct Audience<'k>(Expected<'k>);

/// What a claim has to be.
#[derive(Clone, Copy, Debug)]
enum Expected<'k> {
    Anything,
    This(&'k str),
    OneOf(&'k [&'k str]),
}

impl Expected<'_> {
    /// Whether one of these is what is expected. Where anything is, there need not be one.
    fn is_among<'c>(self, mut texts: impl Iterator<Item = &'c str>) -> bool {
        match self {
            Expected::Anything => true,
            Expected::This(expected) => texts.any(|text| text == expected),
            Expected::OneOf(expected) => texts.any(|text| expected.contains(&text)),
        }
    }
}

impl<'k> Verifier<'k, NoAudienceYet> {
    /// A verifier that accepts what any of `keys` has signed, once it is told whom for.
    ///
    /// The token's `kid` selects the key: of several with one `kid`, the first that is for the token's type. A token
    /// without `kid` is only for a key without.
    pub const fn new(keys: &'k [Key]) -> Self {
        Verifier { keys: Keys(keys), issuer: Expected::Anything, audience: NoAudienceYet, leeway_secs: 0 }
    }
}

impl<'k, A: Copy> Verifier<'k, A> {
    /// Requires `iss` to be exactly this (RFC 7519 §4.1.1).
    pub const fn issuer(self, issuer: &'k str) -> Self {
        Verifier { issuer: Expected::This(issuer), ..self }
    }

    /// Requires `iss` to be exactly one of these; if there are none, no token is good.
    pub const fn issuers(self, issuers: &'k [&'k str]) -> Self {
        Verifier { issuer: Expected::OneOf(issuers), ..self }
    }

    /// Requires `aud` to be or to contain exactly this (RFC 7519 §4.1.3).
    pub const fn audience(self, audience: &'k str) -> Verifier<'k> {
        self.for_audience(Expected::This(audience))
    }

    /// Requires `aud` to be or to contain exactly one of these, which all are names of this recipient.
    pub const fn audiences(self, audiences: &'k [&'k str]) -> Verifier<'k> {
        self.for_audience(Expected::OneOf(audiences))
    }

    /// Accepts a token whomever it is for, also one for somebody else: look at [`Claims::audiences`] yourself, unless the
    /// key has one use only.
    pub const fn any_audience(self) -> Verifier<'k> {
        self.for_audience(Expected::Anything)
    }

    const fn for_audience(self, audience: Expected<'k>) -> Verifier<'k> {
        let Verifier { keys, issuer, leeway_secs, .. } = self;
        Verifier { keys, issuer, audience: Audience(audience), leeway_secs }
    }

    /// Accepts a token so many seconds after `exp` and before `nbf`, for clocks that differ; 0 unless set.
    pub const fn leeway_secs(self, leeway_secs: u32) -> Self {
        Verifier { leeway_secs, ..self }
    }

    /// Verifies the JWS layer alone (RFC 7515 §5.2) and returns the payload, whatever it is.
    ///
    /// No claim is checked, not even that the token has not expired or whom it is for: this is for payloads that are not
    /// claims, and what is claims passes all the same.
    ///
    /// # Errors
    ///
    /// The [`VerifyError`]s that are not about claims.
    pub fn verify_payload<'b>(
        &self,
        token: impl AsRef<[u8]>,
        buffer: &'b mut [u8],
    ) -> Result<&'b [u8], VerifyError> {
        let payload = self.keys.authenticate(token.as_ref(), buffer)?;
        decode(payload, buffer).map(|payload| &*payload)
    }
}

impl Verifier<'_> {
    /// Verifies a token at the time `now`, in seconds since 1970, and returns its claims.
    ///
    /// `buffer` takes the decoded header, then the decoded payload: [`payload_len_max`] bytes suffice. After an error its
    /// contents mean nothing.
    ///
    /// # Errors
    ///
    /// [`VerifyError`] has one variant for each reason. All but [`VerifyError::is_expired`] are alike to a client.
    pub fn verify<'b>(
        &self,
        token: impl AsRef<[u8]>,
        now: u64,
        buffer: &'b mut [u8],
    ) -> Result<Claims<'b>, VerifyError> {
        let payload = self.keys.authenticate(token.as_ref(), buffer)?;
        self.claims(decode(payload, buffer)?, now)
    }

    /// Verifies a token as [`verify`](Verifier::verify) does, and returns its claims as the JSON that was signed, for a
    /// reader of your own.
    ///
    /// # Errors
    ///
    /// As [`verify`](Verifier::verify).
    pub fn verify_json<'b>(
        &self,
        token: impl AsRef<[u8]>,
        now: u64,
        buffer: &'b mut [u8],
    ) -> Result<&'b str, VerifyError> {
        let payload = self.keys.authenticate(token.as_ref(), buffer)?;
        self.claims(decode(payload, buffer)?, now)?;
        // Judging undoes the escapes, so the bytes are decoded anew.
        str::from_utf8(decode(payload, buffer)?).map_err(|_| VerifyError::MalformedClaims)
    }

    /// Verifies a token as [`verify`](Verifier::verify) does, then reads claims of a type of your own out of it.
    ///
    /// They are read from JSON that has been found strict by then, and in `buffer`: no more of it is needed than to
    /// [`verify`](Verifier::verify). A type may be anything that `serde` derives: maps, enums, tuples, options, nested;
    /// flattened, tagged inside and untagged ones where `serde` has a heap, as it has with `serde_json`. What there is no
    /// reading into is an error and no panic: `i128`, maps whose keys are no text, an array where a struct should be, a
    /// number with a fraction or an exponent where an integer should be.
    ///
    /// ```
    /// use serde::Deserialize;
    /// use token_core::{Key, TypedError, Verifier};
    ///
    /// #[derive(Deserialize)]
    /// struct Visit {
    ///     floor: u8,
    /// }
    ///
    /// let keys = [Key::new(&[7; 32])?];
    /// let mut room = [0; 128];
    /// let token = keys[0].sign_as(&serde_json::json!({ "exp": 100, "floor": "third" }), &mut room)?;
    /// let verdict = Verifier::new(&keys).any_audience().verify_as::<Visit>(token, 99, &mut [0; 64]).map(|(_, visit)| visit.floor);
    /// assert_eq!(verdict, Err(TypedError::WrongClaims { field: Some("floor") }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`TypedError::Refused`] as [`verify`](Verifier::verify), and [`TypedError::WrongClaims`] when the claims are not a `T`.
    pub fn verify_as<'b, T: DeserializeOwned>(
        &self,
        token: impl AsRef<[u8]>,
        now: u64,
        buffer: &'b mut [u8],
    ) -> Result<(Claims<'b>, T), TypedError> {
        let payload = self.keys.authenticate(token.as_ref(), buffer)?;
        let json = decode(payload, buffer)?;
        let has_escapes = json.contains(&b'\\');
        let places = self.claims(json, now)?.into_places();
        if !has_escapes {
            // Neither reader has changed anything, so what the one has found stays where it is.
            let len = base64url::decoded_len(payload.len());
            let json = buffer.get_mut(..len).unwrap_or_default();
            let typed = typed::read(json)?;
            return Ok((Claims::new(json, places), typed));
        }
        // Each reader undoes the escapes in its own order, so each gets the bytes as they were signed.
        let typed = typed::read(decode(payload, buffer)?)?;
        Ok((self.claims(decode(payload, buffer)?, now)?, typed))
    }

    /// Decides whether authentic claims hold now and here.
    fn judge(&self, claims: &Claims<'_>, now: u64) -> Result<(), VerifyError> {
        let leeway = u64::from(self.leeway_secs);
        // "On or after" (RFC 7519 §4.1.4). A sum that does not fit in 64 bits is in the far future all the same.
        if now >= claims.expires_at().saturating_add(leeway) {
            return Err(VerifyError::Expired);
        }
        if claims.not_before().is_some_and(|not_before| now.saturating_add(leeway) < not_before) {
            return Err(VerifyError::NotYetValid);
        }
        if !self.issuer.is_among(claims.issuer().into_iter()) {
            return Err(VerifyError::WrongIssuer);
        }
        if !self.audience.0.is_among(claims.audiences()) {
            return Err(VerifyError::WrongAudience);
        }
        Ok(())
    }

    /// Reads the claims of an authentic payload, and judges them.
    fn claims<'b>(&self, payload: &'b mut [u8], now: u64) -> Result<Claims<'b>, VerifyError> {
        let mut claims = Claims::empty();
        claims.read(payload).map_err(|fault| match fault {
            Fault::MISSING => VerifyError::MissingExpiry,
            Fault::TOO_DEEP => VerifyError::BeyondLimit(Limit::Depth),
            Fault::TOO_MANY_NAMES => VerifyError::BeyondLimit(Limit::Names),
            Fault::TOO_MANY_TEXTS => VerifyError::BeyondLimit(Limit::Audiences),
            other => match other.invalid_place().and_then(Claim::at) {
                Some(claim) => VerifyError::InvalidClaim(claim),
                None => VerifyError::MalformedClaims,
            },
        })?;
        self.judge(&claims, now)?;
        Ok(claims)
    }
}

/// The keys of a verifier, which do not depend on what else it knows.
#[derive(Clone, Copy, Debug)]
struct Keys<'k>(&'k [Key]);

impl<'k> Keys<'k> {
    /// The encoded payload of a token whose MAC is right. `buffer` is for a header that has to be read.
    fn authenticate<'t>(&self, token: &'t [u8], buffer: &mut [u8]) -> Result<&'t [u8], VerifyError> {
        if token.len() > TOKEN_LEN_MAX {
            return Err(VerifyError::BeyondLimit(Limit::TokenLength));
        }
        let (signing_input, signature) = split_signature(token).ok_or(VerifyError::Malformed)?;
        let (key, payload) = self.key_and_payload(signing_input, buffer)?;
        if key.has_signed(signing_input, signature) { Ok(payload) } else { Err(VerifyError::BadSignature) }
    }

    /// The key that the header asks for, and the encoded payload after it.
    ///
    /// A header as our own keys write it is recognised without being decoded. A dot too many is left in the payload,
    /// where it is no base64url.
    fn key_and_payload<'t>(
        &self,
        signing_input: &'t [u8],
        buffer: &mut [u8],
    ) -> Result<(&'k Key, &'t [u8]), VerifyError> {
        for key in self.0 {
            if let Some(payload) = signing_input.strip_prefix(key.header()) {
                return Ok((key, payload));
            }
        }
        let dot = signing_input.iter().position(|&byte| byte == b'.').ok_or(VerifyError::Malformed)?;
        let (header, payload) = signing_input.split_at_checked(dot).ok_or(VerifyError::Malformed)?;
        let payload = payload.strip_prefix(b".").ok_or(VerifyError::Malformed)?;
        Ok((self.key_for(header, buffer)?, payload))
    }

    /// The key for a header that has to be read. Kept apart, so that the reader is on the stack only meanwhile.
    #[inline(never)]
    fn key_for(&self, header: &[u8], buffer: &mut [u8]) -> Result<&'k Key, VerifyError> {
        if header.len() > HEADER_LEN_MAX {
            return Err(VerifyError::BeyondLimit(Limit::HeaderLength));
        }
        let header = header::read(decode(header, buffer)?)?;
        let mut error = VerifyError::UnknownKey;
        for key in self.0 {
            if !key.answers_to(header.kid) {
                continue;
            }
            if key.accepts_type(header.typ) {
                return Ok(key);
            }
            error = VerifyError::WrongType;
        }
        Err(error)
    }
}

/// Decodes a segment into the front of `buffer`, and returns that.
fn decode<'b>(segment: &[u8], buffer: &'b mut [u8]) -> Result<&'b mut [u8], VerifyError> {
    let len = base64url::decode(segment, buffer).map_err(|error| match error {
        DecodeError::Invalid => VerifyError::Malformed,
        DecodeError::BufferTooSmall => VerifyError::BufferTooSmall,
    })?;
    buffer.get_mut(..len).ok_or(VerifyError::BufferTooSmall)
}

/// What is signed, and the signature. It has one length, so nothing has to be searched for.
fn split_signature(token: &[u8]) -> Option<(&[u8], &[u8])> {
    let (signed, signature) = token.split_at_checked(token.len().checked_sub(SIGNATURE_LEN)?)?;
    Some((signed.strip_suffix(b".")?, signature))
}

/// Compares in a time that depends on the lengths alone.
pub(crate) fn is_equal(left: &[u8], right: &[u8]) -> bool {
    let difference = left.iter().zip(right).fold(0, |difference, (left, right)| difference | (left ^ right));
    // Without the barrier the compiler may return at the first difference.
    left.len() == right.len() && core::hint::black_box(difference) == 0
}

/// A limit that a token is beyond.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Limit {
    /// [`TOKEN_LEN_MAX`]
    TokenLength,
    /// [`HEADER_LEN_MAX`]
    HeaderLength,
    /// [`DEPTH_MAX`](crate::DEPTH_MAX), in the claims.
    Depth,
    /// [`NAMES_MAX`](crate::NAMES_MAX), in the claims.
    Names,
    /// [`AUDIENCES_MAX`](crate::AUDIENCES_MAX)
    Audiences,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Limit::TokenLength => "the token is longer than 8192 characters",
            Limit::HeaderLength => "the header of the token is longer than 512 characters",
            Limit::Depth => "the claims are nested deeper than 16 objects and arrays",
            Limit::Names => "the claims have more than 64 names open at a time",
            Limit::Audiences => "the token has more than 8 audiences",
        })
    }
}

/// Why a token was not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum VerifyError {
    /// More than this crate takes, of what may be a good token to others.
    BeyondLimit(Limit),
    /// Not three segments of canonical base64url, or the header is not strict JSON (RFC 7515 §5.2) or nested
    /// too deep.
    Malformed,
    /// The header names another algorithm than HS256 (RFC 8725 §3.1).
    UnsupportedAlgorithm,
    /// The header has `crit` or `b64`: it asks for an extension (RFC 7515 §4.1.11, RFC 7797).
    CriticalHeader,
    /// The header brings a key, or says that the payload is something else than claims (RFC 8725 §3.10).
    ForbiddenHeader,
    /// No key of this `kid`.
    UnknownKey,
    /// The `typ` is not the key's (RFC 8725 §3.11).
    WrongType,
    /// The key did not sign this.
    BadSignature,
    /// The buffer is too small for the header or for the payload.
    BufferTooSmall,
    /// The payload is not one object in strict JSON, or a name in it comes twice.
    MalformedClaims,
    /// This claim has the wrong type, comes twice, or is a time no clock shows.
    InvalidClaim(Claim),
    /// There is no `exp`.
    MissingExpiry,
    /// It is `exp` or later (RFC 7519 §4.1.4).
    Expired,
    /// It is earlier than `nbf` (RFC 7519 §4.1.5).
    NotYetValid,
    /// The `iss` is not the expected one, or absent.
    WrongIssuer,
    /// The `aud` does not name the expected audience, or is absent.
    WrongAudience,
}

impl VerifyError {
    /// Whether the token was good once: the one refusal that a client answers by refreshing.
    pub fn is_expired(self) -> bool {
        self == VerifyError::Expired
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            VerifyError::BeyondLimit(limit) => return limit.fmt(f),
            VerifyError::Malformed => "the token is malformed",
            VerifyError::UnsupportedAlgorithm => "the token is not signed with HS256",
            VerifyError::CriticalHeader => "the header asks for an extension",
            VerifyError::ForbiddenHeader => "the header has a member that is not accepted",
            VerifyError::UnknownKey => "there is no key for the token",
            VerifyError::WrongType => "the token is of another type",
            VerifyError::BadSignature => "the signature is wrong",
            VerifyError::BufferTooSmall => "the buffer is too small for the claims",
            VerifyError::MalformedClaims => "the claims are malformed",
            VerifyError::InvalidClaim(claim) => {
                f.write_str("the claim has the wrong type, comes twice or is no time: ")?;
                claim.name()
            }
            VerifyError::MissingExpiry => "the token never expires",
            VerifyError::Expired => "the token has expired",
            VerifyError::NotYetValid => "the token is not valid yet",
            VerifyError::WrongIssuer => "the token is from another issuer",
            VerifyError::WrongAudience => "the token is for another audience",
        };
        f.write_str(text)
    }
}

impl core::error::Error for VerifyError {}
