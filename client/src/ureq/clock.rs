//! The only place in the crate that reads a clock or sleeps.

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::Moment;

/// What the client needs of time. Tests bring their own and wait for nothing.
pub trait Clock: Send + Sync {
    /// Now, on a clock that never goes back.
    fn now(&self) -> Moment;

    /// Now, on the wall clock, in seconds since 1970.
    ///
    /// It only carries the rest of a wait, of some seconds, from one run of the program to the next.
    fn unix_secs(&self) -> u64;

    /// Returns at `moment`, or later.
    fn wait_until(&self, moment: Moment);
}

/// The clocks of the operating system.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock that begins now.
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        // 2^64 milliseconds are half a billion years.
        Moment::from_millis(self.start.elapsed().as_millis() as u64)
    }

    fn unix_secs(&self) -> u64 {
        // Before 1970 the clock is not set; then every wait counts as over.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    fn wait_until(&self, moment: Moment) {
        thread::sleep(Duration::from_millis(moment.millis_left(self.now())));
    }
}
