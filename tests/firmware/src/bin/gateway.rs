//! A gateway that lets in who has a token for it, and signs them one for the device behind it: verifies and signs.
#![no_std]
#![no_main]

use latchkey_firmware::{TOKEN, entry, finish, received};
use token_core::{Key, NewClaims, Verifier};

const SECRET: &[u8; 32] = b"a lock and its server share this";

#[entry]
fn main() -> ! {
    let Ok(key) = Key::new(SECRET) else { finish(false) };
    let mut out = [0; 256];
    let token = received(TOKEN);
    finish(exchange(&key, token, 1_800_000_000, &mut out).is_some_and(|token| !received(token).is_empty()))
}

/// A token for the device, in exchange for one that is good now.
fn exchange<'b>(key: &Key, token: &str, now: u64, out: &'b mut [u8]) -> Option<&'b str> {
    let mut buffer = [0; 256];
    let verifier = Verifier::new(core::slice::from_ref(key)).issuer("latchkey").audience("front-door");
    let person = verifier.verify(token, now, &mut buffer).ok()?;
    let claims = NewClaims {
        issuer: Some("gateway"),
        subject: person.subject(),
        audience: Some("pump"),
        expires_at: now + 60,
        ..NewClaims::default()
    };
    key.sign(&claims, out).ok()
}
