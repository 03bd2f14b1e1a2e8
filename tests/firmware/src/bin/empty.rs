//! Firmware that does nothing with what it receives: what every other one is measured against.
#![no_std]
#![no_main]

use latchkey_firmware::{TOKEN, entry, finish, received};

#[entry]
fn main() -> ! {
    finish(!received(TOKEN).is_empty())
}
