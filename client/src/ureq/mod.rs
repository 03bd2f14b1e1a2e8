//! The blocking client: many threads, one session, requests over ureq.

mod access_token;
mod builder;
mod client;
mod clock;
mod error;
mod event;
#[cfg(fuzzing)]
pub mod fuzzing;
mod message;
mod origin;
mod refresh;
mod response;
mod store;
mod transport;

pub use self::access_token::AccessToken;
pub use self::builder::Builder;
pub use self::client::{Client, Identity};
pub use self::clock::{Clock, SystemClock};
pub use self::error::Error;
pub use self::event::Event;
pub use self::origin::{AddressError, Origin};
pub use self::response::{Problem, Response};
pub use self::store::{DamagedRecord, FileStore, MemoryStore, OpenStore, Saved, SessionStore, StoreError};
