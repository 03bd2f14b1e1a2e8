//! A lock that opens to whoever has a token for it: all that a verifying firmware needs.
#![no_std]
#![no_main]

use latchkey_firmware::{TOKEN, entry, finish, received};
use token_core::{Key, Verifier};

const SECRET: &[u8; 32] = b"a lock and its server share this";

#[entry]
fn main() -> ! {
    let Ok(key) = Key::new(SECRET) else { finish(false) };
    let token = received(TOKEN);
    finish(opens(&key, token, 1_800_000_000) && !opens(&key, token, 1_800_000_600))
}

/// Whether the door opens to a token now.
fn opens(key: &Key, token: &str, now: u64) -> bool {
    let mut buffer = [0; 256];
    let lock = Verifier::new(core::slice::from_ref(key)).issuer("latchkey").audience("front-door");
    lock.verify(token, now, &mut buffer).is_ok_and(|claims| claims.role() == Some("resident"))
}
