//! Any bytes as a token: never a panic, and no claims but for a token that the key itself signs the same way.
//!
//! A fuzzer cannot find a MAC, so the input is also taken as a payload, signed for it, and verified.

#![no_main]

use libfuzzer_sys::fuzz_target;
use token_core::{Key, Verifier, VerifyError};

const SECRET: &[u8; 32] = b"a fuzzing secret, 32 bytes long.";
const NOW: u64 = 1_800_000_000;

fuzz_target!(|input: &[u8]| {
    let keys = [Key::new(SECRET).and_then(|key| key.with_kid("1")).expect("a secret of 32 bytes")];
    let verifier = Verifier::new(&keys);
    let (mut buffer, mut room) = ([0; 8192], [0; 16_384]);

    if let Ok(claims) = verifier.verify(input, NOW, &mut buffer) {
        assert!(claims.expires_at() > NOW);
    }
    if let Ok(token) = keys[0].sign_payload(input, &mut room) {
        match verifier.verify(token, NOW, &mut buffer) {
            Ok(claims) => assert!(claims.expires_at() > NOW),
            Err(error) => assert_ne!(error, VerifyError::BadSignature),
        }
        assert_eq!(verifier.verify_payload(token, &mut buffer), Ok(input));
    }
});
