//! The one thread that writes: it commits together whatever queued while the last commit ran, then answers.

use std::fmt;
use std::marker::PhantomData;
use std::panic::{self, AssertUnwindSafe};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use redb::Database;

use super::StoreError;
use super::replacement::Current;
use super::tables::Writes;
use crate::audit::{AuditKey, Waiting};
use crate::clock::{Clock, Uptime};

/// Most commands that wait for the writer; one more is turned away with [`StoreError::Full`].
pub(super) const QUEUE_LEN: usize = 1024;

/// Most commands in one commit. More would only make the first of them wait longer.
const BATCH_LEN: usize = 256;

/// Longest time that notes wait for somebody else's commit before they get one of their own, in milliseconds.
const NOTES_WAIT_MS: u64 = 30_000;

/// A command and the way to answer it: run inside the transaction, it returns the way, and why it failed if it did.
/// Handed an error instead, it answers with that.
type Job = Box<dyn FnOnce(Result<&mut Writes<'_>, StoreError>) -> (Reply, Result<(), StoreError>) + Send>;

/// What the writer's thread is given to do.
enum Task {
    Run(Job),
    /// Says that it has paused, then waits until it may go on.
    Pause(SyncSender<()>, Receiver<Result<(), StoreError>>),
}

/// Called after the commit, or with the reason why there is none; dropped uncalled when the store failed, which its
/// receiver notices.
type Reply = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// The handle on the writer's thread; dropping it waits until the queue is empty.
pub(super) struct Writer {
    queue: Option<SyncSender<Task>>,
    thread: Option<JoinHandle<()>>,
    terms: SharedTerms,
}

/// What commits are made with, apart from the commands.
#[derive(Clone)]
pub(super) struct Terms {
    /// Binds the entries of the audit logs; without one they wait.
    pub(super) audit_key: Option<AuditKey>,
    /// Set once time was put back: commands that looked at the clock before are of its time.
    pub(super) clock: Option<Clock>,
    /// How long notes wait for somebody else's commit, in milliseconds.
    pub(super) notes_wait_ms: u64,
}

impl Default for Terms {
    fn default() -> Self {
        Self { audit_key: None, clock: None, notes_wait_ms: NOTES_WAIT_MS }
    }
}

type SharedTerms = Arc<Mutex<Terms>>;

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Writer")
    }
}

impl Writer {
    pub(super) fn start(
        database: Arc<Current>,
        on_failure: impl FnOnce(&StoreError) + Send + 'static,
    ) -> Self {
        let (queue, tasks) = mpsc::sync_channel(QUEUE_LEN);
        let terms = SharedTerms::default();
        let shared = Arc::clone(&terms);
        let thread = thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || {
                // A panic is a bug of ours, and no more reason to go on as if nothing were than a broken disk.
                let run = AssertUnwindSafe(|| commit_until_closed(&database, &tasks, &shared));
                let ended = panic::catch_unwind(run)
                    .unwrap_or_else(|_| Err(StoreError::Failed("a command panicked".to_owned())));
                if let Err(error) = ended {
                    on_failure(&error);
                }
            })
            .expect("the operating system can start a thread");
        Self { queue: Some(queue), thread: Some(thread), terms }
    }

    pub(super) fn change_terms(&self, change: impl FnOnce(&mut Terms)) {
        change(&mut self.terms.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn terms(&self) -> Terms {
        current(&self.terms)
    }

    /// Runs `work` between two batches: every command that was accepted before is answered, and none begins until
    /// it is over. When it returns an error or panics nobody knows what state it left, so the store stops.
    pub(super) fn while_paused<T>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let (paused, is_paused) = mpsc::sync_channel(1);
        let (go_on, may_go_on) = mpsc::sync_channel(1);
        let queue = self.queue.as_ref().expect("the queue is open until drop");
        // Waits for room: whoever asks for this has a queue of work to wait behind, as everybody has.
        queue.send(Task::Pause(paused, may_go_on)).map_err(|_| stopped())?;
        is_paused.recv().map_err(|_| stopped())?;
        let outcome = work();
        let verdict = outcome.as_ref().map(|_| ()).map_err(StoreError::clone);
        // The thread waits for this and for nothing else.
        let _ = go_on.send(verdict);
        outcome
    }

    /// Queues a command whose answer nobody waits for; with a full queue it is dropped.
    pub(super) fn submit(
        &self,
        command: impl FnOnce(&mut Writes<'_>) -> Result<(), StoreError> + Send + 'static,
    ) {
        let job: Job = Box::new(move |writes| (Box::new(|_| {}), writes.and_then(command)));
        let queue = self.queue.as_ref().expect("the queue is open until drop");
        let _ = queue.try_send(Task::Run(job));
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
        let job: Job = Box::new(move |writes| {
            let outcome = writes.and_then(command);
            let failed = outcome.as_ref().map(|_| ()).map_err(StoreError::clone);
            (Box::new(move |committed| promise.keep(committed.and(outcome))), failed)
        });
        let queue = self.queue.as_ref().expect("the queue is open until drop");
        if let Err(TrySendError::Full(Task::Run(job))) = queue.try_send(Task::Run(job)) {
            let (reply, refused) = job(Err(StoreError::Full));
            reply(refused);
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
/// failed batch and those still queued are dropped, and their callers are told that the store failed. A command that
/// fails by itself, as one that finds a damaged record does, fails alone.
fn commit_until_closed(
    database: &Current,
    tasks: &Receiver<Task>,
    terms: &SharedTerms,
) -> Result<(), StoreError> {
    let mut waiting = Waiting::default();
    let mut notes_due = None;
    let mut put_off = None;
    loop {
        let task = match put_off.take() {
            Some(task) => Ok(task),
            None => next_task(tasks, notes_due),
        };
        // Taken anew for each batch: another database may have taken its place.
        match task {
            Ok(Task::Run(job)) => put_off = commit_batch(&database.get(), job, tasks, &mut waiting, terms)?,
            Ok(Task::Pause(paused, may_go_on)) => {
                // Whoever asked may have gone away, or dies of a panic: then the second channel is closed.
                let _ = paused.send(());
                may_go_on
                    .recv()
                    .map_err(|_| StoreError::Failed("the work it paused for broke off".to_owned()))??;
            }
            Err(RecvTimeoutError::Timeout) => commit_notes(&database.get(), &mut waiting, terms)?,
            Err(RecvTimeoutError::Disconnected) => {
                return commit_notes(&database.get(), &mut waiting, terms);
            }
        }
        let from_now_on = || Uptime::now().plus_millis(current(terms).notes_wait_ms);
        notes_due = (!waiting.is_empty()).then(|| notes_due.unwrap_or_else(from_now_on));
    }
}

/// Waits for a task, but not beyond the moment at which notes are due.
fn next_task(tasks: &Receiver<Task>, notes_due: Option<Uptime>) -> Result<Task, RecvTimeoutError> {
    let Some(due) = notes_due else { return tasks.recv().map_err(|_| RecvTimeoutError::Disconnected) };
    let left = Uptime::now().until(due);
    if left.is_zero() { Err(RecvTimeoutError::Timeout) } else { tasks.recv_timeout(left) }
}

/// Commits what `first` and the commands behind it do; returns the task at which the batch ended, if it did at one.
fn commit_batch(
    database: &Database,
    first: Job,
    tasks: &Receiver<Task>,
    waiting: &mut Waiting,
    terms: &SharedTerms,
) -> Result<Option<Task>, StoreError> {
    let transaction = database.begin_write()?;
    let terms = current(terms);
    let mut writes = Writes::begin(&transaction, terms.clock)?;
    let mut replies = Vec::new();
    let mut spoiled = run(first, &mut writes, &mut replies)?;
    let mut put_off = None;
    while spoiled.is_ok() && replies.len() < BATCH_LEN {
        match tasks.try_recv() {
            Ok(Task::Run(job)) => spoiled = run(job, &mut writes, &mut replies)?,
            Ok(pause @ Task::Pause(..)) => {
                put_off = Some(pause);
                break;
            }
            Err(_) => break,
        }
    }
    let is_changed = match spoiled {
        Ok(()) => writes.finish(terms.audit_key.as_ref(), waiting)?,
        Err(_) => {
            drop(writes);
            false
        }
    };
    if is_changed {
        transaction.commit()?;
    } else {
        transaction.abort()?;
    }
    for reply in replies {
        reply(spoiled.clone());
    }
    Ok(put_off)
}

/// Runs a command. The inner error says that it failed after it had changed something, which spoils the batch; the outer
/// one that the storage failed.
fn run(
    job: Job,
    writes: &mut Writes<'_>,
    replies: &mut Vec<Reply>,
) -> Result<Result<(), StoreError>, StoreError> {
    let before = writes.mark();
    let (reply, outcome) = job(Ok(writes));
    match outcome {
        Err(error @ StoreError::Failed(_)) => return Err(error),
        Err(error) if !writes.withdraw(before) => {
            reply(Err(error.clone()));
            return Ok(Err(error));
        }
        _ => replies.push(reply),
    }
    Ok(Ok(()))
}

/// Commits what was noted and still waits.
fn commit_notes(database: &Database, waiting: &mut Waiting, terms: &SharedTerms) -> Result<(), StoreError> {
    let terms = current(terms);
    if waiting.is_empty() || terms.audit_key.is_none() {
        return Ok(());
    }
    commit_one(database, waiting, &terms, |writes| {
        writes.touch();
        Ok(())
    })
}

/// Runs `command` in a commit of its own.
pub(super) fn commit_one<T>(
    database: &Database,
    waiting: &mut Waiting,
    terms: &Terms,
    command: impl FnOnce(&mut Writes<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let transaction = database.begin_write()?;
    let mut writes = Writes::begin(&transaction, terms.clock.clone())?;
    let outcome = command(&mut writes)?;
    writes.finish(terms.audit_key.as_ref(), waiting)?;
    transaction.commit()?;
    Ok(outcome)
}

fn current(terms: &SharedTerms) -> Terms {
    terms.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
