//! Firmware that opens to a token for it, by jwt-compact and the smallest heap there is.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::string::String;
use core::alloc::{GlobalAlloc, Layout};
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};

use chrono::{DateTime, TimeDelta};
use jwt_compact::alg::{Hs256, Hs256Key};
use jwt_compact::{AlgorithmExt as _, TimeOptions, UntrustedToken};
use latchkey_firmware::{TOKEN, entry, finish, received};
use serde::Deserialize;

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    role: String,
}

#[entry]
fn main() -> ! {
    let key = Hs256Key::new(b"a lock and its server share this");
    let token = received(TOKEN);
    finish(opens(&key, token, 1_800_000_000) && !opens(&key, token, 1_800_000_601))
}

fn opens(key: &Hs256Key, token: &str, now: i64) -> bool {
    let time = TimeOptions::new(TimeDelta::zero(), || DateTime::UNIX_EPOCH + TimeDelta::seconds(now));
    let Ok(token) = UntrustedToken::new(token) else { return false };
    Hs256.validator::<Claims>(key).validate(&token).is_ok_and(|token| {
        let Claims { iss, aud, role } = &token.claims().custom;
        token.claims().validate_expiration(&time).is_ok()
            && (iss.as_str(), aud.as_str(), role.as_str()) == ("latchkey", "front-door", "resident")
    })
}

/// Hands out memory once and never takes it back: a real heap would be some kilobyte larger, and not the library's.
struct Heap;

const HEAP_LEN: usize = 8192;
static HEAP_USED: AtomicUsize = AtomicUsize::new(0);
static mut HEAP: [u64; HEAP_LEN / 8] = [0; HEAP_LEN / 8];

#[global_allocator]
static ALLOCATOR: Heap = Heap;

// SAFETY: each piece starts where the one before it ended, lies within HEAP, and is aligned if up to eight bytes do.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let len = layout.size().next_multiple_of(8);
        let start = HEAP_USED.fetch_add(len, Ordering::Relaxed);
        if layout.align() > 8 || start + len > HEAP_LEN {
            return ptr::null_mut();
        }
        (&raw mut HEAP).cast::<u8>().wrapping_add(start)
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}
