//! Published vectors, as data: RFC 7515 A.1, RFC 7520 §4.4, RFC 4231.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use token_core::{Key, KeyError, Verifier, VerifyError};

fn vectors() -> Value {
    serde_json::from_str(include_str!("../vectors/rfc_vectors.json")).unwrap()
}

fn string<'v>(vector: &'v Value, name: &str) -> &'v str {
    vector[name].as_str().unwrap()
}

fn secret(vector: &Value) -> Vec<u8> {
    let mut secret = [0; 128];
    Base64UrlUnpadded::decode(string(vector, "key_b64url"), &mut secret).unwrap().to_vec()
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn rfc_7515_appendix_a_1_verifies_until_it_expires() {
    let vector = &vectors()["rfc7515_a1"];
    let keys = [Key::new(&secret(vector)).unwrap()];
    let verifier = Verifier::new(&keys).any_audience().issuer("joe");
    let exp = vector["exp"].as_u64().unwrap();

    let mut buffer = [0; 128];
    let claims = verifier.verify(string(vector, "token"), exp - 1, &mut buffer).unwrap();
    assert_eq!(claims.issuer(), Some("joe"));
    assert_eq!(claims.expires_at(), exp);
    assert_eq!(claims.subject(), None);

    let expired = verifier.verify(string(vector, "token"), exp, &mut buffer).unwrap_err();
    assert_eq!(expired, VerifyError::Expired);
    assert!(expired.is_expired());
}

#[test]
fn rfc_7520_section_4_4_has_a_good_signature_and_its_payload_is_encoded_to_the_letter() {
    let vector = &vectors()["rfc7520_4_4"];
    let token = string(vector, "token");
    let kid = "018c0ae5-4d9b-471b-bfd6-eef314bc7037";
    let keys = [Key::new(&secret(vector)).unwrap().with_kid(kid).unwrap()];
    let mut buffer = [0; 256];
    let payload = Verifier::new(&keys).verify_payload(token, &mut buffer).unwrap();
    let text = std::str::from_utf8(payload).unwrap();
    assert!(text.starts_with("It\u{2019}s a dangerous business, Frodo"), "{text}");
    assert!(text.ends_with("where you might be swept off to."), "{text}");

    // The RFC's header has no `typ`, ours has, so the signature is reproduced through the same payload only.
    let mut out = [0; 512];
    let ours = keys[0].sign_payload(payload, &mut out).unwrap();
    assert_eq!(ours.split('.').nth(1), token.split('.').nth(1));
}

#[test]
fn rfc_7520_section_4_4_is_no_set_of_claims() {
    let vector = &vectors()["rfc7520_4_4"];
    let keys = [Key::new(&secret(vector)).unwrap().with_kid("018c0ae5-4d9b-471b-bfd6-eef314bc7037").unwrap()];
    let refused =
        Verifier::new(&keys).any_audience().verify(string(vector, "token"), 0, &mut [0; 256]).unwrap_err();
    assert_eq!(refused, VerifyError::MalformedClaims);
}

#[test]
fn the_key_of_the_well_known_example_is_too_short() {
    let vector = &vectors()["jwt_io_classic"];
    assert_eq!(Key::new(string(vector, "key_utf8").as_bytes()).err(), Some(KeyError::SecretTooShort));
}

/// The floor we stand on; `key.rs` runs the same vectors through our own tag.
#[test]
fn rfc_4231_hmac_sha_256() {
    let vectors = vectors();
    for vector in vectors["rfc4231_hmac_sha256"].as_array().unwrap() {
        let mac = Hmac::<Sha256>::new_from_slice(&unhex(string(vector, "key"))).unwrap();
        let mac = mac.chain_update(unhex(string(vector, "msg"))).finalize().into_bytes();
        assert_eq!(mac.as_slice(), unhex(string(vector, "mac")));
    }
}
