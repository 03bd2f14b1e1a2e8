//! Monotonic time as a number: the rules are told what time it is and never ask.

/// A point on a monotonic clock, in milliseconds since any moment the caller likes, such as the start of the
/// program.
///
/// Only differences mean anything. The wall clock does not belong in here: it jumps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// The moment `millis` milliseconds after the clock's beginning.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the clock's beginning.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The moment `secs` seconds later; at the end of time it stays there.
    #[must_use]
    pub const fn plus_secs(self, secs: u32) -> Self {
        Self(self.0.saturating_add(secs as u64 * 1000))
    }

    /// How many milliseconds are left at `now` until this moment: 0 when it has passed.
    pub const fn millis_left(self, now: Self) -> u64 {
        self.0.saturating_sub(now.0)
    }

    /// How many seconds are left at `now`, rounded up, so that waiting them is always long enough.
    pub const fn secs_left(self, now: Self) -> u64 {
        self.millis_left(now).div_ceil(1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_never_goes_below_zero_and_rounds_up() {
        let noon = Moment::from_millis(10_000);
        assert_eq!(noon.millis_left(Moment::from_millis(8_999)), 1_001);
        assert_eq!(noon.secs_left(Moment::from_millis(8_999)), 2);
        assert_eq!(noon.secs_left(Moment::from_millis(10_001)), 0);
    }

    #[test]
    fn the_end_of_time_is_not_passed() {
        assert_eq!(Moment::from_millis(u64::MAX).plus_secs(1), Moment::from_millis(u64::MAX));
    }
}
