//! Doors for the fuzz targets: records as bytes, and a store that is nowhere but in memory.

use redb::backends::InMemoryBackend;

use super::codec::{ENTRY_LEN, SESSION_LEN, USER_LEN};
use super::logs::Seal;
use super::{OpenError, Store, builder, codec, tables};

/// How long the records are of which [`rewritten`] knows.
pub const RECORD_LENGTHS: [usize; 4] = [SESSION_LEN, USER_LEN, ENTRY_LEN, Seal::LEN];

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
        _ => Seal::from_bytes(record).map(Seal::to_bytes),
    }
}

/// A new store in memory; a commit that fails panics.
///
/// # Errors
/// [`OpenError`] says what is wrong.
pub fn in_memory() -> Result<Store, OpenError> {
    let failed = |reason| OpenError { path: "memory".into(), reason };
    let database = builder().create_with_backend(InMemoryBackend::new());
    let database = database.map_err(|error| failed(error.into()))?;
    tables::create(&database).map_err(|error| failed(error.into()))?;
    Ok(Store::start(database, "memory".into(), |error| panic!("{error}")))
}
