//! What token-core promises, seen from outside: vectors, refusals, agreement with another implementation.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod oracle;
mod refresh_tokens;
mod refusals;
mod round_trip;
mod shapes;
mod support;
mod typed;
mod vectors;
