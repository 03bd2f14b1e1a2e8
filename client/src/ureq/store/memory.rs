//! A session that ends with the program, or is carried elsewhere by it.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{OpenStore, Saved, SessionStore, StoreError};

/// Keeps a session in memory.
#[derive(Default)]
pub struct MemoryStore {
    saved: Mutex<Option<Saved>>,
    /// Held while the store is open, so that reading never waits for a refresh.
    door: Mutex<()>,
}

struct OpenMemory<'a> {
    store: &'a MemoryStore,
    _door: MutexGuard<'a, ()>,
}

impl MemoryStore {
    /// A store that keeps nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A store that keeps `saved`.
    pub fn holding(saved: Saved) -> Self {
        Self { saved: Mutex::new(Some(saved)), door: Mutex::default() }
    }

    fn saved(&self) -> MutexGuard<'_, Option<Saved>> {
        // Nothing here panics while it holds the lock, and an assignment leaves no half-written value.
        self.saved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SessionStore for MemoryStore {
    fn read(&self) -> Result<Option<Saved>, StoreError> {
        Ok(self.saved().clone())
    }

    fn open(&self) -> Result<Box<dyn OpenStore + '_>, StoreError> {
        let door = self.door.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Box::new(OpenMemory { store: self, _door: door }))
    }
}

impl OpenStore for OpenMemory<'_> {
    fn read(&self) -> Result<Option<Saved>, StoreError> {
        self.store.read()
    }

    fn write(&mut self, saved: &Saved) -> Result<(), StoreError> {
        *self.store.saved() = Some(saved.clone());
        Ok(())
    }

    fn clear(&mut self) -> Result<(), StoreError> {
        *self.store.saved() = None;
        Ok(())
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("saved", &*self.saved()).finish_non_exhaustive()
    }
}
