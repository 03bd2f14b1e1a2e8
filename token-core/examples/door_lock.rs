//! A lock that opens to whoever has a good token for it: `cargo run -p token-core --example door_lock`.
//!
//! `tests/firmware` has it as firmware for four processors.

use token_core::{Key, NewClaims, Verifier, VerifyError};

/// A secret of the lock's own; really 32 random bytes.
const SECRET: &[u8; 32] = b"a lock and its server share this";

/// Longest token the lock takes.
const TOKEN_LEN_MAX: usize = 512;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let keys = [Key::new(SECRET)?.with_type("door+jwt")?];
    let lock = Verifier::new(&keys).issuer("home").audience("front-door").leeway_secs(5);

    // What the server hands to Ada's phone ...
    let claims = NewClaims {
        issuer: Some("home"),
        audience: Some("front-door"),
        subject: Some("ada"),
        role: Some("resident"),
        expires_at: 1_800_000_600,
        ..NewClaims::default()
    };
    let token = keys[0].sign_to::<TOKEN_LEN_MAX>(&claims)?;

    // ... and what the lock makes of it.
    assert_eq!(open(&lock, &token, 1_800_000_000), Ok(true));
    assert_eq!(open(&lock, &token, 1_800_000_605), Err(VerifyError::Expired));
    assert_eq!(open(&lock, &token[1..], 1_800_000_000), Err(VerifyError::Malformed));
    println!("the door opens to ada, until her token expires");
    Ok(())
}

/// Whether the door opens to the bearer of a token.
fn open(lock: &Verifier<'_>, token: &str, now: u64) -> Result<bool, VerifyError> {
    let mut buffer = [0; token_core::payload_len_max(TOKEN_LEN_MAX)];
    let claims = lock.verify(token, now, &mut buffer)?;
    Ok(claims.role() == Some("resident"))
}
