//! Doors for the fuzz targets: records as bytes, and a store that is nowhere but in memory.

use redb::backends::InMemoryBackend;

use super::codec::{ENTRY_LEN, SESSION_LEN, USER_LEN};
use super::{Head, OpenError, Store, builder, codec};
use crate::audit::MAC_LEN;

/// Bytes of the head of a log: the next number, a MAC, a key id, a seal.
const HEAD_LEN: usize = 8 + MAC_LEN + 1 + MAC_LEN;

/// How long the records are of which [`rewritten`] knows.
pub const RECORD_LENGTHS: [usize; 4] = [SESSION_LEN, USER_LEN, ENTRY_LEN, HEAD_LEN];

/// What a record of one of these lengths reads as, written again; `None` when it is damaged.
pub fn rewritten(record: &[u8]) -> Option<Vec<u8>> {
    match record.len() {
        SESSION_LEN => {
            let session = codec::decode_session(record.try_into().ok()?).ok()?;
            Some(codec::encode_session(&session).to_vec())
        }
        USER_LEN => {
            let user = codec::decode_user(record.try_into().ok()?).ok()?;
            Some(codec::encode_user(&user).to_vec())
        }
        ENTRY_LEN => {
            let entry = codec::decode_entry(record.try_into().ok()?).ok()?;
            Some(codec::encode_entry(&entry).to_vec())
        }
        _ => Head::from_bytes(record).map(|head| head.to_bytes().to_vec()),
    }
}

/// A new store in memory; a commit that fails panics.
///
/// # Errors
/// [`OpenError`] says what is wrong.
pub fn in_memory() -> Result<Store, OpenError> {
    let failed = |reason| OpenError { path: "memory".into(), reason };
    let database = builder().create_with_backend(InMemoryBackend::new());
    Store::start(database.map_err(|error| failed(error.into()))?, |error| panic!("{error}")).map_err(failed)
}
