//! The client's half of Latchkey: send the access token, on 401 refresh once and repeat, sign out only when
//! told so.
//!
//! Two small machines decide, and an adapter moves the bytes. [`Session`] is what a running program knows:
//! which request may be sent, which one refreshes while the others wait. [`Grant`] is what must survive the
//! program: the refresh token and its retry key. Both are `no_std`, allocate nothing, do no I/O and are told
//! the time.
//!
//! # In scope
//! Signing in and out with a user name and a password, requests with a bearer token (RFC 6750), refreshing,
//! telling *offline* from *signed out* from *refused*, keeping the session over restarts.
//!
//! # Out of scope
//! Looking into tokens (they are opaque here; servers verify them), cookies (browsers have their own client),
//! redirects (never followed: the token goes to the origin that was signed in to and nowhere else), platforms
//! other than Unix.
//!
//! # Features
//! | feature | what it adds |
//! |---|---|
//! | `ureq` (default) | the blocking `Client` and its session stores, in a file and in memory |
//! | `tls` | https; without it the client speaks plain http, and that to loopback hosts only |
//! | `embassy-net` | the async `embassy::Client` of a microcontroller: no DNS, no TLS; wants Rust 1.91 |
//! | `cli` | the program `latchkey-client` |
//!
//! Without features there are the two machines, and HTTP in fixed buffers: [`http`].
#![cfg_attr(
    feature = "ureq",
    doc = r#"
# A program that stays signed in
```no_run
use latchkey_client::{Client, Error, FileStore};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::builder().store(FileStore::new("/var/lib/sensor/session.json")).build()?;
    if client.identity().is_none() {
        client.login("http://127.0.0.1:8080", "sensor", &std::env::var("SENSOR_PASSWORD")?)?;
    }
    match client.get("/api/me") {
        Ok(response) => println!("{}", response.text()),
        Err(Error::Network(reason)) => eprintln!("offline, still signed in: {reason}"),
        Err(Error::SignedOut { .. }) => eprintln!("sign in again"),
        Err(other) => return Err(other.into()),
    }
    Ok(())
}
```
"#
)]
#![cfg_attr(not(any(feature = "ureq", test)), no_std)]

mod advice;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "embassy-net")]
pub mod embassy;
mod grant;
pub mod http;
mod moment;
mod outcome;
mod session;
#[cfg(feature = "ureq")]
mod ureq;

pub use crate::advice::Advice;
pub use crate::grant::{
    Grant, Malformed, Prepared, QUIET_SECS, REFRESH_TOKEN_LEN, RETRY_KEY_LEN, RefreshToken, RetryKey,
};
pub use crate::moment::Moment;
pub use crate::outcome::{Failure, Outcome};
pub use crate::session::{
    HOLD_MAX_SECS, RETRY_AFTER_MAX_SECS, Request, Session, Step, TAKE_OVER_SECS, TRIES_MAX, Turn, Verdict,
};
#[cfg(all(fuzzing, feature = "ureq"))]
pub use crate::ureq::fuzzing;
#[cfg(feature = "ureq")]
pub use crate::ureq::{
    AccessToken, AddressError, Builder, Client, Clock, DamagedRecord, Error, Event, FileStore, Identity,
    MemoryStore, OpenStore, Origin, Problem, Response, Saved, SessionStore, StoreError, SystemClock,
};
