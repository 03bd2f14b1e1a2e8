//! The client against a server that a test scripts: the whole cycle, and everything that a network can do to
//! it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops where it is")]

mod cycle;
mod keeping;
mod scenario;
mod scripted;
mod setbacks;
mod signing;
