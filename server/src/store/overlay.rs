//! A store's file, opened so that whatever redb writes stays in memory: to verify a store and leave it as it is.
//!
//! redb verifies only a database it may write to, since verifying can mean recovering from a crash first.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

/// Bytes that are copied to memory when one of them is written.
const CHUNK_LEN: u64 = 4096;

/// The file below, the chunks that differ from it above.
#[derive(Debug)]
pub(super) struct Overlay {
    file: FileBackend,
    file_len: u64,
    above: Mutex<Above>,
}

#[derive(Debug)]
struct Above {
    len: u64,
    chunks: BTreeMap<u64, Box<[u8; CHUNK_LEN as usize]>>,
}

impl Overlay {
    /// An overlay over `file`, which has to be open for reading, and for writing too because of its locks.
    pub(super) fn new(file: File) -> Result<Self, redb::DatabaseError> {
        let file = FileBackend::new(file)?;
        let file_len = file.len()?;
        Ok(Self { file, file_len, above: Mutex::new(Above { len: file_len, chunks: BTreeMap::new() }) })
    }

    fn above(&self) -> MutexGuard<'_, Above> {
        self.above.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The chunk that starts at `start` as the file has it, zeros behind the file's end.
    fn chunk_below(&self, start: u64) -> io::Result<Box<[u8; CHUNK_LEN as usize]>> {
        let mut chunk = Box::new([0; CHUNK_LEN as usize]);
        let len = self.file_len.saturating_sub(start).min(CHUNK_LEN);
        self.file.read(start, &mut chunk[..len as usize])?;
        Ok(chunk)
    }
}

/// The pieces of `len` bytes at `offset`, cut at the bounds of chunks: chunk, place in it, place in the bytes, length.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let within = (at % CHUNK_LEN) as usize;
        let piece = (len - done).min(CHUNK_LEN as usize - within);
        let next = (at - within as u64, within, done, piece);
        done += piece;
        (piece > 0).then_some(next)
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.above().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let above = self.above();
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > above.len) {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        for (start, within, done, len) in pieces(offset, out.len()) {
            let out = &mut out[done..][..len];
            match above.chunks.get(&start) {
                Some(chunk) => out.copy_from_slice(&chunk[within..][..len]),
                None => out.copy_from_slice(&self.chunk_below(start)?[within..][..len]),
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut above = self.above();
        // What is cut off and grown again has to be zeros, also where the file has something else.
        for start in (len.next_multiple_of(CHUNK_LEN)..above.len).step_by(CHUNK_LEN as usize) {
            above.chunks.insert(start, Box::new([0; CHUNK_LEN as usize]));
        }
        if len < above.len && !len.is_multiple_of(CHUNK_LEN) {
            let start = len - len % CHUNK_LEN;
            let mut chunk = above.chunks.remove(&start).map_or_else(|| self.chunk_below(start), Ok)?;
            chunk[(len % CHUNK_LEN) as usize..].fill(0);
            above.chunks.insert(start, chunk);
        }
        above.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut above = self.above();
        for (start, within, done, len) in pieces(offset, data.len()) {
            let mut chunk = above.chunks.remove(&start).map_or_else(|| self.chunk_below(start), Ok)?;
            chunk[within..][..len].copy_from_slice(&data[done..][..len]);
            above.chunks.insert(start, chunk);
        }
        above.len = above.len.max(offset + data.len() as u64);
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Write(u64, Vec<u8>),
        SetLen(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let write = (0..20_000_u64, proptest::collection::vec(any::<u8>(), 0..9000));
        let step = prop_oneof![
            3 => write.prop_map(|(offset, data)| Step::Write(offset, data)),
            1 => (0..20_000_u64).prop_map(Step::SetLen),
        ];
        proptest::collection::vec(step, 0..12)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn an_overlay_reads_as_the_file_would_and_leaves_it_alone(below in 0..15_000_usize, steps in steps()) {
            let before: Vec<u8> = (0..below).map(|n| n as u8 | 1).collect();
            let path = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(&path, &before).unwrap();
            let overlay = Overlay::new(File::options().read(true).write(true).open(&path).unwrap()).unwrap();
            let mut model = before.clone();
            for step in steps {
                match step {
                    Step::Write(offset, data) => {
                        let end = offset as usize + data.len();
                        model.resize(model.len().max(end), 0);
                        model[offset as usize..end].copy_from_slice(&data);
                        overlay.write(offset, &data).unwrap();
                    }
                    Step::SetLen(len) => {
                        model.resize(len as usize, 0);
                        overlay.set_len(len).unwrap();
                    }
                }
                let mut read = vec![0; model.len()];
                prop_assert_eq!(overlay.len().unwrap(), model.len() as u64);
                overlay.read(0, &mut read).unwrap();
                prop_assert!(read == model);
                prop_assert!(overlay.read(1, &mut read).is_err() || model.is_empty());
            }
            prop_assert!(std::fs::read(&path).unwrap() == before);
        }
    }
}
