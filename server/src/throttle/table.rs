//! The buckets of the throttle: failures, attempts under way and the time of the last failure, in a table that does not
//! grow.

use super::{MEMORY_MS, WAIT_SECS_MAX, Whose};
use crate::clock::Uptime;

/// Failures beyond this many above the free ones no longer lengthen the wait, which doubles from one second.
const COUNTED_ABOVE_FREE: u16 = 7;

const _: () = assert!(1 << (COUNTED_ABOVE_FREE - 1) >= WAIT_SECS_MAX);

/// Places a key can have. A full set forgets the one with the fewest failures.
const WAYS: usize = 8;

/// Sets of places: the table has 8,192 places and takes 192 KiB, however many names and addresses are tried.
const SETS: usize = 1024;

/// A bucket: its key, and how many failures in it cost no wait.
#[derive(Clone, Copy)]
pub(super) struct Bucket {
    pub(super) key: u64,
    pub(super) free: u16,
}

/// What is said to an attempt; of several buckets, the highest counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Say {
    /// It may be made.
    Go { is_second_chance: bool },
    /// Those under way may use up what is free.
    AfterOthers,
    /// So many seconds have to pass.
    Wait(u64),
}

/// What a bucket holds.
#[derive(Clone, Copy, Default)]
struct Held {
    key: u64,
    last: Uptime,
    failures: u16,
    under_way: u16,
}

impl Held {
    /// The failures that are not forgotten yet.
    fn failures(&self, now: Uptime) -> u16 {
        if now.millis_since(self.last) >= MEMORY_MS { 0 } else { self.failures }
    }

    fn is_empty(&self, now: Uptime) -> bool {
        self.under_way == 0 && self.failures(now) == 0
    }

    /// Seconds until the next attempt may be made, 0 when it may now.
    fn wait_secs(&self, free: u16, now: Uptime) -> u64 {
        let Some(above) = self.failures(now).checked_sub(free) else { return 0 };
        let wait_secs = 1_u64.checked_shl(above.into()).unwrap_or(u64::MAX).min(WAIT_SECS_MAX);
        let until = self.last.plus_millis(wait_secs * 1000);
        until.millis_since(now).div_ceil(1000)
    }

    fn say(&self, free: u16, now: Uptime) -> Say {
        match self.wait_secs(free, now) {
            // Past the free ones, each wait earns one attempt.
            0 if self.under_way >= free.saturating_sub(self.failures(now)).max(1) => Say::AfterOthers,
            0 => Say::Go { is_second_chance: false },
            secs => Say::Wait(secs),
        }
    }
}

/// A set-associative table.
///
/// To wash out the bucket of an account under attack, whoever guesses has to fill its set with keys that failed as
/// often. Which keys share a set cannot be told, so that means the whole table: some 40,000 failures within a quarter of
/// an hour, each of which counts against a network.
pub(super) struct Table(Vec<Held>);

impl Default for Table {
    fn default() -> Self {
        Self(vec![Held::default(); SETS * WAYS])
    }
}

impl Table {
    /// Whether an attempt may be made; if so, it is under way from now on.
    pub(super) fn admit(&mut self, whose: &Whose, now: Uptime) -> Say {
        let say = self.ask(whose, now);
        if let Say::Go { is_second_chance } = say {
            for bucket in counting(whose, is_second_chance) {
                self.place_of(bucket.key, now).under_way += 1;
            }
        }
        say
    }

    /// What is said to an attempt, which is not made by that.
    pub(super) fn ask(&self, whose: &Whose, now: Uptime) -> Say {
        let of_all = self.ask_all(&whose.buckets, now);
        let Some(account) = whose.account else { return of_all };
        let of_account = match (self.ask_all(&[account], now), self.ask_all(&whose.second_chance, now)) {
            (Say::Wait(_), Say::Go { .. }) => Say::Go { is_second_chance: true },
            (Say::Wait(_), Say::AfterOthers) => Say::AfterOthers,
            (Say::Wait(secs), Say::Wait(more)) => Say::Wait(secs.max(more)),
            (of_account, _) => of_account,
        };
        of_all.max(of_account)
    }

    fn ask_all(&self, buckets: &[Bucket], now: Uptime) -> Say {
        let go = Say::Go { is_second_chance: false };
        let say = |bucket: &Bucket| self.find(bucket.key).map_or(go, |held| held.say(bucket.free, now));
        buckets.iter().map(say).max().unwrap_or(go)
    }

    /// Seconds that a bucket has to wait.
    pub(super) fn wait_secs(&self, bucket: Bucket, now: Uptime) -> u64 {
        self.find(bucket.key).map_or(0, |held| held.wait_secs(bucket.free, now))
    }

    /// Counts a failure.
    pub(super) fn fail(&mut self, whose: &Whose, is_second_chance: bool, now: Uptime) {
        for bucket in counting(whose, is_second_chance) {
            let held = self.place_of(bucket.key, now);
            held.failures = (held.failures(now) + 1).min(bucket.free + COUNTED_ABOVE_FREE);
            held.last = held.last.max(now);
        }
    }

    /// Counts an attempt as under way no longer.
    pub(super) fn settle(&mut self, whose: &Whose, is_second_chance: bool) {
        for bucket in counting(whose, is_second_chance) {
            let set = set_of(bucket.key);
            if let Some(held) = self.0[set].iter_mut().find(|held| held.key == bucket.key) {
                held.under_way = held.under_way.saturating_sub(1);
            }
        }
    }

    fn find(&self, key: u64) -> Option<&Held> {
        self.0[set_of(key)].iter().find(|held| held.key == key)
    }

    /// The place of a key, which is made for it if there is none: with attempts under way last.
    fn place_of(&mut self, key: u64, now: Uptime) -> &mut Held {
        let set = &mut self.0[set_of(key)];
        let own = set.iter().position(|held| held.key == key);
        let place = own.unwrap_or_else(|| {
            let worth = |place: &usize| {
                let held = &set[*place];
                (!held.is_empty(now), held.under_way > 0, held.failures(now), held.last)
            };
            let place = (0..WAYS).min_by_key(worth).expect("a set has places");
            set[place] = Held { key, ..Held::default() };
            place
        });
        &mut set[place]
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

fn set_of(key: u64) -> std::ops::Range<usize> {
    let set = usize::try_from(key % SETS as u64).expect("a remainder of a thousand fits");
    set * WAYS..(set + 1) * WAYS
}

/// The buckets that an attempt counts in.
fn counting(whose: &Whose, is_second_chance: bool) -> impl Iterator<Item = Bucket> {
    let (buckets, account) =
        if is_second_chance { (&whose.second_chance, None) } else { (&whose.buckets, whose.account) };
    buckets.iter().copied().chain(account)
}
