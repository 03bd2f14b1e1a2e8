//! A sensor that signs what it measured: `cargo run -p token-core --example sensor`.

use serde::{Deserialize, Serialize};
use token_core::{Key, Verifier, header_len, token_len};

/// A secret of the sensor's own; really 32 random bytes.
const SECRET: &[u8; 32] = b"a sensor and its server share it";

/// What the sensor says. Names of registered claims mean what they always do.
#[derive(Serialize)]
struct Reading<'a> {
    exp: u64,
    sub: &'a str,
    milli_celsius: i32,
}

/// What the server reads of it beside the registered claims.
#[derive(Deserialize)]
struct Received {
    milli_celsius: i32,
}

/// Room for the longest reading: names and numbers at their longest, and a name of 16 bytes.
const READING_LEN_MAX: usize =
    r#"{"exp":18446744073709551615,"sub":"0123456789abcdef","milli_celsius":-2147483648}"#.len();
const TOKEN_LEN: usize = token_len(header_len("reading+jwt".len(), None), READING_LEN_MAX);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let keys = [Key::new(SECRET)?.with_type("reading+jwt")?];

    let reading = Reading { exp: 1_800_000_060, sub: "cellar", milli_celsius: 11_250 };
    let mut out = [0; TOKEN_LEN];
    let token = keys[0].sign_as(&reading, &mut out)?;
    println!("{token}");

    let mut buffer = [0; READING_LEN_MAX];
    let (claims, received): (_, Received) =
        Verifier::new(&keys).any_audience().verify_as(token, 1_800_000_000, &mut buffer)?;
    assert_eq!((claims.subject(), received.milli_celsius), (Some("cellar"), 11_250));
    Ok(())
}
