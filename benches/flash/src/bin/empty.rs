//! Firmware that only receives the token: what the others are measured against.
#![no_std]
#![no_main]

use latchkey_firmware::{TOKEN, entry, finish, received};

#[entry]
fn main() -> ! {
    finish(!received(TOKEN).is_empty())
}
