//! What every black-box test starts from: the real server on a free port with a throw-away store, and a way to send
//! it exactly the bytes a test wants to send.

pub mod attacks;
pub mod bare_metal;
pub mod chaos;
pub mod client;
pub mod http;
pub mod refresher;
pub mod rules;
pub mod server;
