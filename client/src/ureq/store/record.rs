//! The record of a session: what is kept, and the JSON it is kept as.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::ureq::{Clock, Identity, Origin};
use crate::{Grant, QUIET_SECS, RefreshToken, RetryKey};

/// The version of the record that is written and read.
const VERSION: u8 = 1;

/// Longer records than this are not ours: names have at most 64 bytes, origins at most some hundreds.
pub(super) const RECORD_LEN_MAX: usize = 16 * 1024;

/// Everything of a session that outlives the program. The access token is not part of it.
#[derive(Clone)]
pub struct Saved {
    pub(in crate::ureq) identity: Identity,
    token: RefreshToken,
    retry_key: Option<RetryKey>,
    unanswered: bool,
    /// In wall-clock seconds, because a monotonic clock ends with its program.
    quiet_until_unix_secs: Option<u64>,
}

/// Why a record cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DamagedRecord {
    /// Not the JSON object that is written here.
    NotARecord,
    /// Written by a newer program.
    UnknownVersion,
    /// It names no origin that tokens may go to.
    BadOrigin,
    /// Its refresh token or retry key is not one.
    BadCredential,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record<'a> {
    version: u8,
    #[serde(borrow)]
    origin: Cow<'a, str>,
    #[serde(borrow)]
    user: Cow<'a, str>,
    #[serde(borrow)]
    session: Cow<'a, str>,
    // Borrowed, so that no copy of a credential is left behind. Neither ever needs an escape.
    refresh_token: &'a str,
    retry_key: Option<&'a str>,
    unanswered: bool,
    quiet_until: Option<u64>,
}

impl Saved {
    /// The record of a session that has just begun.
    pub(in crate::ureq) fn new(identity: Identity, token: RefreshToken) -> Self {
        Self { identity, token, retry_key: None, unanswered: false, quiet_until_unix_secs: None }
    }

    /// Whose session it is, and where.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The refresh token, for signing out.
    pub(in crate::ureq) fn token(&self) -> &RefreshToken {
        &self.token
    }

    /// The grant, with the rest of its wait brought onto the monotonic clock.
    pub(in crate::ureq) fn grant(&self, clock: &dyn Clock) -> Grant {
        let now = clock.now();
        let rest_secs = self
            .quiet_until_unix_secs
            .map_or(0, |until| until.saturating_sub(clock.unix_secs()))
            // A wall clock that was set back must not stretch the wait.
            .min(u64::from(QUIET_SECS));
        let quiet_until = now.plus_secs(rest_secs as u32);
        Grant::restored(self.token.clone(), self.retry_key.clone(), self.unanswered, quiet_until)
    }

    /// Takes over what a grant has become.
    pub(in crate::ureq) fn update(&mut self, grant: &Grant, clock: &dyn Clock) {
        let rest_secs = grant.quiet_until().secs_left(clock.now());
        self.token = grant.token().clone();
        self.retry_key = grant.retry_key().cloned();
        self.unanswered = grant.unanswered();
        self.quiet_until_unix_secs = (rest_secs > 0).then(|| clock.unix_secs() + rest_secs);
    }

    /// The record as JSON. It contains the refresh token: keep it where only the user can read it.
    pub fn to_json(&self) -> Zeroizing<Vec<u8>> {
        let origin = self.identity.origin.to_string();
        let record = Record {
            version: VERSION,
            origin: Cow::Borrowed(&origin),
            user: Cow::Borrowed(&self.identity.user),
            session: Cow::Borrowed(&self.identity.session),
            refresh_token: self.token.as_str(),
            retry_key: self.retry_key.as_ref().map(RetryKey::as_str),
            unanswered: self.unanswered,
            quiet_until: self.quiet_until_unix_secs,
        };
        // Room for everything from the start: a buffer that grew would leave a copy of the token in freed
        // memory.
        let mut json = Zeroizing::new(Vec::with_capacity(RECORD_LEN_MAX));
        serde_json::to_writer_pretty(&mut *json, &record).expect("strings and numbers always become JSON");
        json.push(b'\n');
        json
    }

    /// Reads what [`to_json`](Self::to_json) wrote.
    ///
    /// # Errors
    /// [`DamagedRecord`] when it is anything else.
    pub fn from_json(json: &[u8]) -> Result<Self, DamagedRecord> {
        #[derive(Deserialize)]
        struct Version {
            version: u8,
        }
        // The version first: what follows it in another version is not ours to judge.
        match serde_json::from_slice(json) {
            Ok(Version { version: VERSION }) => {}
            Ok(_) => return Err(DamagedRecord::UnknownVersion),
            Err(_) => return Err(DamagedRecord::NotARecord),
        }
        let record: Record<'_> = serde_json::from_slice(json).map_err(|_| DamagedRecord::NotARecord)?;
        let origin = Origin::parse(&record.origin).map_err(|_| DamagedRecord::BadOrigin)?;
        let credential = |_| DamagedRecord::BadCredential;
        Ok(Self {
            identity: Identity {
                origin,
                user: record.user.into_owned(),
                session: record.session.into_owned(),
            },
            token: RefreshToken::parse(record.refresh_token).map_err(credential)?,
            retry_key: record.retry_key.map(RetryKey::parse).transpose().map_err(credential)?,
            unanswered: record.unanswered,
            quiet_until_unix_secs: record.quiet_until,
        })
    }
}

impl fmt::Debug for Saved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Saved").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl fmt::Display for DamagedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotARecord => "not a session record",
            Self::UnknownVersion => "written by another version",
            Self::BadOrigin => "no usable origin",
            Self::BadCredential => "no usable token",
        })
    }
}

impl std::error::Error for DamagedRecord {}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::{Failure, Moment, Outcome, Prepared};

    /// A wall clock that can be set, and a monotonic one that began with the test.
    struct SetClock(AtomicU64);

    impl Clock for SetClock {
        fn now(&self) -> Moment {
            Moment::from_millis(5_000)
        }
        fn unix_secs(&self) -> u64 {
            self.0.load(Ordering::Relaxed)
        }
        fn wait_until(&self, _: Moment) {}
    }

    fn saved() -> Saved {
        let identity = Identity {
            origin: Origin::parse("http://127.0.0.1:8080").unwrap(),
            user: "ada \"λ\"".into(),
            session: "s".repeat(22),
        };
        Saved::new(identity, RefreshToken::parse(&"a".repeat(72)).unwrap())
    }

    fn text(saved: &Saved) -> String {
        String::from_utf8(saved.to_json().to_vec()).unwrap()
    }

    #[test]
    fn a_record_is_read_back_as_it_was_written() {
        let clock = SetClock(AtomicU64::new(1_000));
        let mut saved = saved();
        let mut grant = saved.grant(&clock);
        assert_eq!(grant.prepare(RetryKey::from_random([1; 16]), clock.now()), Prepared::Send);
        saved.update(&grant, &clock);
        let again = Saved::from_json(&saved.to_json()).unwrap();
        assert_eq!(text(&again), text(&saved));
        assert_eq!(again.identity().user, "ada \"λ\"");
        assert!(again.grant(&clock).unanswered());
    }

    #[test]
    fn the_rest_of_a_wait_survives_a_restart_and_no_clock_stretches_it() {
        let clock = SetClock(AtomicU64::new(1_000));
        let mut saved = saved();
        let mut grant = saved.grant(&clock);
        let _ = grant.prepare(RetryKey::from_random([1; 16]), clock.now());
        grant.finished(&Outcome::Failed(Failure::Lost), clock.now());
        saved.update(&grant, &clock);

        for (wall, rest) in [(1_000, 15), (1_010, 5), (1_015, 0), (9_999, 0), (3, 15)] {
            clock.0.store(wall, Ordering::Relaxed);
            assert_eq!(saved.grant(&clock).quiet_until(), clock.now().plus_secs(rest), "at {wall}");
        }
    }

    #[test]
    fn damage_is_named() {
        let good = text(&saved());
        let token = "a".repeat(72);
        for (bad, reason) in [
            (String::new(), DamagedRecord::NotARecord),
            (good[..good.len() / 2].to_owned(), DamagedRecord::NotARecord),
            ("[".repeat(40_000), DamagedRecord::NotARecord),
            (good.replace("\"unanswered\": false,", ""), DamagedRecord::NotARecord),
            (good.replace("\"user\"", "\"User\""), DamagedRecord::NotARecord),
            (good.replace("\"version\": 1", "\"version\": 2"), DamagedRecord::UnknownVersion),
            (good.replace("127.0.0.1", "192.0.2.1"), DamagedRecord::BadOrigin),
            (good.replace(&token, &token[1..]), DamagedRecord::BadCredential),
            (good.replace("\"retry_key\": null", "\"retry_key\": \"short\""), DamagedRecord::BadCredential),
        ] {
            assert_ne!(bad, good);
            assert_eq!(Saved::from_json(bad.as_bytes()).unwrap_err(), reason, "{bad:.80}");
        }
    }

    #[test]
    fn no_secret_is_printed() {
        assert!(!format!("{:?}", saved()).contains("aaaa"));
    }
}
