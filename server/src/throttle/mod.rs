//! Slows down who guesses passwords: a few failures are free, then each next attempt has to wait, a minute at most.
//!
//! Failures are counted for the account and for the network they come from, for known names and unknown ones alike.
//! Nobody is locked out for good, because then anybody could lock out anybody. An attempt under way is no failure, but
//! it may become one: as many may be under way as could fail for free, and more wait until those have ended.
//!
//! # A session of the account
//!
//! Whoever has a session of the account where they are should not wait because strangers fail. Were their failures not
//! counted there, or the account's not asked about, anybody at the same address could see that such a session lives. So
//! while an account has to wait, everybody gets a [second chance](Attempt::is_second_chance): attempts whose answer is the
//! one for having to wait, unless the password is right and a session of the account lives in that network. A network
//! has as few of them for one account as there are free failures, and as few in all. A wrong password is answered alike
//! in both cases, after as much work. This module is not even told where sessions live.

mod table;

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Uptime;
use crate::gate::network_of;
use crate::session::SessionId;
use crate::user::UserId;
use table::{Bucket, Say, Table};

/// Failures of one account that cost no wait.
pub const FREE_PER_ACCOUNT: u16 = 5;

/// Failures from one address, or one /64 of IPv6, that cost no wait: several people may share it.
pub const FREE_PER_ADDRESS: u16 = 20;

/// Failures from one /48 of IPv6 that cost no wait. One customer may have all of its 65,536 networks, or 256 of them:
/// so it gets as many as ten networks do.
pub const FREE_PER_SITE: u16 = 200;

/// Failures are forgotten when there has been none for so long, in milliseconds.
pub const MEMORY_MS: u64 = 15 * 60 * 1000;

/// The longest wait between two attempts, in seconds.
pub const WAIT_SECS_MAX: u64 = 60;

/// How long an attempt waits for others that are under way. They end when their password is hashed.
const PATIENCE: Duration = Duration::from_secs(2);

/// Who makes an attempt.
#[derive(Clone, Copy, Debug)]
pub enum By<'a> {
    /// Whoever gives a name, case-folded if it is one at all.
    Name(&'a str, IpAddr),
    /// Whoever shows a one-time code. No name counts: nobody can guess a code, and were failures counted for a name,
    /// strangers could keep its owner from using theirs.
    Code(IpAddr),
    /// The bearer of a living session. It counts alone, because whoever has it is no stranger, wherever they are.
    Session(SessionId),
}

/// Why an attempt is not made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// Too many have failed; the next may be made in so many seconds.
    Wait(u64),
    /// Those under way did not end in time, and may all fail.
    Busy,
}

/// Failures of accounts and networks.
pub struct Throttle {
    /// Keyed by the process: nobody can choose names that share a set.
    hasher: RandomState,
    clock: Box<dyn Fn() -> Uptime + Send + Sync>,
    patience: Duration,
    table: Mutex<Table>,
    settled: Condvar,
}

impl fmt::Debug for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Throttle")
    }
}

impl Default for Throttle {
    fn default() -> Self {
        Self::new(Uptime::now, PATIENCE)
    }
}

/// The buckets of an attempt.
struct Whose {
    /// All of these are asked, and a failure counts in all of them.
    buckets: Vec<Bucket>,
    /// So is the one of the account. While it has to wait, a failure counts in those of second chances alone.
    account: Option<Bucket>,
    second_chance: Vec<Bucket>,
}

impl Throttle {
    /// A throttle with a clock of one's own. `clock` is read while the buckets are locked, so no attempt brings a time
    /// that is older than what it finds there.
    pub fn new(clock: impl Fn() -> Uptime + Send + Sync + 'static, patience: Duration) -> Self {
        Self {
            hasher: RandomState::new(),
            clock: Box::new(clock),
            patience,
            table: Mutex::default(),
            settled: Condvar::new(),
        }
    }

    /// Whom to look up in place of a user who does not exist, so that the look takes as long. Always the same one for a
    /// name, and unpredictable from outside.
    pub fn stand_in(&self, name: &str) -> UserId {
        UserId(self.key(("stand-in", name)))
    }

    /// Begins an attempt, which is under way until it is told how it ended, or dropped.
    ///
    /// # Errors
    /// [`Refused`]; then it does not count.
    pub fn begin(&self, by: By<'_>) -> Result<Attempt<'_>, Refused> {
        let whose = self.whose(by);
        let mut begun = Err(Refused::Busy);
        let under_way = |table: &mut Table| match table.admit(&whose, (self.clock)()) {
            Say::AfterOthers => true,
            Say::Wait(secs) => {
                begun = Err(Refused::Wait(secs));
                false
            }
            Say::Go { is_second_chance } => {
                begun = Ok(is_second_chance);
                false
            }
        };
        // The lock is let go at the end of this statement.
        drop(
            self.settled
                .wait_timeout_while(self.table(), self.patience, under_way)
                .unwrap_or_else(PoisonError::into_inner),
        );
        let is_second_chance = begun?;
        Ok(Attempt { throttle: self, whose, is_second_chance, is_settled: false })
    }

    /// Whether an attempt would have to wait, without making one.
    ///
    /// # Errors
    /// The seconds that have to pass.
    pub fn ask(&self, by: By<'_>) -> Result<(), u64> {
        match self.table().ask(&self.whose(by), (self.clock)()) {
            Say::Wait(secs) => Err(secs),
            Say::Go { .. } | Say::AfterOthers => Ok(()),
        }
    }

    /// Whose buckets an attempt counts in: the one place where that is decided.
    fn whose(&self, by: By<'_>) -> Whose {
        let without_name = |buckets| Whose { buckets, account: None, second_chance: Vec::new() };
        match by {
            By::Session(session) => without_name(vec![self.account_bucket(("session", session))]),
            By::Code(address) => {
                let mut buckets = self.network_buckets("failures", address);
                buckets.push(self.account_bucket(("code", network_of(address))));
                without_name(buckets)
            }
            By::Name(name, address) => {
                let mut second_chance = self.network_buckets("second chances", address);
                second_chance.push(self.account_bucket(("second chance", name, network_of(address))));
                Whose {
                    buckets: self.network_buckets("failures", address),
                    account: Some(self.account_bucket(("account", name))),
                    second_chance,
                }
            }
        }
    }

    fn account_bucket(&self, key: impl Hash) -> Bucket {
        Bucket { key: self.key(key), free: FREE_PER_ACCOUNT }
    }

    /// The bucket of an address's network and, of IPv6, the one of its site.
    fn network_buckets(&self, of: &str, address: IpAddr) -> Vec<Bucket> {
        let network = Bucket { key: self.key((of, "network", network_of(address))), free: FREE_PER_ADDRESS };
        let site = site_of(address);
        let site = site.map(|site| Bucket { key: self.key((of, "site", site)), free: FREE_PER_SITE });
        [Some(network), site].into_iter().flatten().collect()
    }

    fn key(&self, key: impl Hash) -> u64 {
        self.hasher.hash_one(key)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether two addresses are in one network, that is, count in one bucket.
pub fn is_one_network(one: IpAddr, other: IpAddr) -> bool {
    network_of(one) == network_of(other)
}

/// What often belongs to one customer: of IPv6 the /48.
fn site_of(address: IpAddr) -> Option<Ipv6Addr> {
    match address.to_canonical() {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 80))),
    }
}

/// An attempt under way. One that is dropped without [`failed`](Self::failed) was no failure: its password was right, or
/// nobody has looked at it.
#[must_use]
pub struct Attempt<'a> {
    throttle: &'a Throttle,
    whose: Whose,
    is_second_chance: bool,
    is_settled: bool,
}

impl fmt::Debug for Attempt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Attempt")
    }
}

impl Attempt<'_> {
    /// Whether the account has to wait. Then only the right password, and only where a session of the account lives, may
    /// be told apart from any other.
    pub fn is_second_chance(&self) -> bool {
        self.is_second_chance
    }

    /// Ends the attempt as a failure.
    ///
    /// # Errors
    /// Of a second chance the seconds that the account has to wait, because that is the answer for having failed, too.
    pub fn failed(mut self) -> Result<(), u64> {
        let mut table = self.throttle.table();
        let now = (self.throttle.clock)();
        table.fail(&self.whose, self.is_second_chance, now);
        table.settle(&self.whose, self.is_second_chance);
        self.is_settled = true;
        match self.whose.account {
            Some(account) if self.is_second_chance => Err(table.wait_secs(account, now).max(1)),
            _ => Ok(()),
        }
    }

    /// Ends the attempt, which was no failure.
    pub fn succeeded(self) {}
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.is_settled {
            self.throttle.table().settle(&self.whose, self.is_second_chance);
        }
        self.throttle.settled.notify_all();
    }
}

#[cfg(test)]
mod tests;
