//! What token-core promises, seen from outside: vectors, refusals, agreement with another implementation.

mod oracle;
mod refresh_tokens;
mod refusals;
mod round_trip;
mod support;
mod typed;
mod vectors;
