//! A forger who has the key: signs any header and payload correctly, with code that is not token-core's.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use token_core::{Key, Verifier, VerifyError};

pub(crate) const SECRET: [u8; 32] = *b"0123456789abcdef0123456789abcdef";
pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const HEADER: &str = r#"{"alg":"HS256"}"#;
pub(crate) const CLAIMS: &str = r#"{"iss":"home","aud":"door","exp":1800000600}"#;

pub(crate) fn key() -> Key {
    Key::new(&SECRET).unwrap()
}

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    let bytes = bytes.as_ref();
    let mut text = vec![0; bytes.len().div_ceil(3) * 4];
    Base64UrlUnpadded::encode(bytes, &mut text).unwrap().to_owned()
}

pub(crate) fn sign(signing_input: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(&SECRET).unwrap().chain_update(signing_input);
    format!("{signing_input}.{}", encode(mac.finalize().into_bytes()))
}

pub(crate) fn forge(header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
    sign(&format!("{}.{}", encode(header), encode(payload)))
}

/// The answer to a token, at `NOW`, with the plain key and no expectations.
pub(crate) fn verdict(token: impl AsRef<[u8]>) -> Result<(), VerifyError> {
    verdict_of(&Verifier::new(&[key()]).any_audience(), token)
}

pub(crate) fn verdict_of(verifier: &Verifier<'_>, token: impl AsRef<[u8]>) -> Result<(), VerifyError> {
    verifier.verify(token, NOW, &mut [0; 8192]).map(|_| ())
}

/// The answer to correctly signed claims.
pub(crate) fn claims_verdict(claims: impl AsRef<[u8]>) -> Result<(), VerifyError> {
    verdict(forge(HEADER, claims))
}

/// The answer to a correctly signed header over good claims.
pub(crate) fn header_verdict(header: impl AsRef<[u8]>) -> Result<(), VerifyError> {
    verdict(forge(header, CLAIMS))
}
