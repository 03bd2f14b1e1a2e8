//! The one place that reads time: never earlier than the highest time seen, never jumping backwards.

use std::cell::RefCell;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::time::UnixMillis;

/// The server's time.
///
/// It starts at the later of the system clock and the highest time the store has seen, runs on the monotonic
/// clock, and follows the system clock forwards only: a clock set back must not revive an expired session. Its
/// clones are one clock.
#[derive(Clone, Debug)]
pub struct Clock {
    anchor: Instant,
    /// Unix time in milliseconds at `anchor`. It only grows, but for [`accept`](Self::accept).
    millis_at_anchor: Arc<AtomicU64>,
}

impl Clock {
    /// A clock that never shows a time before `highest_seen`.
    pub fn starting_at(highest_seen: UnixMillis) -> Self {
        let start = highest_seen.max(system_time());
        Self { anchor: Instant::now(), millis_at_anchor: Arc::new(AtomicU64::new(start.0)) }
    }

    /// The present time.
    pub fn now(&self) -> UnixMillis {
        let elapsed = self.elapsed_millis();
        let system_at_anchor = system_time().0.saturating_sub(elapsed);
        let before = self.millis_at_anchor.fetch_max(system_at_anchor, Ordering::Relaxed);
        UnixMillis(before.max(system_at_anchor).saturating_add(elapsed))
    }

    /// Goes back to the system clock. Every session has to be ended first: their times mean nothing any more.
    pub fn accept(&self) {
        let system_at_anchor = system_time().0.saturating_sub(self.elapsed_millis());
        self.millis_at_anchor.store(system_at_anchor, Ordering::Relaxed);
    }

    /// Goes on from `time` if that is later: somebody has seen it.
    pub fn catch_up(&self, time: UnixMillis) {
        let at_anchor = time.0.saturating_sub(self.elapsed_millis());
        self.millis_at_anchor.fetch_max(at_anchor, Ordering::Relaxed);
    }

    fn elapsed_millis(&self) -> u64 {
        u64::try_from(self.anchor.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// What the system clock shows, also when that is earlier.
    pub fn system_time(&self) -> UnixMillis {
        system_time()
    }

    /// Seconds by which the system clock is behind the server's time, 0 when it is not.
    pub fn secs_behind(&self) -> u64 {
        system_time().secs_until(self.now())
    }
}

/// Milliseconds since this process first asked, for deadlines: no clock that is set moves them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Uptime(u64);

impl Uptime {
    /// The present moment.
    pub fn now() -> Self {
        static START: OnceLock<Instant> = OnceLock::new();
        let elapsed = START.get_or_init(Instant::now).elapsed();
        Self(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
    }

    /// Milliseconds from `earlier` to this moment, 0 when `earlier` is later.
    pub const fn millis_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This moment and `millis` milliseconds more.
    #[must_use]
    pub const fn plus_millis(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }
}

/// Hands `use_date` the system's time as the `Date` field has it (RFC 9110 §5.6.7), written anew once a second.
pub fn with_http_date<T>(use_date: impl FnOnce(&str) -> T) -> T {
    thread_local! {
        static LAST: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
    }
    let secs = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    LAST.with_borrow_mut(|(last, text)| {
        if *last != secs || text.is_empty() {
            (*last, *text) = (secs, httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(secs)));
        }
        use_date(text)
    })
}

/// The system's time for a log line, in the form of RFC 3339.
pub fn timestamp() -> impl fmt::Display {
    humantime::format_rfc3339_millis(SystemTime::now())
}

/// Seconds of Unix time as people read them, in the form of RFC 3339.
pub fn format_unix_secs(secs: u64) -> String {
    const END_OF_9999: u64 = 253_402_300_799;
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(secs.min(END_OF_9999))).to_string()
}

/// What the system clock shows; 1970 when it is set before that.
fn system_time() -> UnixMillis {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_never_starts_before_the_highest_time_seen() {
        let an_hour_ahead = system_time().plus_secs(3600);
        let clock = Clock::starting_at(an_hour_ahead);
        assert!(clock.now() >= an_hour_ahead);
        assert!(clock.secs_behind() >= 3599);
    }

    #[test]
    fn an_accepted_system_clock_is_the_time_of_every_clone() {
        let clock = Clock::starting_at(system_time().plus_secs(3600));
        let clone = clock.clone();
        clock.accept();
        assert_eq!(clone.secs_behind(), 0);
        assert!(clone.now() < system_time().plus_secs(60));
    }

    #[test]
    fn time_catches_up_with_a_later_one_and_with_no_earlier_one() {
        let clock = Clock::starting_at(UnixMillis(0));
        let an_hour_ahead = system_time().plus_secs(3600);
        clock.catch_up(an_hour_ahead);
        assert!(clock.now() >= an_hour_ahead);
        clock.catch_up(UnixMillis(5));
        assert!(clock.now() >= an_hour_ahead);
    }

    #[test]
    fn time_follows_the_system_clock_when_that_is_ahead() {
        let clock = Clock::starting_at(UnixMillis(0));
        assert!(clock.now() >= UnixMillis(1_600_000_000_000));
        assert_eq!(clock.secs_behind(), 0);
    }
}
