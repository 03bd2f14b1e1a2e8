//! Any claims: what was signed is what verifying gives back, up to the second of `exp` and not after.

#![no_main]

use latchkey_fuzz::{ROOM, key};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use token_core::{NewClaims, Verifier, VerifyError};

#[derive(Arbitrary, Debug)]
struct Given<'a> {
    times: (u64, Option<u64>, Option<u64>),
    names: [Option<&'a str>; 6],
}

fuzz_target!(|given: Given<'_>| {
    let (expires_at, not_before, issued_at) = given.times;
    let [issuer, subject, audience, id, session, role] = given.names;
    let claims =
        NewClaims { issuer, subject, audience, expires_at, not_before, issued_at, id, session, role };
    let (keys, mut buffer, mut room) = ([key()], [0; ROOM], [0; ROOM]);
    let (Ok(token), Some(now)) = (keys[0].sign(&claims, &mut room), expires_at.checked_sub(1)) else {
        return;
    };
    let verifier = [issuer].into_iter().flatten().fold(Verifier::new(&keys), Verifier::issuer);
    let verifier = [audience].into_iter().flatten().fold(verifier, Verifier::audience);

    assert_eq!(verifier.verify(token, expires_at, &mut buffer).err(), Some(VerifyError::Expired));
    match verifier.verify(token, now, &mut buffer) {
        Ok(read) => {
            let names = [
                read.issuer(),
                read.subject(),
                read.audiences().next(),
                read.id(),
                read.session(),
                read.role(),
            ];
            assert_eq!(names, given.names);
            assert_eq!((read.expires_at(), read.not_before(), read.issued_at()), given.times);
        }
        Err(error) => assert_eq!((error, Some(now) < not_before), (VerifyError::NotYetValid, true)),
    }
});
