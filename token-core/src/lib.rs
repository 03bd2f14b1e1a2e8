//! HS256 JSON Web Tokens in fixed buffers: no heap, no recursion, no panic, no unsafe code.
//!
//! The caller brings the key, the time and the memory; this crate brings the rules. Everything a stranger sends is
//! read strictly, and nothing of it is decoded before its MAC has been found right.
//!
//! ```
//! use token_core::{Key, NewClaims, Verifier, VerifyError};
//!
//! // At least 32 random bytes, shared by whoever signs and whoever verifies.
//! let secret = b"never use a sentence as a secret";
//! let keys = [Key::new(secret)?.with_type("at+jwt")?.with_kid("2026-01")?];
//!
//! // Sign into a buffer of your own ...
//! let claims = NewClaims { subject: Some("ada"), audience: Some("pump"), expires_at: 1_800_000_600, ..NewClaims::default() };
//! let mut token_buffer = [0; 256];
//! let token = keys[0].sign(&claims, &mut token_buffer)?;
//!
//! // ... and verify it. The time is an argument: seconds since 1970.
//! let verifier = Verifier::new(&keys).audience("pump");
//! let mut claims_buffer = [0; 256];
//! let claims = verifier.verify(token, 1_800_000_000, &mut claims_buffer)?;
//! assert_eq!(claims.subject(), Some("ada"));
//!
//! // At the very second of `exp` it is over (RFC 7519 §4.1.4).
//! let too_late = verifier.verify(token, 1_800_000_600, &mut claims_buffer);
//! assert_eq!(too_late.err(), Some(VerifyError::Expired));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # In scope
//!
//! * Signing and verifying JWTs in the JWS Compact Serialization with HS256 (RFC 7519, RFC 7515, RFC 7518 §3.2).
//! * Key rotation by `kid`, explicit typing by `typ` (RFC 8725 §3.11), claims of your own through [`serde`].
//! * The JWS layer below, for payloads that are not claims: [`Key::sign_payload`], [`Verifier::verify_payload`].
//! * Opaque, authenticated [refresh tokens](RefreshToken).
//!
//! # Out of scope
//!
//! * Every other algorithm. A key knows what it is for; a token has no say in it (RFC 8725 §3.1).
//! * Encryption, the JSON serialization, detached payloads, `crit` extensions: tokens that need them are refused.
//! * Clocks, randomness, storage, revocation: they belong to the caller.
//!
//! # Limits
//!
//! | what | limit |
//! |---|---|
//! | secret | at least [`SECRET_LEN_MIN`] bytes |
//! | token | [`TOKEN_LEN_MAX`] characters, of which the header [`HEADER_LEN_MAX`] |
//! | nesting, in header and claims | [`DEPTH_MAX`] |
//! | names of claims that are not registered, in all objects open at a time | [`NAMES_MAX`] |
//! | audiences in one token | [`AUDIENCES_MAX`] |
//!
//! # On a device
//!
//! Measured in QEMU, with `opt-level = "s"`, LTO and the compact SHA-256 below, for a token of 201 characters:
//!
//! | processor | flash to verify | to sign as well | static RAM | stack to verify | to sign | instructions to verify | to sign |
//! |---|--:|--:|--:|--:|--:|--:|--:|
//! | Cortex-M0 | 7,436 | 9,028 | 0 | 928 | 732 | 46,000 | 42,375 |
//! | Cortex-M3 | 7,196 | 8,532 | 0 | 892 | 708 | 28,720 | 25,520 |
//! | Cortex-M4 | 7,216 | 8,556 | 0 | 892 | 708 | 28,720 | 25,520 |
//! | RISC-V imc | 8,848 | 10,532 | 0 | 860 | 696 | 35,755 | 32,979 |
//!
//! Flash is what `door_lock` and `gateway` in `tests/firmware` have over `empty`, copying and clearing of memory
//! included: with the core library that rustup delivers, made for speed, an Arm takes 0.6 to 0.9 KB more. Stack
//! is the most that any path takes, with the [`Claims`] it returns; neither nesting nor length of a token adds to it.
//! There is no heap, and no `core::panicking` in the image. One command measures it all, and fails if anything has grown
//! by 3 %:
//!
//! ```text
//! cargo test -p latchkey-tests --test firmware -- --nocapture
//! ```
//!
//! [`Key::new`] takes 1.1 KB of stack once, and a [`Key`] 330 bytes wherever it is kept. [`Verifier::verify_as`] brings a
//! reader along, 2.4 KB on a Cortex-M3, [`Key::sign_as`] `serde-json-core`, and [`Key::with_type`] and [`Key::with_kid`]
//! 1.1 KB for writing headers; who calls none of them pays for none of them.
//!
//! ## The compact SHA-256
//!
//! `sha2` writes out the 64 rounds of a block, unless told to make a loop of them, which saves a Cortex-M3 6.8 KB of flash
//! and costs it a third more instructions. Only the firmware can tell, in its `.cargo/config.toml`:
//!
//! ```toml
//! [target.'cfg(target_os = "none")']
//! rustflags = ['--cfg=sha2_backend="soft"', '--cfg=sha2_backend_soft="compact"']
//! ```
//!
//! ## The next block
//!
//! Where no instruction does SHA-256, time goes by blocks of 64 bytes: 4,280 instructions each on a Cortex-M3. A
//! byte beyond one of these lengths costs another block; a shorter claim may save one. The payload is for a header of
//! `{"alg":"HS256","typ":"JWT"}`.
//!
//! | blocks | signing input, up to | token | payload |
//! |--:|--:|--:|--:|
//! | 2 | 55 | 99 | 13 |
//! | 3 | 119 | 163 | 61 |
//! | 4 | 183 | 227 | 109 |
//! | 5 | 247 | 291 | 157 |
//! | 6 | 311 | 355 | 205 |
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

/// Whether there is room for a second, longer way that is faster. Microcontrollers have registers of 32 bits, and do
/// everything the short way.
const HAS_ROOM: bool = cfg!(target_pointer_width = "64");

mod base64url;
mod claims;
mod header;
mod json;
mod key;
mod refresh;
mod sign;
mod typed;
mod verify;

pub use claims::{AUDIENCES_MAX, Claim, Claims};
pub use json::{DEPTH_MAX, NAMES_MAX};
pub use key::{KID_LEN_MAX, Key, KeyError, SECRET_LEN_MIN, TYPE_LEN_MAX};
pub use refresh::{RefreshKey, RefreshToken, RefreshTokenError};
pub use sign::{NewClaims, SignError, header_len, token_len};
pub use typed::TypedError;
pub use verify::{
    Audience, HEADER_LEN_MAX, Limit, NoAudienceYet, TOKEN_LEN_MAX, Verifier, VerifyError, payload_len_max,
};
