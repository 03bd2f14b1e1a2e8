//! The bytes of each stored record: fixed sizes, big endian, a version byte first, zeros where a text ends early.
//!
//! ARCHITECTURE.md draws the layouts. Reading is strict: whatever these functions did not write is [`Damaged`], so
//! that a flipped bit becomes an error and never a wrong answer.

use std::fmt;

use crate::audit::{self, Entry, Event, Occurrence};
use crate::session::{self, LABEL_LEN_MAX, RetryKey, Session, SessionId};
use crate::time::UnixMillis;
use crate::user::{NAME_LEN_MAX, PHC_LEN_MAX, PasswordHash, Role, User, UserId};

/// Bytes of a session record.
pub(super) const SESSION_LEN: usize = 12 + 4 * 8 + 2 * 16 + 16 + LABEL_LEN_MAX;
/// Bytes of a user record.
pub(super) const USER_LEN: usize = 17 + NAME_LEN_MAX + PHC_LEN_MAX;
/// Bytes of an entry of the audit log.
pub(super) const ENTRY_LEN: usize = 4 + 4 + 8 + 8 + 8 + 16 + 16 + 16 + audit::MAC_LEN;

const SESSION_VERSION: u8 = 1;
const USER_VERSION: u8 = 1;
const ENTRY_VERSION: u8 = 1;

// The store's write budget counts on small records.
const _: () = assert!(SESSION_LEN <= 128);

/// A record that this version of the server cannot have written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Damaged;

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a stored record is damaged")
    }
}

impl std::error::Error for Damaged {}

/// Writes a session record.
pub(super) fn encode_session(session: &Session) -> [u8; SESSION_LEN] {
    let [last, before] = session.retry_keys;
    let mut record = Record::<SESSION_LEN>::new();
    record.put(&[SESSION_VERSION, session.kid]);
    let flags = [last.is_some(), before.is_some(), session.follows_another_key];
    record.put(&[flag_bits(flags), session.label.len() as u8]);
    record.put(&session.generation.to_be_bytes());
    record.put(&session.auth_epoch.to_be_bytes());
    for time in [session.created, session.expires, session.idle_expires, session.rotated_at] {
        record.put(&time.0.to_be_bytes());
    }
    for key in [last, before] {
        record.put(&key.map_or([0; 16], |key| key.0));
    }
    record.put(&session::address_bytes(session.address));
    record.put_text::<LABEL_LEN_MAX>(&session.label);
    record.finish()
}

/// Reads a session record.
///
/// # Errors
/// [`Damaged`] when the bytes are none that [`encode_session`] writes.
pub(super) fn decode_session(bytes: &[u8; SESSION_LEN]) -> Result<Session, Damaged> {
    let mut fields = Fields(bytes);
    let [version, kid, flags, label_len] = fields.take()?;
    if version != SESSION_VERSION || flags > 0b111 {
        return Err(Damaged);
    }
    let generation = fields.take_u32()?;
    let auth_epoch = fields.take_u32()?;
    let created = fields.take_time()?;
    let expires = fields.take_time()?;
    let idle_expires = fields.take_time()?;
    let rotated_at = fields.take_time()?;
    let last = fields.take_if(flags & 1 != 0)?.map(RetryKey);
    let before = fields.take_if(flags & 2 != 0)?.map(RetryKey);
    let address = session::address_from_bytes(fields.take()?);
    let label = fields.take_text::<LABEL_LEN_MAX>(label_len)?;
    let session = Session {
        kid,
        follows_another_key: flags & 4 != 0,
        generation,
        auth_epoch,
        created,
        expires,
        idle_expires,
        rotated_at,
        retry_keys: [last, before],
        address,
        label,
    };
    fields.end(session)
}

/// Writes a user record.
pub(super) fn encode_user(user: &User) -> [u8; USER_LEN] {
    let role = match user.role {
        Role::User => 0,
        Role::Admin => 1,
    };
    let mut record = Record::<USER_LEN>::new();
    record.put(&[USER_VERSION, role, u8::from(user.disabled)]);
    record.put(&[user.name.len() as u8, user.password_hash.0.len() as u8]);
    record.put(&user.auth_epoch.to_be_bytes());
    record.put(&user.created.0.to_be_bytes());
    record.put_text::<NAME_LEN_MAX>(&user.name);
    record.put_text::<PHC_LEN_MAX>(&user.password_hash.0);
    record.finish()
}

/// Reads a user record.
///
/// # Errors
/// [`Damaged`] when the bytes are none that [`encode_user`] writes.
pub(super) fn decode_user(bytes: &[u8; USER_LEN]) -> Result<User, Damaged> {
    let mut fields = Fields(bytes);
    let [version, role, disabled, name_len, phc_len] = fields.take()?;
    let role = match role {
        0 => Role::User,
        1 => Role::Admin,
        _ => return Err(Damaged),
    };
    if version != USER_VERSION || disabled > 1 {
        return Err(Damaged);
    }
    let auth_epoch = fields.take_u32()?;
    let created = fields.take_time()?;
    let name = fields.take_text::<NAME_LEN_MAX>(name_len)?;
    let password_hash = PasswordHash(fields.take_text::<PHC_LEN_MAX>(phc_len)?);
    fields.end(User { name, role, disabled: disabled == 1, auth_epoch, created, password_hash })
}

/// Writes an entry of the audit log.
pub(super) fn encode_entry(entry: &Entry) -> [u8; ENTRY_LEN] {
    let Occurrence { event, user, session, address, other_address } = entry.occurrence;
    let present = [user.is_some(), session.is_some(), address.is_some(), other_address.is_some()];
    let mut record = Record::<ENTRY_LEN>::new();
    record.put(&[ENTRY_VERSION, event as u8, entry.kid, flag_bits(present)]);
    record.put(&entry.count.to_be_bytes());
    record.put(&entry.number.to_be_bytes());
    record.put(&entry.time.0.to_be_bytes());
    record.put(&user.map_or(0, |user| user.0).to_be_bytes());
    record.put(&session.map_or([0; 16], |session| session.0));
    for address in [address, other_address] {
        record.put(&address.map_or([0; 16], session::address_bytes));
    }
    record.put(&entry.previous);
    record.finish()
}

/// Reads an entry of the audit log.
///
/// # Errors
/// [`Damaged`] when the bytes are none that [`encode_entry`] writes.
pub(super) fn decode_entry(bytes: &[u8; ENTRY_LEN]) -> Result<Entry, Damaged> {
    let mut fields = Fields(bytes);
    let [version, event, kid, present] = fields.take()?;
    let event = Event::from_number(event).filter(|_| version == ENTRY_VERSION && present <= 0b1111);
    let event = event.ok_or(Damaged)?;
    let is_there = |bit: u8| present & 1 << bit != 0;
    let count = fields.take_u32()?;
    let number = fields.take().map(u64::from_be_bytes)?;
    let time = fields.take_time()?;
    let user = fields.take_if(is_there(0))?.map(|bytes| UserId(u64::from_be_bytes(bytes)));
    let session = fields.take_if(is_there(1))?.map(SessionId);
    let address = fields.take_if(is_there(2))?.map(session::address_from_bytes);
    let other_address = fields.take_if(is_there(3))?.map(session::address_from_bytes);
    let previous = fields.take()?;
    let occurrence = Occurrence { event, user, session, address, other_address };
    fields.end(Entry { number, time, count, occurrence, kid, previous })
}

/// Flags as the bits of a byte, the first one lowest.
fn flag_bits<const N: usize>(flags: [bool; N]) -> u8 {
    flags.into_iter().rev().fold(0, |bits, is_set| bits << 1 | u8::from(is_set))
}

/// A record being written, field after field.
struct Record<const N: usize> {
    bytes: [u8; N],
    written: usize,
}

impl<const N: usize> Record<N> {
    fn new() -> Self {
        Self { bytes: [0; N], written: 0 }
    }

    fn put(&mut self, field: &[u8]) {
        self.bytes[self.written..][..field.len()].copy_from_slice(field);
        self.written += field.len();
    }

    /// Writes a text into a field of `WIDTH` bytes; its length stands elsewhere in the record.
    fn put_text<const WIDTH: usize>(&mut self, text: &str) {
        let mut field = [0; WIDTH];
        field[..text.len()].copy_from_slice(text.as_bytes());
        self.put(&field);
    }

    fn finish(self) -> [u8; N] {
        debug_assert_eq!(self.written, N, "every byte of a record is written");
        self.bytes
    }
}

/// A record being read, field after field.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        let (field, rest) = self.0.split_first_chunk().ok_or(Damaged)?;
        self.0 = rest;
        Ok(*field)
    }

    fn take_u32(&mut self) -> Result<u32, Damaged> {
        self.take().map(u32::from_be_bytes)
    }

    fn take_time(&mut self) -> Result<UnixMillis, Damaged> {
        self.take().map(|bytes| UnixMillis(u64::from_be_bytes(bytes)))
    }

    /// A field that is zeros when its value is absent.
    fn take_if<const N: usize>(&mut self, is_there: bool) -> Result<Option<[u8; N]>, Damaged> {
        let bytes = self.take()?;
        match is_there {
            true => Ok(Some(bytes)),
            false if bytes == [0; N] => Ok(None),
            false => Err(Damaged),
        }
    }

    fn take_text<const WIDTH: usize>(&mut self, len: u8) -> Result<String, Damaged> {
        let field: [u8; WIDTH] = self.take()?;
        let (text, padding) = field.split_at_checked(usize::from(len)).ok_or(Damaged)?;
        if padding.iter().any(|&byte| byte != 0) {
            return Err(Damaged);
        }
        String::from_utf8(text.to_vec()).map_err(|_| Damaged)
    }

    fn end<T>(self, record: T) -> Result<T, Damaged> {
        if self.0.is_empty() { Ok(record) } else { Err(Damaged) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sessions() -> impl Strategy<Value = Session> {
        let retry_key = || proptest::option::of(any::<[u8; 16]>().prop_map(RetryKey));
        let times = any::<[u64; 4]>().prop_map(|times| times.map(UnixMillis));
        (any::<(u8, u32, u32)>(), times, [retry_key(), retry_key()], any::<[u8; 4]>(), ".{0,9}").prop_map(
            |((kid, generation, auth_epoch), times, retry_keys, address, label)| Session {
                kid,
                follows_another_key: auth_epoch % 2 == 1,
                generation,
                auth_epoch,
                created: times[0],
                expires: times[1],
                idle_expires: times[2],
                rotated_at: times[3],
                retry_keys,
                address: address.into(),
                label: session::truncated(&label, LABEL_LEN_MAX).to_owned(),
            },
        )
    }

    fn users() -> impl Strategy<Value = User> {
        ("\\PC{1,16}", any::<(bool, bool, u32, u64)>(), "[!-~]{0,128}").prop_map(
            |(name, (admin, disabled, auth_epoch, created), phc)| User {
                name,
                role: if admin { Role::Admin } else { Role::User },
                disabled,
                auth_epoch,
                created: UnixMillis(created),
                password_hash: PasswordHash(phc),
            },
        )
    }

    fn entries() -> impl Strategy<Value = Entry> {
        let occurrence = (
            (1..=20_u8).prop_map(|number| Event::from_number(number).unwrap()),
            proptest::option::of(any::<u64>().prop_map(UserId)),
            proptest::option::of(any::<[u8; 16]>().prop_map(SessionId)),
            proptest::option::of(any::<[u8; 4]>().prop_map(Into::into)),
            proptest::option::of(any::<[u8; 16]>().prop_map(session::address_from_bytes)),
        );
        (occurrence, any::<(u64, u64, u32, u8)>(), any::<[u8; audit::MAC_LEN]>()).prop_map(
            |((event, user, session, address, other_address), (number, time, count, kid), previous)| {
                let occurrence = Occurrence { event, user, session, address, other_address };
                Entry { number, time: UnixMillis(time), count, occurrence, kid, previous }
            },
        )
    }

    proptest! {
        #[test]
        fn an_entry_reads_back_as_written(entry in entries()) {
            prop_assert_eq!(decode_entry(&encode_entry(&entry)), Ok(entry));
        }

        #[test]
        fn a_session_reads_back_as_written(session in sessions()) {
            prop_assert_eq!(decode_session(&encode_session(&session)), Ok(session));
        }

        #[test]
        fn a_user_reads_back_as_written(user in users()) {
            prop_assert_eq!(decode_user(&encode_user(&user)), Ok(user));
        }

        #[test]
        fn bytes_that_read_as_a_session_are_the_bytes_it_is_written_as(bytes: [u8; SESSION_LEN]) {
            if let Ok(session) = decode_session(&bytes) {
                prop_assert_eq!(encode_session(&session), bytes);
            }
        }
    }

    #[test]
    fn the_bytes_of_a_session_are_these() {
        let session = Session {
            kid: 2,
            follows_another_key: true,
            generation: 3,
            auth_epoch: 4,
            created: UnixMillis(5),
            expires: UnixMillis(6),
            idle_expires: UnixMillis(7),
            rotated_at: UnixMillis(8),
            retry_keys: [Some(RetryKey([9; 16])), None],
            address: [127, 0, 0, 1].into(),
            label: "curl".to_owned(),
        };
        let bytes = encode_session(&session);
        assert_eq!(bytes[..12], [1, 2, 0b101, 4, 0, 0, 0, 3, 0, 0, 0, 4]);
        assert_eq!(bytes[12..20], 5_u64.to_be_bytes());
        assert_eq!(bytes[36..44], 8_u64.to_be_bytes());
        assert_eq!(bytes[44..60], [9; 16]);
        assert_eq!(bytes[60..76], [0; 16]);
        assert_eq!(bytes[76..92], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1]);
        assert_eq!(bytes[92..96], *b"curl");
        assert_eq!(bytes[96..], [0; 24]);
    }

    #[test]
    fn records_of_another_version_or_with_stray_bytes_are_damaged() {
        let user = User {
            name: "alice".to_owned(),
            role: Role::Admin,
            disabled: false,
            auth_epoch: 0,
            created: UnixMillis(1),
            password_hash: PasswordHash("$argon2id$".to_owned()),
        };
        let good = encode_user(&user);
        for (at, value) in [(0, 2), (1, 2), (2, 2), (3, 65), (4, 129), (3, 4), (17, 0xff)] {
            let mut bytes = good;
            bytes[at] = value;
            assert_eq!(decode_user(&bytes), Err(Damaged), "byte {at} as {value}");
        }
    }
}
