//! How much of the stack was ever used: it is painted at the start and looked at in the end.

const PAINT: u32 = 0xA5A5_5A5A;

/// Left alone above the deepest frame that could be there while painting, in bytes.
const MARGIN: usize = 256;

unsafe extern "C" {
    /// Where the statics end, from the linker.
    static __sheap: u32;
    static _stack_start: u32;
}

fn bottom() -> usize {
    &raw const __sheap as usize
}

fn top() -> usize {
    &raw const _stack_start as usize
}

/// Paints what is not in use. Called first of all.
#[inline(never)]
pub fn paint() {
    let end = cortex_m::register::msp::read() as usize - MARGIN;
    for address in (bottom()..end).step_by(4) {
        // SAFETY: between the statics and the stack pointer lives nothing.
        unsafe { (address as *mut u32).write_volatile(PAINT) };
    }
}

/// The most that was ever used, in bytes.
pub fn used() -> usize {
    let is_painted = |&address: &usize| {
        // SAFETY: within the RAM of the device.
        unsafe { (address as *const u32).read_volatile() == PAINT }
    };
    let free = (bottom()..top()).step_by(4).take_while(is_painted).count() * 4;
    top() - bottom() - free
}
