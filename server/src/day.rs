//! What happened in each of the last 24 hours, for a picture: counted in memory, from the start of the process.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::metrics::Count;
use crate::time::UnixMillis;

/// Hours in the picture.
const HOURS: usize = 24;

const HOUR_SECS: u64 = 3600;

/// One hour, by the clock.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hour {
    /// Its first second, of Unix time.
    pub start: u64,
    /// Log-ins.
    pub signed_in: u32,
    /// Refreshes that handed out a refresh token, also one that had been handed out before.
    pub refreshed: u32,
    /// Passwords and one-time codes that were refused or throttled.
    pub refused: u32,
    /// Sessions ended because a spent refresh token was presented.
    pub reused: u32,
}

/// The ring of hours; each has the place of its number.
#[derive(Debug)]
pub struct Day {
    since: UnixMillis,
    hours: Mutex<[Hour; HOURS]>,
}

impl Day {
    /// Counts from `now` on.
    pub fn starting_at(now: UnixMillis) -> Self {
        Self { since: now, hours: Mutex::default() }
    }

    /// Counts one more of what the picture shows.
    pub fn count(&self, count: Count, now: UnixMillis) {
        let start = start_of_hour(now.as_secs());
        let mut hours = self.hours.lock().unwrap_or_else(PoisonError::into_inner);
        let hour = &mut hours[place_of(start)];
        if hour.start != start {
            *hour = Hour { start, ..Hour::default() };
        }
        let counted = match count {
            Count::SignedIn => &mut hour.signed_in,
            Count::Rotated | Count::Concurrent | Count::ConcurrentElsewhere | Count::Retried => {
                &mut hour.refreshed
            }
            Count::SignInRefused | Count::Throttled => &mut hour.refused,
            Count::Reused => &mut hour.reused,
            _ => return,
        };
        *counted = counted.saturating_add(1);
    }

    /// From when on there are numbers.
    pub fn since(&self) -> UnixMillis {
        self.since
    }

    /// The last 24 hours until `now`, the one under way last.
    pub fn hours(&self, now: UnixMillis) -> Vec<Hour> {
        let hours = self.hours.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = start_of_hour(now.as_secs());
        let hour = |hours_ago| {
            let start = newest.saturating_sub(hours_ago as u64 * HOUR_SECS);
            let known = hours[place_of(start)];
            if known.start == start { known } else { Hour { start, ..Hour::default() } }
        };
        (0..HOURS).rev().map(hour).collect()
    }
}

fn start_of_hour(secs: u64) -> u64 {
    secs - secs % HOUR_SECS
}

fn place_of(start: u64) -> usize {
    (start / HOUR_SECS) as usize % HOURS
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2027-01-15 08:00 UTC.
    const EIGHT: UnixMillis = UnixMillis(1_800_000_000_000);

    #[test]
    fn an_hour_is_counted_where_it_belongs_and_gone_a_day_later() {
        let day = Day::starting_at(EIGHT);
        day.count(Count::SignedIn, EIGHT);
        day.count(Count::Rotated, EIGHT.plus_secs(3599));
        day.count(Count::Rotated, EIGHT.plus_secs(3600));
        day.count(Count::Connected, EIGHT);
        let hours = day.hours(EIGHT.plus_secs(3600));
        let eight = Hour { start: EIGHT.as_secs(), signed_in: 1, refreshed: 1, ..Hour::default() };
        let nine = Hour { start: eight.start + 3600, refreshed: 1, ..Hour::default() };
        assert_eq!(hours[22..], [eight, nine]);
        assert!(hours[..22].iter().all(|hour| *hour == Hour { start: hour.start, ..Hour::default() }));

        assert_eq!(day.hours(EIGHT.plus_secs(23 * 3600))[0], eight);
        let a_day_later = day.hours(EIGHT.plus_secs(24 * 3600));
        assert_eq!(a_day_later[0], nine);
        assert_eq!(a_day_later[23], Hour { start: eight.start + 86_400, ..Hour::default() });
    }

    #[test]
    fn what_is_counted_a_day_later_takes_the_place_of_the_old() {
        let day = Day::starting_at(EIGHT);
        day.count(Count::Reused, EIGHT);
        day.count(Count::Throttled, EIGHT.plus_secs(86_400));
        let newest = day.hours(EIGHT.plus_secs(86_400))[23];
        assert_eq!(newest, Hour { start: EIGHT.as_secs() + 86_400, refused: 1, ..Hour::default() });
    }
}
