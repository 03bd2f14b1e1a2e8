//! The board under the firmware: how it starts, how it ends, and what a piece of work costs on it.
#![no_std]

mod measure;
pub mod vectors;

use core::hint::black_box;
use core::panic::PanicInfo;

#[cfg(target_arch = "arm")]
pub use cortex_m_rt::entry;
#[cfg(target_arch = "riscv32")]
pub use riscv_rt::entry;

pub use measure::{Meter, stack_used};

/// A token of 201 characters, signed by a server: good for the door lock until 1,800,000,600.
pub const TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.\
    eyJleHAiOjE4MDAwMDA2MDAsImlzcyI6ImxhdGNoa2V5Iiwic3ViIjoiYWRhLmJ5cm9uIiwiYXVkIjoiZnJvbnQtZG9vciIsInJvbGUiOiJyZXNpZGVudCJ9.\
    1MEuJd4QSGMLVpsznqBPmKJ54OeC6FWeKpFerQDLY2s";

/// Something that comes in over some wire: the compiler knows nothing about it.
pub fn received<T: ?Sized>(value: &T) -> &T {
    black_box(value)
}

/// Ends the emulator; it exits with 0 when all went well, else with 1.
pub fn finish(is_good: bool) -> ! {
    semihosting::process::exit(if is_good { 0 } else { 1 })
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    finish(false)
}
