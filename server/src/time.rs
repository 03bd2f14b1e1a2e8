//! Points in time as the rules see them: milliseconds of Unix time, always arguments, never read here.

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// This time and `secs` seconds more; stops at the end of time instead of wrapping.
    pub const fn plus_secs(self, secs: u64) -> Self {
        Self(self.0.saturating_add(secs.saturating_mul(1000)))
    }

    /// Milliseconds from `earlier` to this time, 0 when `earlier` is later.
    pub const fn millis_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whole seconds from this time to `later`, rounded down, 0 when it has passed.
    pub const fn secs_until(self, later: Self) -> u64 {
        later.0.saturating_sub(self.0) / 1000
    }

    /// A time of whole seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Whole seconds of Unix time, rounded up.
    pub const fn as_secs_rounded_up(self) -> u64 {
        self.0.div_ceil(1000)
    }

    /// Whole seconds of Unix time, rounded down: the NumericDate of RFC 7519 §2.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }
}

/// The present, as the two readings of the clock that a rule may need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// What the system clock shows. Tokens, records and log entries are stamped with it, since others compare the
    /// stamps with clocks of their own.
    pub system: UnixMillis,
    /// The latest time that was ever shown. Expiry is judged by it, so that nothing comes back to life when the system
    /// clock is set back.
    pub latest: UnixMillis,
}

impl Now {
    /// The present while the system clock has never been ahead: both readings are the same.
    pub const fn at(time: UnixMillis) -> Self {
        Self { system: time, latest: time }
    }

    /// Both readings, but no later than those of `other`.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self { system: self.system.min(other.system), latest: self.latest.min(other.latest) }
    }
}

impl From<UnixMillis> for Now {
    fn from(time: UnixMillis) -> Self {
        Self::at(time)
    }
}
