//! The one place that reads time: what the system clock shows, and the latest time it ever showed.

use std::cell::RefCell;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::time::{Now, UnixMillis};

/// How far the latest time may be ahead of the system clock and wait for it, in milliseconds.
///
/// Waiting heals a clock that was ahead for a moment in exactly as long as it was ahead. It also makes sessions live that
/// much longer, so a longer lead does not wait but goes on at half speed.
const WAITS_FOR_MS: u64 = 2 * 3600 * 1000;

/// Longest time between two readings that the latest time goes on by at half speed: the server reads more often.
const CREEPS_FOR: Duration = Duration::from_secs(120);

/// The server's time.
///
/// The latest time starts at the later of the system clock and the highest time the store has seen, and follows the
/// system clock forwards only: a clock set back must not revive an expired session. While it is ahead, it waits for the
/// system clock, or goes on at half speed if that would take hours. Clones are one clock.
#[derive(Clone)]
pub struct Clock(Arc<Shared>);

struct Shared {
    source: Source,
    /// Unix time in milliseconds. It only grows, but for [`Clock::accept`].
    latest: AtomicU64,
    /// Up to when the latest time went on by itself, while it does.
    crept_until: Mutex<Option<Duration>>,
}

/// Where a clock reads the system's time, and a time that nobody sets.
#[derive(Debug)]
enum Source {
    System { started: Instant },
    Set(SetTime),
}

/// A time for tests, which runs only when told to.
#[derive(Clone, Debug, Default)]
pub struct SetTime(Arc<Mutex<(UnixMillis, Duration)>>);

impl SetTime {
    /// A system clock that shows `time`.
    pub fn at(time: UnixMillis) -> Self {
        Self(Arc::new(Mutex::new((time, Duration::ZERO))))
    }

    /// Lets `secs` seconds pass.
    pub fn pass(&self, secs: u64) {
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *times = (times.0.plus_secs(secs), times.1 + Duration::from_secs(secs));
    }

    /// Sets the system clock, in no time.
    pub fn set(&self, time: UnixMillis) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 = time;
    }
}

impl Source {
    fn system_time(&self) -> UnixMillis {
        match self {
            Self::System { .. } => system_time(),
            Self::Set(SetTime(times)) => times.lock().unwrap_or_else(PoisonError::into_inner).0,
        }
    }

    fn elapsed(&self) -> Duration {
        match self {
            Self::System { started } => started.elapsed(),
            Self::Set(SetTime(times)) => times.lock().unwrap_or_else(PoisonError::into_inner).1,
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.0.latest).finish()
    }
}

impl Clock {
    /// A clock whose latest time is not before `highest_seen`.
    pub fn starting_at(highest_seen: UnixMillis) -> Self {
        Self::new(Source::System { started: Instant::now() }, highest_seen)
    }

    /// The same over a time that a test sets.
    pub fn set_by(time: &SetTime, highest_seen: UnixMillis) -> Self {
        Self::new(Source::Set(time.clone()), highest_seen)
    }

    fn new(source: Source, highest_seen: UnixMillis) -> Self {
        let latest = AtomicU64::new(highest_seen.0);
        Self(Arc::new(Shared { source, latest, crept_until: Mutex::new(None) }))
    }

    /// The present.
    pub fn now(&self) -> Now {
        let system = self.system_time();
        let before = self.0.latest.fetch_max(system.0, Ordering::Relaxed);
        let latest = if before.saturating_sub(system.0) <= WAITS_FOR_MS {
            before.max(system.0)
        } else {
            self.creep(before)
        };
        Now { system, latest: UnixMillis(latest) }
    }

    /// Lets a latest time that is hours ahead go on at half speed, from `before`.
    fn creep(&self, before: u64) -> u64 {
        let mut crept_until = self.0.crept_until.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = self.0.source.elapsed();
        let since = crept_until.map_or(elapsed, |until| until.max(elapsed.saturating_sub(CREEPS_FOR)));
        // In whole steps, so that reading often does not round the time away.
        let steps = u64::try_from((elapsed - since).as_millis() / 2).unwrap_or(u64::MAX);
        *crept_until = Some(since + Duration::from_millis(2 * steps));
        self.0.latest.fetch_add(steps, Ordering::Relaxed).max(before).saturating_add(steps)
    }

    /// Goes back to the system clock. Every session has to be ended first: their expiries mean nothing any more.
    pub fn accept(&self) {
        self.0.latest.store(self.system_time().0, Ordering::Relaxed);
    }

    /// Goes on from `time` if that is later: the store has seen it.
    pub fn catch_up(&self, time: UnixMillis) {
        self.0.latest.fetch_max(time.0, Ordering::Relaxed);
    }

    /// What the system clock shows.
    pub fn system_time(&self) -> UnixMillis {
        self.0.source.system_time()
    }

    /// Seconds by which the latest time is ahead of the system clock, 0 when it is not.
    pub fn lead_secs(&self) -> u64 {
        let Now { system, latest } = self.now();
        system.secs_until(latest)
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

    /// How long it is from this moment to `later`, nothing when that has passed.
    pub const fn until(self, later: Self) -> Duration {
        Duration::from_millis(later.0.saturating_sub(self.0))
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

    const NOON: UnixMillis = UnixMillis(1_800_000_000_000);

    #[test]
    fn the_latest_time_never_starts_before_the_highest_time_seen() {
        let time = SetTime::at(NOON);
        let clock = Clock::set_by(&time, NOON.plus_secs(3600));
        assert_eq!(clock.now(), Now { system: NOON, latest: NOON.plus_secs(3600) });
        assert_eq!(clock.lead_secs(), 3600);
    }

    #[test]
    fn a_clock_that_was_ahead_for_a_moment_heals_in_as_long_as_it_was_ahead() {
        for ahead in [30, 500, 3600] {
            let time = SetTime::at(NOON);
            let clock = Clock::set_by(&time, UnixMillis(0));
            time.set(NOON.plus_secs(ahead));
            clock.now();
            time.set(NOON);
            assert_eq!(clock.now(), Now { system: NOON, latest: NOON.plus_secs(ahead) });
            time.pass(ahead - 1);
            assert_eq!((clock.lead_secs(), clock.now().latest), (1, NOON.plus_secs(ahead)));
            time.pass(1);
            assert_eq!(clock.now(), Now::at(NOON.plus_secs(ahead)));
            time.pass(5);
            assert_eq!(clock.now(), Now::at(NOON.plus_secs(ahead + 5)));
        }
    }

    #[test]
    fn a_lead_of_days_goes_on_at_half_speed_so_that_sessions_still_expire() {
        let time = SetTime::at(NOON);
        let ahead = NOON.plus_secs(86_400);
        let clock = Clock::set_by(&time, ahead);
        assert_eq!(clock.now().latest, ahead);
        for _ in 0..1000 {
            time.pass(1);
            clock.now();
        }
        assert_eq!(clock.now(), Now { system: NOON.plus_secs(1000), latest: ahead.plus_secs(500) });
    }

    #[test]
    fn a_clock_that_nobody_read_for_long_does_not_jump() {
        let time = SetTime::at(NOON);
        let ahead = NOON.plus_secs(86_400);
        let clock = Clock::set_by(&time, ahead);
        clock.now();
        time.pass(36_000);
        assert_eq!(clock.now().latest, ahead.plus_secs(60));
    }

    #[test]
    fn an_accepted_system_clock_is_the_time_of_every_clone() {
        let time = SetTime::at(NOON);
        let clock = Clock::set_by(&time, NOON.plus_secs(3600));
        let clone = clock.clone();
        clock.accept();
        assert_eq!(clone.now(), Now::at(NOON));
    }

    #[test]
    fn time_catches_up_with_a_later_one_and_with_no_earlier_one() {
        let clock = Clock::set_by(&SetTime::at(NOON), UnixMillis(0));
        clock.catch_up(NOON.plus_secs(3600));
        clock.catch_up(UnixMillis(5));
        assert_eq!(clock.now().latest, NOON.plus_secs(3600));
    }

    #[test]
    fn time_follows_the_system_clock_when_that_is_ahead() {
        let clock = Clock::starting_at(UnixMillis(0));
        assert!(clock.now().latest >= UnixMillis(1_600_000_000_000));
        assert_eq!(clock.lead_secs(), 0);
    }
}
