//! Any bytes as a token, and as the payload of one that is signed for them, since a fuzzer cannot find a MAC: no panic, no
//! claims after `exp`, the payload that was signed, and the same claims for a type of one's own.

#![no_main]

use latchkey_fuzz::claims::Own;
use latchkey_fuzz::{NOW, ROOM, forge, key};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use token_core::{Verifier, VerifyError};

fuzz_target!(|input: &[u8]| {
    let keys = [key()];
    let verifier = Verifier::new(&keys).any_audience();
    let (mut buffer, mut room) = ([0; ROOM], [0; 2 * ROOM]);

    if let Ok(claims) = verifier.verify(input, NOW, &mut buffer) {
        assert!(claims.expires_at() > NOW);
    }
    let token = forge(input);
    let verdict = verifier.verify(&token, NOW, &mut buffer).map(|claims| claims.expires_at());
    match verdict {
        Ok(expires_at) => assert!(expires_at > NOW),
        Err(error) => assert_ne!(error, VerifyError::BadSignature),
    }
    let typed = verifier.verify_as::<Own>(&token, NOW, &mut buffer);
    if let Ok((exp, own)) = typed.map(|(claims, own)| (claims.expires_at(), own)) {
        let claims = verifier.verify(&token, NOW, &mut buffer).expect("typed claims are of a good token");
        assert_eq!((exp, own.exp, own.sub.as_deref()), (claims.expires_at(), exp, claims.subject()));
    }
    // Good claims are JSON to serde_json as well, and whatever it holds can be read, unless a number is beyond its floats.
    let any = verifier.verify_as::<Value>(&token, NOW, &mut buffer).map(|(_, any)| any);
    if let (Ok(any), Ok(theirs)) = (&any, serde_json::from_slice::<Value>(input)) {
        assert_eq!(any.as_object().map(|any| any.len()), theirs.as_object().map(|theirs| theirs.len()));
    }
    assert!(verdict.is_ok() || any.is_err());

    if let Ok(token) = keys[0].sign_payload(input, &mut room) {
        assert!(verifier.verify(token, NOW, &mut buffer).is_err(), "a payload passes as claims");
        assert_eq!(verifier.verify_payload(token, &mut buffer), Ok(input));
    }
});
