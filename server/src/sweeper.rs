//! What the server does once a minute: it deletes the records of dead sessions, slice by slice, so that it never stands
//! in anybody's way, and tells the log when the system clock is behind.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{fmt, io, mem};

use crate::api::App;
use crate::command;
use crate::metrics::Count;
use crate::session::SessionId;
use crate::store::{Store, StoreError};
use crate::time::Now;

/// How often the sweeper goes through all sessions.
const EVERY: Duration = Duration::from_secs(60);

/// A lead that grows by more than so many seconds within a minute is worth a line in the log.
const LEAD_TOLD_SECS: u64 = 1;

/// Records in a slice: a read of about four milliseconds, and a commit of no more than it leaves.
const SLICE_LEN: usize = 4096;

/// Deletes every session record that is dead at `now`; returns how many there were.
///
/// # Errors
/// [`StoreError`] when the store cannot be read or written; the next sweep goes on where this one stopped.
pub fn sweep(store: &Store, now: Now) -> Result<usize, StoreError> {
    let mut after = SessionId([0; 16]);
    let mut swept = 0;
    loop {
        let (last, dead) = store.read(|reads| {
            let slice = reads.sessions_after(after, SLICE_LEN)?;
            let last = slice.last().map(|(id, _)| *id);
            let mut dead = Vec::new();
            for (id, session) in slice {
                if session.end_reason(reads.user(id.user())?.as_ref(), now).is_some() {
                    dead.push(id);
                }
            }
            Ok((last, dead))
        })?;
        let Some(last) = last else { return Ok(swept) };
        after = last;
        if !dead.is_empty() {
            // Decided once more inside the transaction: a dead session stays dead, but its id may be used anew.
            swept += store.write(move |writes| command::delete_dead(writes, &dead, now))?;
        }
    }
}

/// The sweeper's thread; dropping it stops it.
pub struct Sweeper {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Sweeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sweeper")
    }
}

impl Sweeper {
    /// Starts sweeping.
    ///
    /// # Errors
    /// When the operating system refuses a thread.
    pub fn start(app: Arc<App>) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let thread = thread::Builder::new().name("sweeper".to_owned()).spawn(move || {
            let mut lead_secs = app.clock.lead_secs();
            while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                match sweep(&app.store, app.clock.now()) {
                    Ok(0) => {}
                    Ok(swept) => log::debug!("swept {swept} dead sessions"),
                    Err(error) => {
                        app.metrics.count(Count::SweepFailed);
                        log::warn!("the sweeper stopped early: {error}");
                    }
                }
                let before = mem::replace(&mut lead_secs, app.clock.lead_secs());
                tell_lead(before, lead_secs);
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

/// Tells the log when the system clock has fallen behind the highest time seen, and when it has caught up.
fn tell_lead(before_secs: u64, now_secs: u64) {
    if now_secs > before_secs + LEAD_TOLD_SECS {
        log::warn!(
            "the system clock is {now_secs} s behind the highest time seen: it was ahead, or is wrong now; until it has \
             caught up, sessions live that much longer, and tokens are stamped with the system's time"
        );
    } else if before_secs > LEAD_TOLD_SECS && now_secs == 0 {
        log::info!("the system clock has caught up with the highest time seen");
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed already.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Policy, Session};
    use crate::time::UnixMillis;
    use crate::user::{PasswordHash, Role, UserId};

    #[test]
    fn dead_sessions_are_swept_and_living_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store"), |_| {}).unwrap();
        let policy = Policy { grace_secs: 0, inactivity_secs: 100, lifetime_secs: 1000 };
        let (id, name) = (UserId(1), "alice".parse().unwrap());
        store
            .write(move |writes| {
                let hash = PasswordHash(String::new());
                let new = command::NewUser { id, name, role: Role::User, password_hash: hash };
                command::add_user(writes, new, None, Now::default())?;
                let user = writes.user(id)?.expect("alice was added");
                // More than a slice, every third of them signed in later.
                for n in 0..(SLICE_LEN as u64 + 500) {
                    let began = UnixMillis(if n.is_multiple_of(3) { 60_000 } else { 0 });
                    let session =
                        Session::begin(&user, 1, [127, 0, 0, 1].into(), "", Now::at(began), &policy);
                    writes.put_session(SessionId::new(id, n.to_be_bytes()), &session)?;
                }
                // Nobody's: the user was deleted meanwhile.
                let session =
                    Session::begin(&user, 1, [127, 0, 0, 1].into(), "", Now::at(UnixMillis(60_000)), &policy);
                writes.put_session(SessionId::new(UserId(2), [0; 8]), &session)
            })
            .unwrap();
        let living = |store: &Store| store.read(|reads| Ok(reads.sessions_of(id)?.len())).unwrap();
        assert_eq!(sweep(&store, Now::at(UnixMillis(99_999))).unwrap(), 1);
        assert_eq!(living(&store), SLICE_LEN + 500);
        assert_eq!(sweep(&store, Now::at(UnixMillis(100_000))).unwrap(), (SLICE_LEN + 500) * 2 / 3);
        assert_eq!(living(&store), (SLICE_LEN + 500).div_ceil(3));
        assert_eq!(sweep(&store, Now::at(UnixMillis(100_000))).unwrap(), 0);
    }
}
