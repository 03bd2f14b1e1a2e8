//! Time for embassy, in milliseconds, from the processor's own timer.

use core::cell::Cell;
use core::task::Waker;

use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::exception;
use critical_section::Mutex;
use embassy_time_driver::Driver;

/// The board's processor runs at 25 MHz.
const CYCLES_PER_MILLI: u32 = 25_000;

struct Millis(Mutex<Cell<u64>>);

embassy_time_driver::time_driver_impl!(static MILLIS: Millis = Millis(Mutex::new(Cell::new(0))));

impl Driver for Millis {
    fn now(&self) -> u64 {
        critical_section::with(|cs| self.0.borrow(cs).get())
    }

    /// There is nothing to schedule: whoever waits is asked again every millisecond.
    fn schedule_wake(&self, _: u64, _: &Waker) {}
}

/// Lets time begin.
pub fn start(mut timer: SYST) {
    timer.set_clock_source(SystClkSource::Core);
    timer.set_reload(CYCLES_PER_MILLI - 1);
    timer.clear_current();
    timer.enable_counter();
    timer.enable_interrupt();
}

#[exception]
fn SysTick() {
    critical_section::with(|cs| {
        let now = MILLIS.0.borrow(cs);
        now.set(now.get() + 1);
    });
}

/// No interrupt is ever enabled but the timer's, which is not in this table: it can be as short as the linker lets it.
#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
static __INTERRUPTS: [usize; 1] = [0];
