//! How the store keeps the audit logs: each entry bound to the one before, and both logs sealed with what the store held.
//!
//! The seal is one record. It says where each log ends, and carries a census of users and sessions, so that whoever can
//! write the file and has no key can neither remove a log nor put an older one back beside newer sessions.

use std::fmt;

use redb::ReadableTable;
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::codec::{self, ENTRY_LEN};
use super::tables::{self, Bytes, EntryRecord, META_LOGS, META_UNSEALED, Tables, Writes};
use crate::audit::{AuditKey, Entry, Event, Log, MAC_LEN, Occurrence};
use crate::session::SessionId;
use crate::time::UnixMillis;
use crate::user::{User, UserId};

/// Both logs.
pub(super) const LOGS: [Log; 2] = [Log::Main, Log::Refusals];

impl Log {
    /// Entries the ring holds; then the oldest is overwritten.
    pub(super) const fn len(self) -> u64 {
        match self {
            Self::Main => 16_384,
            Self::Refusals => 4_096,
        }
    }

    /// What schema 2 kept the head of the log under.
    const fn head_of_schema_2(self) -> &'static str {
        match self {
            Self::Main => "audit_head",
            Self::Refusals => "refusals_head",
        }
    }
}

/// Where a log ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct End {
    /// How many entries there ever were.
    pub next: u64,
    /// The MAC of the last; zeros for a log without entries.
    pub mac: [u8; MAC_LEN],
    /// Entries with lower numbers were bound anew without being verified: their key was gone, or they were broken.
    pub unverified_before: u64,
}

/// What the sessions and users of a store add up to. It changes whenever one comes, goes, or is signed out everywhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Census {
    sessions: u64,
    users: u64,
}

impl Census {
    pub(super) fn add_session(&mut self, id: SessionId) {
        self.sessions = self.sessions.wrapping_add(id.random());
    }

    pub(super) fn remove_session(&mut self, id: SessionId) {
        self.sessions = self.sessions.wrapping_sub(id.random());
    }

    pub(super) fn add_user(&mut self, id: UserId, user: &User) {
        self.users = self.users.wrapping_add(Self::of_user(id, user));
    }

    pub(super) fn remove_user(&mut self, id: UserId, user: &User) {
        self.users = self.users.wrapping_sub(Self::of_user(id, user));
    }

    fn of_user(id: UserId, user: &User) -> u64 {
        // Mixed (the finaliser of SplitMix64), so that two users whose epochs moved do not add up to the same.
        let mut mixed = id.0 ^ u64::from(user.auth_epoch).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn plus(self, other: Self) -> Self {
        Self {
            sessions: self.sessions.wrapping_add(other.sessions),
            users: self.users.wrapping_add(other.users),
        }
    }
}

/// What both logs are sealed with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Seal {
    /// The master key it is made with.
    kid: u8,
    /// Whether what was sealed before was found missing or changed.
    is_lost: bool,
    ends: [End; 2],
    census: Census,
    mac: [u8; MAC_LEN],
}

impl Seal {
    const VERSION: u8 = 1;

    /// Bytes of the record: three, two ends, a census, and the MAC.
    pub(super) const LEN: usize = 3 + 2 * (8 + MAC_LEN + 8) + 2 * 8 + MAC_LEN;

    /// Of a store in which nothing was sealed yet.
    const NONE: Self = Self {
        kid: 0,
        is_lost: false,
        ends: [End { next: 0, mac: [0; MAC_LEN], unverified_before: 0 }; 2],
        census: Census { sessions: 0, users: 0 },
        mac: [0; MAC_LEN],
    };

    fn state(&self) -> Vec<u8> {
        let mut state = Vec::with_capacity(Self::LEN);
        state.extend_from_slice(&[Self::VERSION, self.kid, self.is_lost.into()]);
        for End { next, mac, unverified_before } in &self.ends {
            state.extend_from_slice(&next.to_be_bytes());
            state.extend_from_slice(mac);
            state.extend_from_slice(&unverified_before.to_be_bytes());
        }
        state.extend_from_slice(&self.census.sessions.to_be_bytes());
        state.extend_from_slice(&self.census.users.to_be_bytes());
        debug_assert_eq!(state.len(), Self::LEN - MAC_LEN);
        state
    }

    fn made_with(self, key: &AuditKey) -> Self {
        let mut sealed = Self { kid: key.kid(), ..self };
        sealed.mac = key.seal(&sealed.state());
        sealed
    }

    fn is_made_with(&self, key: &AuditKey) -> bool {
        self.kid == key.kid() && self.mac == key.seal(&self.state())
    }

    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = self.state();
        bytes.extend_from_slice(&self.mac);
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&[version, kid, is_lost @ (0 | 1)], rest) = bytes.split_first_chunk()? else { return None };
        let (main, rest) = end_from_bytes(rest)?;
        let (refusals, rest) = end_from_bytes(rest)?;
        let (sessions, rest) = rest.split_first_chunk()?;
        let (users, mac) = rest.split_first_chunk()?;
        let census = Census { sessions: u64::from_be_bytes(*sessions), users: u64::from_be_bytes(*users) };
        let mac = mac.try_into().ok()?;
        let seal = Self { kid, is_lost: is_lost == 1, ends: [main, refusals], census, mac };
        (version == Self::VERSION).then_some(seal)
    }
}

fn end_from_bytes(bytes: &[u8]) -> Option<(End, &[u8])> {
    let (next, rest) = bytes.split_first_chunk()?;
    let (mac, rest) = rest.split_first_chunk()?;
    let (unverified_before, rest) = rest.split_first_chunk()?;
    // No log is so long that its next entry could not be counted.
    let next = Some(u64::from_be_bytes(*next)).filter(|next| *next < u64::MAX)?;
    let unverified_before = Some(u64::from_be_bytes(*unverified_before)).filter(|before| *before <= next)?;
    Some((End { next, mac: *mac, unverified_before }, rest))
}

/// What is wrong with the logs as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Doubt {
    /// Where the logs end was missing, or not as it was sealed, when the store was opened.
    Lost,
    /// The seal is of other users and sessions than there are: the logs, or those, are of another time.
    OfAnotherTime,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lost => "where the logs end was removed or changed by somebody who has no key",
            Self::OfAnotherTime => {
                "the logs are of another time than the users and sessions beside them; somebody put one of the two back"
            }
        })
    }
}

impl<M, U, L, S, A> Tables<M, U, L, S, A>
where
    M: ReadableTable<&'static str, Bytes>,
    U: ReadableTable<u64, super::tables::UserRecord>,
    L: ReadableTable<&'static str, u64>,
    S: ReadableTable<super::tables::SessionKey, super::tables::SessionRecord>,
    A: ReadableTable<u64, EntryRecord>,
{
    fn seal(&self) -> Result<Option<Seal>, StoreError> {
        Ok(self.meta.get(META_LOGS)?.and_then(|bytes| Seal::from_bytes(bytes.value())))
    }

    /// Where a log ends.
    pub fn end_of(&self, log: Log) -> Result<End, StoreError> {
        Ok(self.seal()?.unwrap_or(Seal::NONE).ends[log as usize])
    }

    /// The number of the oldest entry that the ring still holds.
    pub fn oldest(&self, log: Log) -> Result<u64, StoreError> {
        Ok(self.end_of(log)?.next.saturating_sub(log.len()))
    }

    /// An entry of a log, as it is and as the bytes its MAC is over.
    pub fn entry(&self, log: Log, number: u64) -> Result<Option<(Entry, [u8; ENTRY_LEN])>, StoreError> {
        let ring = match log {
            Log::Main => &self.audit,
            Log::Refusals => &self.refusals,
        };
        let Some(record) = ring.get(number % log.len())? else { return Ok(None) };
        let record = *record.value();
        Ok(Some((codec::decode_entry(&record)?, record)))
    }

    /// An entry that has its place in the ring to itself; one that cannot even be read is none.
    pub fn entry_in_place(&self, log: Log, number: u64) -> Option<(Entry, [u8; ENTRY_LEN])> {
        self.entry(log, number).ok().flatten().filter(|(entry, _)| entry.number == number)
    }

    /// Whether the logs were sealed ever, by whatever key.
    pub fn has_seal(&self) -> Result<bool, StoreError> {
        Ok(self.seal()?.is_some())
    }

    /// Whether what was sealed before was found missing or changed when the store was opened.
    pub fn is_lost(&self) -> Result<bool, StoreError> {
        Ok(self.seal()?.is_some_and(|seal| seal.is_lost))
    }

    /// Whether both logs are sealed with one of the keys.
    pub fn is_sealed<'k>(&self, key_of: impl Fn(u8) -> Option<&'k AuditKey>) -> Result<bool, StoreError> {
        let is_made = |seal: Seal| key_of(seal.kid).is_some_and(|key| seal.is_made_with(key));
        Ok(self.seal()?.is_some_and(is_made))
    }

    /// Walks a log from its oldest entry to its end, each entry vouching for the one before; returns the number of the
    /// first that is missing or not as it was written.
    pub fn first_broken_entry<'k>(
        &self,
        log: Log,
        key_of: impl Fn(u8) -> Option<&'k AuditKey>,
    ) -> Result<Option<u64>, StoreError> {
        let (end, oldest) = (self.end_of(log)?, self.oldest(log)?);
        // The oldest entry's own predecessor is gone, so nothing is known of it.
        let (mut expected, mut last) = (None, oldest);
        for number in oldest..end.next {
            let Some((entry, record)) = self.entry_in_place(log, number) else {
                if number < end.unverified_before {
                    continue;
                }
                return Ok(Some(number));
            };
            if expected.is_some_and(|mac| mac != entry.previous) {
                return Ok(Some(last));
            }
            let Some(key) = key_of(entry.kid) else { return Ok(Some(number)) };
            (expected, last) = (Some(key.mac(&record)), number);
        }
        let is_whole = expected.unwrap_or_default() == end.mac;
        Ok((!is_whole).then_some(last))
    }

    /// What is wrong with the logs as a whole, if anything is.
    ///
    /// Every session and every user is looked at.
    pub fn doubt(&self) -> Result<Option<Doubt>, StoreError> {
        let Some(seal) = self.seal()? else { return Ok(Some(Doubt::Lost)) };
        if seal.is_lost {
            return Ok(Some(Doubt::Lost));
        }
        Ok((seal.census != self.census()?).then_some(Doubt::OfAnotherTime))
    }

    pub(super) fn census(&self) -> Result<Census, StoreError> {
        let mut census = Census::default();
        for entry in self.sessions.iter()? {
            census.add_session(SessionId(*entry?.0.value()));
        }
        for entry in self.users.iter()? {
            let (id, record) = entry?;
            census.add_user(UserId(id.value()), &codec::decode_user(record.value())?);
        }
        Ok(census)
    }

    /// Where schema 2 says that a log ends, and whether a key of ours has sealed it there.
    fn end_of_schema_2<'k>(
        &self,
        log: Log,
        key_of: impl Fn(u8) -> Option<&'k AuditKey>,
    ) -> Result<Option<(End, bool)>, StoreError> {
        let Some(bytes) = self.meta.get(log.head_of_schema_2())? else { return Ok(None) };
        let read = |bytes: &[u8]| {
            let (next, rest) = bytes.split_first_chunk()?;
            let (mac, rest) = rest.split_first_chunk()?;
            let (&kid, seal) = rest.split_first()?;
            let next = Some(u64::from_be_bytes(*next)).filter(|next| *next < u64::MAX)?;
            let is_ours = key_of(kid).is_some_and(|key| key.seal_of_schema_2(next, mac) == *seal);
            Some((End { next, mac: *mac, unverified_before: 0 }, is_ours))
        };
        Ok(Some(read(bytes.value()).unwrap_or_default()))
    }
}

/// How the logs are sealed anew.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reseal {
    /// Both logs were verified just now: every entry is bound with another key, and vouched for as before.
    Verified,
    /// They are sealed as they stand: what they hold until now is shown as not verified.
    AsTheyStand,
}

impl Writes<'_> {
    /// Binds every entry of both logs with `key` and seals them, as they stand also with what the store holds now.
    pub fn reseal(&mut self, key: &AuditKey, how: Reseal) -> Result<(), StoreError> {
        let mut seal = self.seal()?.unwrap_or(Seal::NONE);
        for log in LOGS {
            let end = &mut seal.ends[log as usize];
            end.mac = self.bind_anew(log, *end, key)?;
            if how == Reseal::AsTheyStand {
                end.unverified_before = end.next;
            }
        }
        seal.census = match how {
            Reseal::Verified => seal.census.plus(self.census_change()),
            Reseal::AsTheyStand => self.census()?,
        };
        seal.is_lost &= how == Reseal::Verified;
        self.put_seal(seal, key)
    }

    /// Binds the entries of a log with `key`, and returns the MAC of the last. Those that cannot be read are removed.
    fn bind_anew(&mut self, log: Log, end: End, key: &AuditKey) -> Result<[u8; MAC_LEN], StoreError> {
        let mut last = None;
        for number in end.next.saturating_sub(log.len())..end.next {
            let Some((entry, _)) = self.entry_in_place(log, number) else {
                self.ring(log).remove(number % log.len())?;
                continue;
            };
            let previous = last.unwrap_or(entry.previous);
            let record = codec::encode_entry(&Entry { kid: key.kid(), previous, ..entry });
            self.ring(log).insert(number % log.len(), &record)?;
            last = Some(key.mac(&record));
        }
        Ok(last.unwrap_or_default())
    }

    /// Seals the logs of a store that has no seal a key of ours has made: it is new, of schema 2, or somebody removed or
    /// changed the seal; then the entry that says so is the first one afterwards.
    pub fn begin_logs<'k>(
        &mut self,
        key: &AuditKey,
        key_of: impl Fn(u8) -> Option<&'k AuditKey> + Copy,
        is_new: bool,
    ) -> Result<(), StoreError> {
        let mut seal = Seal { census: self.census()?, ..Seal::NONE };
        let is_migrated = self.tables_mut().meta.remove(META_UNSEALED)?.is_some();
        seal.is_lost = !(is_migrated || is_new);
        for log in LOGS {
            match self.end_of_schema_2(log, key_of)? {
                Some((end, is_ours)) => {
                    seal.ends[log as usize] = end;
                    seal.is_lost |= !is_ours;
                }
                // Schema 1 had no logs, but whoever removes them can say that this store is of schema 1.
                None => {
                    seal.is_lost |=
                        self.entry(log, 0)?.is_some() || (log == Log::Main && self.has_users()?);
                }
            }
            self.tables_mut().meta.remove(log.head_of_schema_2())?;
        }
        if seal.is_lost {
            for log in LOGS {
                seal.ends[log as usize] = self.take_over(log, key)?;
            }
            self.note(Occurrence::of(Event::LogLost));
        } else if is_migrated {
            self.note(Occurrence::of(Event::LogBegan));
        }
        self.put_seal(seal, key)
    }

    /// Keeps what is left of a log whose end is lost, as not verified.
    fn take_over(&mut self, log: Log, key: &AuditKey) -> Result<End, StoreError> {
        let left = (0..log.len()).filter_map(|place| self.entry(log, place).ok().flatten());
        let next = left.map(|(entry, _)| entry.number + 1).max().unwrap_or_default();
        let end = End { next, unverified_before: next, ..End::default() };
        Ok(End { mac: self.bind_anew(log, end, key)?, ..end })
    }

    /// Appends what happened to its log, and seals both with the census as it is now.
    pub(super) fn append(
        &mut self,
        key: &AuditKey,
        occurrences: impl Iterator<Item = (Occurrence, UnixMillis, u32)>,
    ) -> Result<(), StoreError> {
        let mut seal = self.seal()?.unwrap_or(Seal::NONE);
        seal.census = seal.census.plus(self.census_change());
        for (occurrence, time, count) in occurrences {
            let log = occurrence.event.log();
            let End { next: number, mac: previous, .. } = seal.ends[log as usize];
            let entry = Entry { number, time, count, occurrence, kid: key.kid(), previous };
            let record = codec::encode_entry(&entry);
            self.ring(log).insert(number % log.len(), &record)?;
            seal.ends[log as usize].next = number + 1;
            seal.ends[log as usize].mac = key.mac(&record);
        }
        self.put_seal(seal, key)
    }

    fn put_seal(&mut self, seal: Seal, key: &AuditKey) -> Result<(), StoreError> {
        let record = seal.made_with(key).to_bytes();
        self.tables_mut().meta.insert(META_LOGS, record.as_slice())?;
        self.census_is_sealed();
        Ok(())
    }
}

impl tables::Copy<'_> {
    /// Seals the copy with the sessions that it has, in place of those that were `there` when users and logs were copied.
    ///
    /// What the seal did not fit before it does not fit now: a backup must not hide that a log was put back.
    pub(super) fn seal_sessions(&mut self, key: &AuditKey, there: Census) -> Result<(), StoreError> {
        let Some(mut seal) = self.0.seal()? else { return Ok(()) };
        let more = self.0.census()?.sessions.wrapping_sub(there.sessions);
        seal.census.sessions = seal.census.sessions.wrapping_add(more);
        self.0.meta.insert(META_LOGS, seal.made_with(key).to_bytes().as_slice())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_behind_which_no_entry_can_be_counted_is_damaged() {
        let seal = |next: u64| {
            let end = End { next, ..End::default() };
            Seal::from_bytes(&Seal { ends: [End::default(), end], ..Seal::NONE }.to_bytes())
        };
        assert!(seal(u64::MAX - 1).is_some());
        assert_eq!(seal(u64::MAX), None);
    }

    #[test]
    fn a_census_tells_who_was_signed_out_everywhere() {
        let user = |auth_epoch| User {
            name: "alice".to_owned(),
            role: crate::user::Role::User,
            disabled: false,
            auth_epoch,
            created: UnixMillis(0),
            password_hash: crate::user::PasswordHash(String::new()),
        };
        let census = |epochs: [u32; 2]| {
            let mut census = Census::default();
            census.add_user(UserId(1), &user(epochs[0]));
            census.add_user(UserId(2), &user(epochs[1]));
            census
        };
        assert_ne!(census([0, 0]), census([0, 1]));
        assert_ne!(census([0, 1]), census([1, 0]));
        let mut back = census([0, 1]);
        back.remove_user(UserId(2), &user(1));
        back.add_user(UserId(2), &user(0));
        assert_eq!(back, census([0, 0]));
    }
}
