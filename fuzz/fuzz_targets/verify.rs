//! Any bytes as a token, and as the payload of one that is signed for them, since a fuzzer cannot find a MAC: no panic, no
//! claims after `exp`, the payload that was signed, and the same claims for a type of one's own.

#![no_main]

use latchkey_fuzz::claims::Own;
use latchkey_fuzz::{NOW, ROOM, key};
use libfuzzer_sys::fuzz_target;
use token_core::{Verifier, VerifyError};

fuzz_target!(|input: &[u8]| {
    let keys = [key().with_kid("1").expect("a digit is a key id")];
    let verifier = Verifier::new(&keys);
    let (mut buffer, mut room) = ([0; ROOM], [0; 2 * ROOM]);

    if let Ok(claims) = verifier.verify(input, NOW, &mut buffer) {
        assert!(claims.expires_at() > NOW);
    }
    if let Ok(token) = keys[0].sign_payload(input, &mut room) {
        match verifier.verify(token, NOW, &mut buffer) {
            Ok(claims) => assert!(claims.expires_at() > NOW),
            Err(error) => assert_ne!(error, VerifyError::BadSignature),
        }
        assert_eq!(verifier.verify_payload(token, &mut buffer), Ok(input));
        let typed = verifier.verify_as::<Own>(token, NOW, &mut buffer);
        if let Ok((exp, own)) = typed.map(|(claims, own)| (claims.expires_at(), own)) {
            let claims = verifier.verify(token, NOW, &mut buffer).expect("typed claims are of a good token");
            assert_eq!((exp, own.exp, own.sub.as_deref()), (claims.expires_at(), exp, claims.subject()));
        }
    }
});
