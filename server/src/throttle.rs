//! Slows down who guesses passwords: a few failures are free, then each next attempt has to wait, a minute at most.
//!
//! Failures are counted for the account and for the address, known names and unknown ones alike. Nobody is locked out
//! for good, because then anybody could lock out anybody.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use crate::gate::network_of;
use crate::time::UnixMillis;
use crate::user::UserId;

/// Failures of one account that cost no wait.
pub const FREE_PER_ACCOUNT: u16 = 5;

/// Failures from one address, or one /64 of IPv6, that cost no wait: several people may share it.
pub const FREE_PER_ADDRESS: u16 = 20;

/// Failures are forgotten when there has been none for so long, in milliseconds.
pub const MEMORY_MS: u64 = 15 * 60 * 1000;

/// The longest wait between two attempts, in seconds.
pub const WAIT_SECS_MAX: u64 = 60;

/// More failures than so many above the free ones make no difference: the wait doubles from one second.
const COUNTED_ABOVE_FREE: u16 = 7;

const _: () = assert!(1 << (COUNTED_ABOVE_FREE - 1) >= WAIT_SECS_MAX);

/// Buckets a key can be in. A full set forgets the one with the fewest failures.
const WAYS: usize = 8;

/// Sets of buckets: the table has 8,192 buckets and takes 192 KiB, however many names and addresses are tried.
const SETS: usize = 1024;

/// Who tries to sign in.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The name, case-folded if it is a name at all; `None` for a one-time code, which nobody can guess: were a name's
    /// failures counted, strangers could keep its owner from using theirs.
    pub account: Option<&'a str>,
    /// Where the attempt comes from.
    pub address: IpAddr,
    /// Whether a session of this account lives at this address: then strangers' failures do not count against it.
    pub is_at_home: bool,
}

/// An attempt that was counted in advance as a failure, and what there was before.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    account: Before,
    address: Before,
}

/// A bucket before an attempt was counted in it.
#[derive(Clone, Copy, Debug)]
struct Before {
    key: u64,
    /// Whether the count went up; at its highest it does not.
    was_raised: bool,
    last: UnixMillis,
    counted_at: UnixMillis,
}

/// The next attempt has to wait so many seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wait(pub u64);

/// Failures of accounts and addresses.
pub struct Throttle {
    /// Keyed by the process: nobody can choose names that share a set.
    hasher: RandomState,
    table: Mutex<Table>,
}

impl fmt::Debug for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Throttle")
    }
}

impl Default for Throttle {
    fn default() -> Self {
        Self { hasher: RandomState::new(), table: Mutex::new(Table(vec![Bucket::default(); SETS * WAYS])) }
    }
}

impl Throttle {
    /// Whether an attempt from this address may be looked at, whatever account it names. Asked before anybody is looked
    /// up: a refusal costs nobody anything, so its time could be taken as often as somebody likes.
    ///
    /// # Errors
    /// [`Wait`] when it has to wait.
    pub fn admit(&self, address: IpAddr, now: UnixMillis) -> Result<(), Wait> {
        let key = self.address_key(network_of(address));
        match self.table().wait_secs((key, FREE_PER_ADDRESS), now) {
            0 => Ok(()),
            secs => Err(Wait(secs)),
        }
    }

    /// Whom to look up in place of a user who does not exist: the same for the same name, and nobody outside knows whom.
    pub fn stand_in(&self, name: &str) -> UserId {
        UserId(self.key(("stand-in", name)))
    }

    /// Counts an attempt, in advance as a failure, so that many at once are not one.
    ///
    /// # Errors
    /// [`Wait`] when it has to wait; then it is not counted.
    pub fn begin(&self, attempt: Attempt<'_>, now: UnixMillis) -> Result<Counted, Wait> {
        let network = network_of(attempt.address);
        let home = attempt.is_at_home.then_some(network);
        let account = match attempt.account {
            Some(name) => self.key(("account", name, home)),
            None => self.key(("code", network)),
        };
        let address = self.address_key(network);
        self.table().begin(account, address, now)
    }

    /// Takes back what [`begin`](Self::begin) counted: the attempt was no failure.
    pub fn forgive(&self, counted: Counted) {
        let mut table = self.table();
        table.forgive(counted.account);
        table.forgive(counted.address);
    }

    fn address_key(&self, network: IpAddr) -> u64 {
        self.key(("address", network))
    }

    fn key(&self, key: impl Hash) -> u64 {
        self.hasher.hash_one(key)
    }

    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The failures of one key; none when it is free.
#[derive(Clone, Copy, Default)]
struct Bucket {
    key: u64,
    last: UnixMillis,
    failures: u16,
}

impl Bucket {
    fn is_free(&self, now: UnixMillis) -> bool {
        // One from the future was counted before an administrator put the clock back.
        self.failures == 0 || self.last > now || now.millis_since(self.last) >= MEMORY_MS
    }

    /// Seconds until the next attempt may be made, 0 when it may now.
    fn wait_secs(&self, free: u16, now: UnixMillis) -> u64 {
        let Some(above) = self.failures.checked_sub(free) else { return 0 };
        let wait_secs = 1_u64.checked_shl(above.into()).unwrap_or(u64::MAX).min(WAIT_SECS_MAX);
        let until = self.last.plus_secs(wait_secs);
        until.millis_since(now).div_ceil(1000)
    }
}

/// A set-associative table.
///
/// To wash out the bucket of an account under attack, whoever guesses has to fill its set with keys that failed as
/// often. Which keys share a set cannot be told, so that means the whole table: some 40,000 failures within a quarter of
/// an hour, each of which counts against an address.
struct Table(Vec<Bucket>);

impl Table {
    fn begin(&mut self, account: u64, address: u64, now: UnixMillis) -> Result<Counted, Wait> {
        let both = [(account, FREE_PER_ACCOUNT), (address, FREE_PER_ADDRESS)];
        match both.map(|bucket| self.wait_secs(bucket, now)).into_iter().max() {
            None | Some(0) => {}
            Some(secs) => return Err(Wait(secs)),
        }
        let [account, address] = both.map(|(key, free)| self.count(key, free + COUNTED_ABOVE_FREE, now));
        Ok(Counted { account, address })
    }

    fn wait_secs(&self, (key, free): (u64, u16), now: UnixMillis) -> u64 {
        self.find(key, now).map_or(0, |bucket| bucket.wait_secs(free, now))
    }

    fn set(&self, key: u64) -> std::ops::Range<usize> {
        let set = usize::try_from(key % SETS as u64).expect("a remainder of a thousand fits");
        set * WAYS..(set + 1) * WAYS
    }

    fn find(&self, key: u64, now: UnixMillis) -> Option<&Bucket> {
        self.0[self.set(key)].iter().find(|bucket| bucket.key == key && !bucket.is_free(now))
    }

    fn count(&mut self, key: u64, failures_max: u16, now: UnixMillis) -> Before {
        let set = self.set(key);
        let set = &mut self.0[set];
        let own = set.iter().position(|bucket| bucket.key == key && !bucket.is_free(now));
        let place = own.unwrap_or_else(|| {
            let dispensable = |place: &usize| {
                let bucket = &set[*place];
                if bucket.is_free(now) { (0, UnixMillis(0)) } else { (bucket.failures, bucket.last) }
            };
            let place = (0..WAYS).min_by_key(dispensable).expect("a set has buckets");
            set[place] = Bucket { key, ..Bucket::default() };
            place
        });
        let bucket = &mut set[place];
        let was_raised = bucket.failures < failures_max;
        let before = Before { key, was_raised, last: bucket.last, counted_at: now };
        bucket.failures += u16::from(was_raised);
        bucket.last = now;
        before
    }

    fn forgive(&mut self, before: Before) {
        let set = self.set(before.key);
        if let Some(bucket) = self.0[set].iter_mut().find(|bucket| bucket.key == before.key) {
            bucket.failures = bucket.failures.saturating_sub(u16::from(before.was_raised));
            if bucket.last == before.counted_at {
                bucket.last = before.last;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: UnixMillis = UnixMillis(1_000_000_000_000);

    fn from(account: &str, last: u8) -> Attempt<'_> {
        Attempt { account: Some(account), address: [203, 0, 113, last].into(), is_at_home: false }
    }

    /// Fails as often as it may without waiting, and returns how often that was and the wait then.
    fn exhaust<'a>(
        throttle: &Throttle,
        mut attempt: impl FnMut(u16) -> Attempt<'a>,
        now: UnixMillis,
    ) -> (u16, Wait) {
        let mut failures = 0;
        loop {
            match throttle.begin(attempt(failures), now) {
                Ok(_) => failures += 1,
                Err(wait) => return (failures, wait),
            }
        }
    }

    #[test]
    fn five_failures_of_an_account_are_free_wherever_they_come_from() {
        let throttle = Throttle::default();
        let from_everywhere = |n: u16| from("alice", n as u8);
        assert_eq!(exhaust(&throttle, from_everywhere, START), (FREE_PER_ACCOUNT, Wait(1)));
        assert!(throttle.begin(from("bob", 1), START).is_ok());
    }

    #[test]
    fn codes_count_for_the_network_they_come_from_and_for_no_name() {
        let throttle = Throttle::default();
        let code = |last| Attempt { account: None, ..from("", last) };
        exhaust(&throttle, |_| from("203.0.113.1", 2), START);
        exhaust(&throttle, |_| from("", 3), START);
        assert!(throttle.begin(code(1), START).is_ok());
        assert_eq!(exhaust(&throttle, |_| code(1), START), (FREE_PER_ACCOUNT - 1, Wait(1)));
        assert!(throttle.begin(code(4), START).is_ok());
    }

    #[test]
    fn twenty_failures_of_an_address_are_free_whatever_the_names() {
        let throttle = Throttle::default();
        let names: Vec<_> = (0..30).map(|n| format!("name-{n}")).collect();
        let attempt = |n: u16| from(&names[usize::from(n)], 1);
        assert_eq!(exhaust(&throttle, attempt, START), (FREE_PER_ADDRESS, Wait(1)));
        assert!(throttle.begin(from("name-29", 2), START).is_ok());
    }

    #[test]
    fn an_address_that_has_to_wait_is_not_admitted_and_others_are() {
        let throttle = Throttle::default();
        let names: Vec<_> = (0..30).map(|n| format!("name-{n}")).collect();
        let (home, elsewhere) = (from("", 1).address, from("", 2).address);
        assert_eq!(throttle.admit(home, START), Ok(()));
        exhaust(&throttle, |n| from(&names[usize::from(n)], 1), START);
        for _ in 0..3 {
            assert_eq!(throttle.admit(home, START), Err(Wait(1)));
        }
        assert_eq!(throttle.admit(elsewhere, START), Ok(()));
        assert_eq!(throttle.admit(home, START.plus_secs(1)), Ok(()));
    }

    #[test]
    fn the_wait_doubles_to_a_minute_and_never_more() {
        let throttle = Throttle::default();
        let (_, mut wait) = exhaust(&throttle, |_| from("alice", 1), START);
        let mut now = START;
        let mut waits = Vec::new();
        for _ in 0..9 {
            waits.push(wait.0);
            let too_early = UnixMillis(now.plus_secs(wait.0).0 - 1);
            assert_eq!(throttle.begin(from("alice", 1), too_early).unwrap_err(), Wait(1));
            now = now.plus_secs(wait.0);
            throttle.begin(from("alice", 1), now).expect("the wait is over");
            wait = throttle.begin(from("alice", 1), now).unwrap_err();
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn a_refused_attempt_does_not_prolong_the_wait() {
        let throttle = Throttle::default();
        exhaust(&throttle, |_| from("alice", 1), START);
        for millis in 0..999 {
            assert_eq!(throttle.begin(from("alice", 1), UnixMillis(START.0 + millis)).unwrap_err(), Wait(1));
        }
        assert!(throttle.begin(from("alice", 1), START.plus_secs(1)).is_ok());
    }

    #[test]
    fn success_is_forgiven_and_a_quarter_of_an_hour_without_failure_forgets() {
        let throttle = Throttle::default();
        for _ in 0..1000 {
            let counted = throttle.begin(from("alice", 1), START).expect("success costs nothing");
            throttle.forgive(counted);
        }
        exhaust(&throttle, |_| from("alice", 1), START);
        let later = START.plus_secs(15 * 60);
        assert_eq!(exhaust(&throttle, |_| from("alice", 1), later).0, FREE_PER_ACCOUNT);
    }

    #[test]
    fn a_right_password_does_not_prolong_the_wait_of_others() {
        let throttle = Throttle::default();
        let mut now = START;
        for _ in 0..40 {
            let _ = throttle.begin(from("script", 1), now);
            now = now.plus_secs(WAIT_SECS_MAX);
        }
        let bob = throttle.begin(from("bob", 1), now).expect("the minute is over");
        throttle.forgive(bob);
        assert!(throttle.begin(from("carol", 1), now).is_ok());
    }

    #[test]
    fn a_clock_that_was_put_back_leaves_nobody_waiting() {
        let throttle = Throttle::default();
        exhaust(&throttle, |_| from("alice", 1), START.plus_secs(31_536_000));
        assert_eq!(exhaust(&throttle, |_| from("alice", 1), START).0, FREE_PER_ACCOUNT);
    }

    #[test]
    fn who_has_a_session_is_not_shut_out_by_strangers_failures() {
        let throttle = Throttle::default();
        exhaust(&throttle, |_| from("alice", 1), START);
        let at_home = Attempt { is_at_home: true, ..from("alice", 7) };
        assert_eq!(exhaust(&throttle, |_| at_home, START), (FREE_PER_ACCOUNT, Wait(1)));
    }

    #[test]
    fn a_flood_of_names_does_not_wash_out_the_account_under_attack() {
        let throttle = Throttle::default();
        exhaust(&throttle, |_| from("alice", 1), START);
        for n in 0..100_000_u32 {
            let [_, a, b, c] = n.to_be_bytes();
            let name = format!("name-{n}");
            let _ = throttle.begin(
                Attempt { account: Some(&name), address: [10, a, b, c].into(), is_at_home: false },
                START,
            );
        }
        assert!(throttle.begin(from("alice", 1), START).is_err());
        assert_eq!(throttle.table().0.len(), SETS * WAYS, "and the table has not grown");
    }
}
