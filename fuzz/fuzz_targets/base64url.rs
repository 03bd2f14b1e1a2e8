//! Any bytes as the payload segment of an authentic token: decoded if and only as base64ct decodes them.

#![no_main]

use base64ct::{Base64UrlUnpadded, Encoding as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use latchkey_fuzz::{ROOM, SECRET, key};
use libfuzzer_sys::fuzz_target;
use sha2::Sha256;
use token_core::{Limit, Verifier, VerifyError};

/// `{"alg":"HS256","typ":"JWT"}`
const HEADER: &[u8] = b"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.";

fuzz_target!(|input: &[u8]| {
    let (keys, mut buffer, mut theirs, mut room) = ([key()], [0; ROOM], [0; ROOM], [0; 2 * ROOM]);
    let signing_input = [HEADER, input].concat();
    let keyed = Hmac::<Sha256>::new_from_slice(SECRET).expect("HMAC accepts keys of any length");
    let tag = keyed.chain_update(&signing_input).finalize().into_bytes();
    let token = [&signing_input, &b"."[..], Base64UrlUnpadded::encode_string(&tag).as_bytes()].concat();

    match Verifier::new(&keys).verify_payload(&token, &mut buffer) {
        Err(VerifyError::BeyondLimit(Limit::TokenLength)) => return,
        decoded => assert_eq!(decoded.ok(), Base64UrlUnpadded::decode(input, &mut theirs).ok()),
    }
    if let Ok(token) = keys[0].sign_payload(input, &mut room) {
        let payload = token.split('.').nth(1).expect("a token has three segments");
        assert_eq!(payload, Base64UrlUnpadded::encode_string(input));
    }
});
