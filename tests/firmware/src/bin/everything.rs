//! Signs, verifies, refuses and measures: prints one line of figures when all is as it should be.
#![no_std]
#![no_main]

use core::slice;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use latchkey_firmware::vectors::{RFC_7515_A_1, RFC_7520_4_4, Vector};
use latchkey_firmware::{Meter, TOKEN, entry, finish, received, stack_used};
use semihosting::println;
use token_core::{HEADER_LEN_MAX, Key, Limit, NewClaims, TOKEN_LEN_MAX, Verifier, VerifyError, token_len};

const SECRET: &[u8; 32] = b"a lock and its server share this";
const NOW: u64 = 1_800_000_000;

/// The claims of [`TOKEN`].
const CLAIMS: NewClaims<'static> = NewClaims {
    issuer: Some("latchkey"),
    subject: Some("ada.byron"),
    audience: Some("front-door"),
    expires_at: 1_800_000_600,
    not_before: None,
    issued_at: None,
    id: None,
    session: None,
    role: Some("resident"),
};

/// How long the claims are that are nested as deep as they can be: what the 16 KB of the smallest board have room for,
/// once as they are and once as a token.
const LONG_CLAIMS_LEN: usize = 4096;
const LONG_TOKEN_LEN: usize = token_len(27, LONG_CLAIMS_LEN);

/// A hundred thousand `[` in base64url. Only the flash has room for them.
static DEEPER_THAN_ANY_TOKEN: [[u8; 4]; 33_334] = [*b"W1tb"; 33_334];

#[entry]
fn main() -> ! {
    let Ok(key) = Key::new(SECRET) else { finish(false) };
    check("published tokens", published_tokens_are_verified());
    check("our own token", our_own_token_is_signed_and_verified(&key));
    check("tampering", every_change_of_a_character_is_refused(&key));
    figures(&key);
    finish(true)
}

fn check(what: &str, is_good: bool) {
    if !is_good {
        println!("wrong: {what}");
        finish(false);
    }
}

fn published_tokens_are_verified() -> bool {
    let Some(joes) = key_of(&RFC_7515_A_1) else { return false };
    let mut buffer = [0; 256];
    let joe = Verifier::new(slice::from_ref(&joes)).issuer("joe").any_audience();
    let is_joe = joe.verify(RFC_7515_A_1.token, 1_300_819_379, &mut buffer).is_ok();
    let too_late = joe.verify(RFC_7515_A_1.token, 1_300_819_380, &mut buffer).err();

    let Some(bilbos) = key_of(&RFC_7520_4_4) else { return false };
    let bilbo = Verifier::new(slice::from_ref(&bilbos));
    let Ok(sentence) = bilbo.verify_payload(RFC_7520_4_4.token, &mut buffer) else { return false };
    let mut out = [0; 512];
    let Ok(signed) = bilbos.sign_payload(sentence, &mut out) else { return false };
    let is_same_payload = signed.split('.').nth(1) == RFC_7520_4_4.token.split('.').nth(1);
    is_joe && too_late == Some(VerifyError::Expired) && is_same_payload
}

fn key_of(vector: &Vector) -> Option<Key> {
    let mut secret = [0; 64];
    let key = Key::new(Base64UrlUnpadded::decode(vector.key, &mut secret).ok()?).ok()?;
    match vector.kid {
        Some(kid) => key.with_kid(kid).ok(),
        None => Some(key),
    }
}

/// What the host signed with code that is not ours, the device signs to the letter.
fn our_own_token_is_signed_and_verified(key: &Key) -> bool {
    let mut out = [0; 256];
    let mut buffer = [0; 256];
    key.sign(&CLAIMS, &mut out) == Ok(TOKEN) && verify(key, TOKEN.as_bytes(), &mut buffer).is_ok()
}

fn every_change_of_a_character_is_refused(key: &Key) -> bool {
    let mut buffer = [0; 256];
    (0..TOKEN.len()).all(|place| {
        let mut token = [0; TOKEN.len()];
        token.copy_from_slice(TOKEN.as_bytes());
        token[place] = if token[place] == b'A' { b'B' } else { b'A' };
        verify(key, &token, &mut buffer).is_err()
    })
}

#[inline(always)]
fn verify(key: &Key, token: &[u8], buffer: &mut [u8]) -> Result<(), VerifyError> {
    let lock = Verifier::new(slice::from_ref(key)).issuer("latchkey").audience("front-door");
    lock.verify(token, NOW, buffer).map(|_| ())
}

fn figures(key: &Key) {
    let mut buffer = [0; LONG_CLAIMS_LEN];
    let mut out = [0; LONG_TOKEN_LEN];

    let key_stack = stack_used(|| check("key", Key::new(received(SECRET)).is_ok()));
    let sign_stack = stack_used(|| check("sign", key.sign(received(&CLAIMS), &mut out).is_ok()));
    let token = received(TOKEN.as_bytes());
    let verify_stack = stack_used(|| check("verify", verify(key, token, &mut buffer).is_ok()));

    // Before the MAC there is only the header to attack with, after it the claims.
    let mut header = |opening: &[u8; 8], rest: &[u8; 4]| {
        let token = &mut out[..HEADER_LEN_MAX + TOKEN.len()];
        token.as_chunks_mut().0.fill(*rest);
        token[..opening.len()].copy_from_slice(opening);
        token[HEADER_LEN_MAX..].copy_from_slice(TOKEN.as_bytes());
        token[HEADER_LEN_MAX] = b'.';
        stack_used(|| check("header", verify(key, token, &mut buffer) == Err(VerifyError::Malformed)))
    };
    // {"a":"aaa... and {"a":[[[...
    let flat_header_stack = header(b"eyJhIjoi", b"YWFh");
    let nested_header_stack = header(b"eyJhIjpb", b"W1tb");

    let mut claims = |opening: &[u8], rest: u8, closing: &[u8], expected| {
        buffer.fill(rest);
        buffer[..opening.len()].copy_from_slice(opening);
        buffer[LONG_CLAIMS_LEN - closing.len()..].copy_from_slice(closing);
        let token = key.sign_payload(&buffer, &mut out).unwrap_or_default();
        stack_used(|| check("claims", verify(key, token.as_bytes(), &mut buffer) == Err(expected)))
    };
    let flat_claims_stack = claims(b"{\"x\":\"", b'a', b"\"}", VerifyError::MissingExpiry);
    let nested_claims_stack = claims(b"{\"x\":", b'[', b"]}", VerifyError::BeyondLimit(Limit::Depth));

    let deepest = DEEPER_THAN_ANY_TOKEN.as_flattened();
    let deepest_stack = stack_used(|| {
        check(
            "deepest",
            verify(key, deepest, &mut buffer) == Err(VerifyError::BeyondLimit(Limit::TokenLength)),
        )
    });
    check("depth", deepest.len() / 4 * 3 > 100_000 && deepest.len() > TOKEN_LEN_MAX);
    check("nested header", nested_header_stack <= flat_header_stack);
    check("nested claims", nested_claims_stack <= flat_claims_stack);
    check("deepest", deepest_stack <= verify_stack);

    let mut meter = Meter::new();
    let key_instructions = meter.instructions(|| check("key", Key::new(received(SECRET)).is_ok()));
    let sign_instructions =
        meter.instructions(|| check("sign", key.sign(received(&CLAIMS), &mut out).is_ok()));
    let verify_instructions = meter.instructions(|| check("verify", verify(key, token, &mut buffer).is_ok()));

    println!(
        "key_stack={key_stack} sign_stack={sign_stack} verify_stack={verify_stack} \
         flat_header_stack={flat_header_stack} nested_header_stack={nested_header_stack} \
         flat_claims_stack={flat_claims_stack} nested_claims_stack={nested_claims_stack} \
         deepest_stack={deepest_stack} key_instructions={key_instructions} \
         sign_instructions={sign_instructions} verify_instructions={verify_instructions}"
    );
}
