//! Firmware that opens to a token for it, by token-core.
#![no_std]
#![no_main]

use latchkey_firmware::{TOKEN, entry, finish, received};
use token_core::{Key, Verifier};

#[entry]
fn main() -> ! {
    let Ok(key) = Key::new(b"a lock and its server share this") else { finish(false) };
    let token = received(TOKEN);
    finish(opens(&key, token, 1_800_000_000) && !opens(&key, token, 1_800_000_601))
}

fn opens(key: &Key, token: &str, now: u64) -> bool {
    let mut buffer = [0; 256];
    let lock = Verifier::new(core::slice::from_ref(key)).issuer("latchkey").audience("front-door");
    lock.verify(token, now, &mut buffer).is_ok_and(|claims| claims.role() == Some("resident"))
}
