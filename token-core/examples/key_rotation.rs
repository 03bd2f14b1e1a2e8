//! A new key, while tokens of the old one are still about: `cargo run -p token-core --example key_rotation`.

use token_core::{Key, NewClaims, Verifier, VerifyError};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let first = Key::new(&[1; 32])?.with_type("at+jwt")?.with_kid("2026-01")?;
    let second = Key::new(&[2; 32])?.with_type("at+jwt")?.with_kid("2026-02")?;
    let claims = NewClaims { subject: Some("ada"), expires_at: 1_000, ..NewClaims::default() };
    let mut buffer = [0; 64];

    // January: one key signs and verifies.
    let of_january = first.sign_to::<160>(&claims)?;

    // February: the new key is told to those who verify before anyone signs with it. Then it signs, and the old one
    // verifies for as long as its last token lives.
    let both = [second, first];
    let of_february = both[0].sign_to::<160>(&claims)?;
    for token in [&of_january, &of_february] {
        assert_eq!(
            Verifier::new(&both).any_audience().verify(token, 999, &mut buffer)?.subject(),
            Some("ada")
        );
    }

    // After that it goes, and whatever it signed is refused without a look at the signature.
    let of_old = Verifier::new(&both[..1]).any_audience().verify(&of_january, 999, &mut buffer).err();
    assert_eq!(of_old, Some(VerifyError::UnknownKey));
    println!("both keys verify while they overlap; after that only the new one");
    Ok(())
}
