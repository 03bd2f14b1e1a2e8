//! Any claims: what was signed is what verifying gives back, up to the second of `exp` and not after.

#![no_main]

use latchkey_fuzz::claims::AnyClaims;
use latchkey_fuzz::{ROOM, key};
use libfuzzer_sys::fuzz_target;
use token_core::{Verifier, VerifyError};

fuzz_target!(|claims: AnyClaims<'_>| {
    let (expires_at, not_before, _) = claims.times;
    let ([issuer, _, audience, ..], keys) = (claims.names, [key()]);
    let (mut buffer, mut room) = ([0; ROOM], [0; ROOM]);
    let Ok(token) = keys[0].sign(&claims.to_sign(), &mut room) else { return };
    let Some(now) = expires_at.checked_sub(1) else { return };
    let verifier = issuer.into_iter().fold(Verifier::new(&keys).any_audience(), Verifier::issuer);
    let verifier = audience.into_iter().fold(verifier, Verifier::audience);

    assert_eq!(verifier.verify(token, expires_at, &mut buffer).err(), Some(VerifyError::Expired));
    match verifier.verify(token, now, &mut buffer) {
        Ok(read) => assert_eq!(AnyClaims::of(&read), claims),
        Err(error) => assert_eq!((error, Some(now) < not_before), (VerifyError::NotYetValid, true)),
    }
});
