//! The Latchkey server as a library.
//!
//! The pure modules hold the rules and are handed the time, the random bytes and the stored records: [`session`],
//! [`user`], [`password`], [`site`], [`cookie`]. The edges hold one resource each: [`store`] the redb file, [`http`]
//! tiny_http, [`clock`] the time, [`entropy`] randomness, [`hasher`] the memory of argon2. ARCHITECTURE.md is the map.

pub mod administration;
pub mod api;
pub mod audit;
pub mod cli;
pub mod clock;
pub mod command;
pub mod control;
pub mod cookie;
pub mod day;
pub mod entropy;
pub mod findings;
pub mod folder;
pub mod gate;
pub mod hasher;
pub mod http;
pub mod keys;
mod label;
pub mod metrics;
pub mod notices;
pub mod one_time_code;
pub mod password;
mod private_file;
pub mod problem;
pub mod reconcile;
pub mod restore;
pub mod session;
pub mod settings;
pub mod site;
pub mod store;
pub mod sweeper;
pub mod throttle;
pub mod time;
pub mod user;
mod web;
