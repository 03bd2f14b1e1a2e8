//! What every black-box test starts from: the real server on a free port with a throw-away store, and a way to send
//! it exactly the bytes a test wants to send.

// A test that cannot go on says where, which is what a panic does.
#![allow(clippy::unwrap_used)]

pub mod client;
pub mod http;
pub mod server;
