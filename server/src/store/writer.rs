//! The one thread that writes: it commits together whatever queued while the last commit ran, then answers.

use std::fmt;
use std::marker::PhantomData;
use std::panic::{self, AssertUnwindSafe};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use redb::Database;

use super::StoreError;
use super::tables::Writes;
use crate::audit::{AuditKey, Waiting};

/// Most commands that wait for the writer; one more is turned away with [`StoreError::Full`].
const QUEUE_LEN: usize = 1024;

/// Most commands in one commit. More would only make the first of them wait longer.
const BATCH_LEN: usize = 256;

/// A command and the way to answer it: run inside the transaction, it returns what to do after the commit; handed an
/// error instead, it answers with that.
type Job = Box<dyn FnOnce(Result<&mut Writes<'_>, StoreError>) -> Result<Reply, StoreError> + Send>;

/// Called after the commit; dropped uncalled when the batch failed, which its receiver notices.
type Reply = Box<dyn FnOnce() + Send>;

/// The handle on the writer's thread; dropping it waits until the queue is empty.
pub(super) struct Writer {
    queue: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
    audit_key: SharedKey,
}

type SharedKey = Arc<Mutex<Option<AuditKey>>>;

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Writer")
    }
}

impl Writer {
    pub(super) fn start(
        database: Arc<Database>,
        on_failure: impl FnOnce(&StoreError) + Send + 'static,
    ) -> Self {
        let (queue, jobs) = mpsc::sync_channel(QUEUE_LEN);
        let audit_key = SharedKey::default();
        let key = Arc::clone(&audit_key);
        let thread = thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || {
                // A panic is a bug of ours, and no more reason to go on as if nothing were than a broken disk.
                let run = AssertUnwindSafe(|| commit_until_closed(&database, &jobs, &key));
                let ended = panic::catch_unwind(run)
                    .unwrap_or_else(|_| Err(StoreError::Failed("a command panicked".to_owned())));
                if let Err(error) = ended {
                    on_failure(&error);
                }
            })
            .expect("the operating system can start a thread");
        Self { queue: Some(queue), thread: Some(thread), audit_key }
    }

    pub(super) fn use_audit_key(&self, key: AuditKey) {
        *self.audit_key.lock().unwrap_or_else(PoisonError::into_inner) = Some(key);
    }

    /// Queues a command whose answer nobody waits for; with a full queue it is dropped.
    pub(super) fn submit(
        &self,
        command: impl FnOnce(&mut Writes<'_>) -> Result<(), StoreError> + Send + 'static,
    ) {
        let job: Job = Box::new(move |writes| {
            writes.and_then(command)?;
            Ok(Box::new(|| {}))
        });
        let queue = self.queue.as_ref().expect("the queue is open until drop");
        let _ = queue.try_send(job);
    }

    pub(super) fn run<T: Send + 'static>(
        &self,
        command: impl FnOnce(&mut Writes<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = mpsc::sync_channel(1);
        self.run_then(command, move |outcome| {
            // A caller that has gone away needs no answer.
            let _ = answer.send(outcome);
        });
        answered.recv().map_err(|_| stopped())?
    }

    /// Queues a command; `then` is called exactly once, after its commit or when it is clear that there is none.
    pub(super) fn run_then<T: Send + 'static>(
        &self,
        command: impl FnOnce(&mut Writes<'_>) -> Result<T, StoreError> + Send + 'static,
        then: impl FnOnce(Result<T, StoreError>) + Send + 'static,
    ) {
        let promise = Promise { then: Some(then), outcome: PhantomData };
        let job: Job = Box::new(move |writes| match writes {
            Ok(writes) => {
                let outcome = command(writes)?;
                Ok(Box::new(move || promise.keep(Ok(outcome))))
            }
            Err(refusal) => {
                promise.keep(Err(refusal));
                Ok(Box::new(|| {}))
            }
        });
        let queue = self.queue.as_ref().expect("the queue is open until drop");
        if let Err(TrySendError::Full(job)) = queue.try_send(job) {
            let _ = job(Err(StoreError::Full));
        }
    }
}

/// A callback that is told of a failure when it is dropped uncalled, with the job it belongs to.
struct Promise<T, F: FnOnce(Result<T, StoreError>)> {
    then: Option<F>,
    outcome: PhantomData<fn(T)>,
}

impl<T, F: FnOnce(Result<T, StoreError>)> Promise<T, F> {
    fn keep(mut self, outcome: Result<T, StoreError>) {
        if let Some(then) = self.then.take() {
            then(outcome);
        }
    }
}

impl<T, F: FnOnce(Result<T, StoreError>)> Drop for Promise<T, F> {
    fn drop(&mut self) {
        if let Some(then) = self.then.take() {
            then(Err(stopped()));
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed already, and its callers were told that the store failed.
            let _ = thread.join();
        }
    }
}

fn stopped() -> StoreError {
    StoreError::Failed("it has stopped after an earlier failure".to_owned())
}

/// Runs batches until the queue closes; returns the error that ended it before.
///
/// After an I/O error redb refuses to write until the file is opened anew, so this thread ends: the jobs of the
/// failed batch and those still queued are dropped, and their callers are told that the store failed.
fn commit_until_closed(
    database: &Database,
    jobs: &Receiver<Job>,
    audit_key: &SharedKey,
) -> Result<(), StoreError> {
    let mut waiting = Waiting::default();
    while let Ok(first) = jobs.recv() {
        let transaction = database.begin_write()?;
        let mut writes = Writes::begin(&transaction, &mut waiting)?;
        let mut replies = vec![first(Ok(&mut writes))?];
        while replies.len() < BATCH_LEN
            && let Ok(job) = jobs.try_recv()
        {
            replies.push(job(Ok(&mut writes))?);
        }
        if writes.finish(current(audit_key).as_ref())? {
            transaction.commit()?;
        } else {
            transaction.abort()?;
        }
        for reply in replies {
            reply();
        }
    }
    if !waiting.is_empty()
        && let Some(key) = current(audit_key)
    {
        let transaction = database.begin_write()?;
        let mut writes = Writes::begin(&transaction, &mut waiting)?;
        writes.touch();
        writes.finish(Some(&key))?;
        transaction.commit()?;
    }
    Ok(())
}

fn current(key: &SharedKey) -> Option<AuditKey> {
    key.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
