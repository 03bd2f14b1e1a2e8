//! Argon2id in a bounded pool: each slot keeps its memory, a short line waits, and one more is turned away.
//!
//! A hash that allocates its own 19 MiB leaves them with the allocator for good; sixty log-ins then cost a gigabyte.
//! The slots' memory is taken at the first log-in, so that an idle server stays small.

use std::fmt;
use std::sync::{Condvar, Mutex, PoisonError};

use argon2::password_hash::phc::{self, Output, ParamsString, Salt};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, Version};

use crate::entropy;
use crate::password::Password;
use crate::user::PasswordHash;

/// How many requests may wait for each slot before the next is turned away.
const WAITING_PER_SLOT: usize = 4;

/// Most memory a stored hash may ask for, in KiB. Ours ask for 19,456; more is a damaged record or an attack.
const MEMORY_KIB_MAX: u32 = 64 << 10;

/// Most passes a stored hash may ask for. Ours ask for 5 at most; billions would keep a slot for days.
const PASSES_MAX: u32 = 16;

/// Bytes of the hash itself, and of the salt.
const HASH_LEN: usize = 32;
const SALT_LEN: usize = 16;

/// How much work a new hash is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Profile {
    /// 19 MiB, 2 passes: the OWASP recommendation.
    Standard,
    /// 7 MiB, 5 passes: the same strength for devices with little memory.
    LowMemory,
    /// As little as argon2 can do, for fuzz targets and tests of something else.
    #[cfg(any(fuzzing, test))]
    Least,
}

impl Profile {
    fn params(self) -> Params {
        let (memory_kib, passes) = match self {
            Self::Standard => (19_456, 2),
            Self::LowMemory => (7_168, 5),
            #[cfg(any(fuzzing, test))]
            Self::Least => (8, 1),
        };
        Params::new(memory_kib, passes, 1, Some(HASH_LEN)).expect("the OWASP parameters are in range")
    }
}

/// The pool.
pub struct Hasher {
    params: Params,
    slots: usize,
    state: Mutex<Pool>,
    freed: Condvar,
}

#[derive(Default)]
struct Pool {
    /// Memory of the slots that are idle and have run before.
    idle: Vec<Vec<Block>>,
    running: usize,
    waiting: usize,
    #[cfg(test)]
    runs: usize,
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher").field("slots", &self.slots).finish_non_exhaustive()
    }
}

/// Every slot is taken and the line is full; try again soon.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Busy;

impl Hasher {
    /// A pool that runs at most `slots` hashes at once.
    pub fn new(slots: usize, profile: Profile) -> Self {
        Self { params: profile.params(), slots, state: Mutex::default(), freed: Condvar::new() }
    }

    /// How many calls can be inside [`hash`](Self::hash) or [`verify`](Self::verify) at once, waiting or running.
    pub const fn capacity(slots: usize) -> usize {
        slots * (1 + WAITING_PER_SLOT)
    }

    /// Hashes a new password with a fresh salt.
    ///
    /// # Errors
    /// [`Busy`] at once when the line is full.
    pub fn hash(&self, password: &Password) -> Result<PasswordHash, Busy> {
        let salt = entropy::bytes::<SALT_LEN>();
        let output = self.run(&self.params, password, &salt)?;
        let phc = phc::PasswordHash {
            algorithm: ARGON2ID_IDENT,
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(&self.params).expect("three small numbers fit"),
            salt: Some(Salt::new(&salt).expect("16 bytes are a salt")),
            hash: Some(Output::new(&output).expect("32 bytes are an output")),
        };
        Ok(PasswordHash(phc.to_string()))
    }

    /// Whether `password` is the one of `hash`, after exactly one argon2 run on every path.
    ///
    /// Without a hash (an unknown or disabled user) the run is over a dummy, and the answer is no.
    ///
    /// # Errors
    /// [`Busy`] at once when the line is full.
    pub fn verify(&self, password: &Password, hash: Option<&PasswordHash>) -> Result<bool, Busy> {
        let Some(stored) = hash.and_then(Stored::parse) else {
            self.run(&self.params, password, &[0; SALT_LEN])?;
            return Ok(false);
        };
        let output = self.run(&stored.params, password, &stored.salt)?;
        // `Output` compares in constant time.
        Ok(Output::new(&output).is_ok_and(|output| output == stored.output))
    }

    /// Hashes a password that was right anew, when its hash has other parameters than new ones have.
    ///
    /// # Errors
    /// [`Busy`] at once when the line is full.
    pub fn upgrade(&self, password: &Password, hash: &PasswordHash) -> Result<Option<PasswordHash>, Busy> {
        let is_current = Stored::parse(hash).is_some_and(|stored| stored.params == self.params);
        if is_current { Ok(None) } else { self.hash(password).map(Some) }
    }

    fn run(&self, params: &Params, password: &Password, salt: &[u8]) -> Result<[u8; HASH_LEN], Busy> {
        let mut memory = self.enter()?;
        if memory.len() < params.block_count() {
            memory.resize(params.block_count(), Block::new());
        }
        let prepared = password.prepared();
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
        let mut output = [0; HASH_LEN];
        let hashed = argon2.hash_password_into_with_memory(
            prepared.as_bytes(),
            salt,
            &mut output,
            &mut memory[..params.block_count()],
        );
        self.leave(memory);
        hashed.expect("lengths are bounded before and the memory is large enough");
        Ok(output)
    }

    fn enter(&self) -> Result<Vec<Block>, Busy> {
        let mut pool = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.running == self.slots {
            if pool.waiting == self.slots * WAITING_PER_SLOT {
                return Err(Busy);
            }
            pool.waiting += 1;
            pool = self
                .freed
                .wait_while(pool, |pool| pool.running == self.slots)
                .unwrap_or_else(PoisonError::into_inner);
            pool.waiting -= 1;
        }
        pool.running += 1;
        Ok(pool.idle.pop().unwrap_or_default())
    }

    fn leave(&self, memory: Vec<Block>) {
        let mut pool = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        pool.running -= 1;
        #[cfg(test)]
        {
            pool.runs += 1;
        }
        pool.idle.push(memory);
        drop(pool);
        self.freed.notify_one();
    }
}

/// A stored hash, read and found to be one this pool can run.
struct Stored {
    params: Params,
    salt: Vec<u8>,
    output: Output,
}

impl Stored {
    fn parse(hash: &PasswordHash) -> Option<Self> {
        let phc = phc::PasswordHash::new(&hash.0).ok()?;
        let params = Params::try_from(&phc).ok()?;
        let (salt, output) = (phc.salt?, phc.hash?);
        let runs = phc.algorithm == ARGON2ID_IDENT
            && params.m_cost() <= MEMORY_KIB_MAX
            && params.t_cost() <= PASSES_MAX
            && output.len() == HASH_LEN
            && salt.len() >= argon2::MIN_SALT_LEN;
        runs.then(|| Self { params, salt: salt.to_vec(), output })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn password(text: &str) -> Password {
        Password::new(text.to_owned())
    }

    #[test]
    fn a_password_verifies_against_its_own_hash_and_no_other_does() {
        let hasher = Hasher::new(1, Profile::LowMemory);
        let hash = hasher.hash(&password("correct horse")).unwrap();
        assert!(hash.0.starts_with("$argon2id$v=19$m=7168,t=5,p=1$"), "{}", hash.0);
        assert_eq!(hasher.verify(&password("correct horse"), Some(&hash)), Ok(true));
        assert_eq!(hasher.verify(&password("correct horsf"), Some(&hash)), Ok(false));
        assert_eq!(hasher.verify(&password(""), Some(&hash)), Ok(false));
        assert_eq!(hasher.verify(&password("correct horse"), None), Ok(false));
    }

    /// bcrypt reads 72 bytes, and Spring Security let in whoever knew those (CVE-2025-22228).
    #[test]
    fn a_password_counts_to_its_last_byte() {
        let hasher = Hasher::new(1, Profile::LowMemory);
        let long = |last: &str| password(&("a".repeat(255) + last));
        let hash = hasher.hash(&long("b")).unwrap();
        assert_eq!(hasher.verify(&long("b"), Some(&hash)), Ok(true));
        assert_eq!(hasher.verify(&long("c"), Some(&hash)), Ok(false));
        assert_eq!(hasher.verify(&long(""), Some(&hash)), Ok(false));
    }

    #[test]
    fn a_hash_of_another_profile_still_verifies() {
        let hash = Hasher::new(1, Profile::Standard).hash(&password("correct horse")).unwrap();
        assert!(hash.0.len() <= crate::user::PHC_LEN_MAX);
        let hasher = Hasher::new(1, Profile::LowMemory);
        assert_eq!(hasher.verify(&password("correct horse"), Some(&hash)), Ok(true));
    }

    #[test]
    fn a_stored_hash_that_asks_for_more_than_any_of_ours_is_not_run() {
        let asking = |params: &str| {
            let salt_and_output = format!("AAECAwQFBgcICQoLDA0ODw${}", "A".repeat(43));
            Stored::parse(&PasswordHash(format!("$argon2id$v=19${params},p=1${salt_and_output}"))).is_some()
        };
        assert!(asking("m=19456,t=2") && asking("m=65536,t=16"));
        assert!(!asking("m=65537,t=2") && !asking("m=19456,t=17") && !asking("m=19456,t=4294967295"));
    }

    #[test]
    fn only_a_hash_of_another_profile_is_upgraded() {
        let password = password("correct horse");
        let (old, new) = (Hasher::new(1, Profile::Standard), Hasher::new(1, Profile::LowMemory));
        let hash = old.hash(&password).unwrap();
        assert_eq!(old.upgrade(&password, &hash), Ok(None));
        let upgraded = new.upgrade(&password, &hash).unwrap().expect("the profile is another");
        assert!(upgraded.0.contains("m=7168"), "{upgraded:?}");
        assert_eq!(new.verify(&password, Some(&upgraded)), Ok(true));
    }

    #[test]
    fn the_published_vector_of_another_implementation_verifies() {
        // `echo -n password | argon2 somesalt -id -t 2 -m 16 -p 1 -l 32`, from the tests of the C reference.
        let published =
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        let hasher = Hasher::new(1, Profile::LowMemory);
        let published = PasswordHash(published.to_owned());
        assert_eq!(hasher.verify(&password("password"), Some(&published)), Ok(true));
    }

    #[test]
    fn every_verification_is_exactly_one_run() {
        let hasher = Hasher::new(1, Profile::LowMemory);
        let hash = hasher.hash(&password("correct horse")).unwrap();
        let damaged = PasswordHash("$argon2id$".to_owned());
        for (given, stored) in [
            ("correct horse", Some(&hash)),
            ("wrong horse", Some(&hash)),
            ("", Some(&hash)),
            ("correct horse", Some(&damaged)),
            ("correct horse", None),
            ("", None),
        ] {
            let before = hasher.state.lock().unwrap().runs;
            hasher.verify(&password(given), stored).unwrap();
            assert_eq!(hasher.state.lock().unwrap().runs, before + 1, "{given:?} {stored:?}");
        }
        let before = hasher.state.lock().unwrap().runs;
        assert_eq!(hasher.upgrade(&password("correct horse"), &hash), Ok(None));
        assert_eq!(hasher.state.lock().unwrap().runs, before, "a hash in force costs a log-in nothing more");
    }

    #[test]
    fn a_damaged_or_gigantic_hash_matches_nothing() {
        let hasher = Hasher::new(1, Profile::LowMemory);
        let good = hasher.hash(&password("correct horse")).unwrap().0;
        for bad in [
            String::new(),
            good.replace("argon2id", "argon2i"),
            good.replace("m=7168", "m=4000000"),
            good[..good.len() - 1].to_owned(),
        ] {
            let bad = PasswordHash(bad);
            assert_eq!(hasher.verify(&password("correct horse"), Some(&bad)), Ok(false));
        }
    }

    #[test]
    fn when_slot_and_line_are_full_the_next_is_turned_away() {
        let hasher = Hasher::new(1, Profile::LowMemory);
        let memory = hasher.enter().unwrap();
        std::thread::scope(|scope| {
            let (done, finished) = mpsc::channel();
            for _ in 0..WAITING_PER_SLOT {
                let done = done.clone();
                let hasher = &hasher;
                scope.spawn(move || done.send(hasher.verify(&password("x"), None)));
            }
            while hasher.state.lock().unwrap().waiting < WAITING_PER_SLOT {
                std::thread::yield_now();
            }
            assert_eq!(hasher.verify(&password("x"), None), Err(Busy));
            hasher.leave(memory);
            for _ in 0..WAITING_PER_SLOT {
                assert_eq!(finished.recv().unwrap(), Ok(false));
            }
        });
        assert_eq!(hasher.state.lock().unwrap().idle.len(), 1, "one slot keeps one block of memory");
    }
}
