//! What a piece of work costs: bytes of stack, and instructions.

use core::arch::asm;
use core::hint::black_box;

/// How far below the caller the stack is watched, in bytes.
const WATCHED: usize = 2048;
const PAINT: u32 = 0xA5A5_5A5A;

/// How many bytes of stack `work` takes below its caller.
///
/// The stack below is painted, and searched afterwards for the lowest word that is not as painted.
#[inline(never)]
pub fn stack_used(work: impl FnOnce()) -> usize {
    let top = stack_pointer();
    let bottom = top - WATCHED;
    for address in (bottom..top).step_by(size_of::<u32>()) {
        // SAFETY: the word is RAM between the statics and the stack pointer, where nothing lives: no interrupt is
        // ever enabled here, and this loop calls nothing.
        unsafe { (address as *mut u32).write_volatile(PAINT) };
    }
    apart(work);
    let is_painted = |&address: &usize| {
        // SAFETY: the word was written above.
        unsafe { (address as *const u32).read_volatile() == PAINT }
    };
    WATCHED - (bottom..top).step_by(size_of::<u32>()).take_while(is_painted).count() * size_of::<u32>()
}

/// Keeps the frame of `work` out of its caller's.
#[inline(never)]
fn apart(work: impl FnOnce()) {
    work();
}

fn stack_pointer() -> usize {
    let pointer;
    // SAFETY: only reads a register.
    unsafe {
        #[cfg(target_arch = "arm")]
        asm!("mov {}, sp", out(reg) pointer, options(nomem, nostack));
        #[cfg(target_arch = "riscv32")]
        asm!("mv {}, sp", out(reg) pointer, options(nomem, nostack));
    }
    pointer
}

/// Counts instructions, by a clock that QEMU's `-icount` makes go with them.
#[derive(Debug)]
pub struct Meter {
    clock: Clock,
    ticks_per_loop: u32,
}

impl Meter {
    const LOOPS: u32 = 1 << 20;
    const LOOP_INSTRUCTIONS: u32 = 2;

    /// Starts the clock, and finds out how fast it goes on this board.
    pub fn new() -> Meter {
        let mut clock = Clock::start();
        let ticks_per_loop = clock.ticks(|| turn(Meter::LOOPS));
        Meter { clock, ticks_per_loop }
    }

    /// How many instructions `work` takes: exact to the clock's tick, which is 40 of them at the most.
    pub fn instructions(&mut self, work: impl FnOnce()) -> u32 {
        let ticks = u64::from(self.clock.ticks(|| apart(work)));
        let instructions =
            ticks * u64::from(Meter::LOOPS * Meter::LOOP_INSTRUCTIONS) / u64::from(self.ticks_per_loop);
        instructions as u32
    }
}

impl Default for Meter {
    fn default() -> Self {
        Meter::new()
    }
}

/// Two instructions, so many times.
fn turn(loops: u32) {
    // SAFETY: only counts a register down.
    unsafe {
        #[cfg(target_arch = "arm")]
        asm!("2:", "subs {0}, {0}, #1", "bne 2b", inout(reg) loops => _, options(nomem, nostack));
        #[cfg(target_arch = "riscv32")]
        asm!("2:", "addi {0}, {0}, -1", "bnez {0}, 2b", inout(reg) loops => _, options(nomem, nostack));
    }
}

#[cfg(target_arch = "arm")]
#[derive(Debug)]
struct Clock;

#[cfg(target_arch = "arm")]
impl Clock {
    const RANGE: u32 = 1 << 24;

    fn start() -> Clock {
        use cortex_m::peripheral::{Peripherals, syst::SystClkSource};
        let mut timer = Peripherals::take().expect("the timer is taken once").SYST;
        timer.set_clock_source(SystClkSource::Core);
        timer.set_reload(Clock::RANGE - 1);
        timer.clear_current();
        timer.enable_counter();
        Clock
    }

    fn ticks(&mut self, work: impl FnOnce()) -> u32 {
        use cortex_m::peripheral::SYST;
        let before = SYST::get_current();
        black_box(work());
        // It counts down, and around.
        before.wrapping_sub(SYST::get_current()) % Clock::RANGE
    }
}

#[cfg(target_arch = "riscv32")]
#[derive(Debug)]
struct Clock;

#[cfg(target_arch = "riscv32")]
impl Clock {
    fn start() -> Clock {
        Clock
    }

    fn ticks(&mut self, work: impl FnOnce()) -> u32 {
        use riscv::register::mcycle;
        let before = mcycle::read();
        black_box(work());
        mcycle::read().wrapping_sub(before) as u32
    }
}
