//! The one thread that writes, and its group commit.
//!
//! Callers queue operations and wait. The thread takes all that are waiting, runs each in a savepoint of one
//! transaction, commits once, and answers all. While it waits for the disk the next group gathers, so that a
//! lone caller waits for nobody and eight share one sync.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::super::{Error, Result};
use super::change::Change;
use super::generation::Generations;
use super::journal::Journal;
use super::upkeep::Bell;

/// Operations in one transaction at most: how many may wait for one sync.
const GROUP: usize = 256;

/// How long a group waits for those that came together the last time: a small part of a sync. Who comes alone
/// is expected alone the next time, and does not wait.
const GATHER: Duration = Duration::from_micros(150);

/// An operation that waits: run in a transaction, then told how the commit went.
trait Job: Send {
    /// Whether it succeeded so far; what it wrote is undone where not.
    fn run(&mut self, change: &mut Change<'_>) -> bool;
    /// Why it did not, for the others.
    fn failure(&self) -> Error;
    /// Tells the caller.
    fn answer(self: Box<Self>, commit: Result<()>);
}

struct Operation<T, F> {
    run: Option<F>,
    outcome: Option<Result<T>>,
    reply: SyncSender<Result<T>>,
}

impl<T: Send, F: FnOnce(&mut Change<'_>) -> Result<T> + Send> Job for Operation<T, F> {
    fn run(&mut self, change: &mut Change<'_>) -> bool {
        self.outcome = self.run.take().map(|run| run(change));
        matches!(self.outcome, Some(Ok(_)))
    }

    fn failure(&self) -> Error {
        match &self.outcome {
            Some(Err(error)) => shared(error),
            Some(Ok(_)) | None => gone(),
        }
    }

    fn answer(self: Box<Self>, commit: Result<()>) {
        let outcome = match (self.outcome, commit) {
            (Some(Ok(value)), Ok(())) => Ok(value),
            (Some(Err(error)), _) | (_, Err(error)) => Err(error),
            (None, Ok(())) => Err(gone()),
        };
        // A caller that does not wait any more does not want to know.
        drop(self.reply.send(outcome));
    }
}

fn gone() -> Error {
    Error::Database("the writer has ended".to_owned())
}

/// Queues operations for the writing thread, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Option<Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(
        connection: Connection,
        journal: Arc<Journal>,
        generations: Arc<Generations>,
        upkeep: Arc<Bell>,
    ) -> Result<Self> {
        let (queue, waiting) = channel();
        let thread = Thread { connection, journal, generations, upkeep };
        let thread = std::thread::Builder::new()
            .name("metadata".to_owned())
            .spawn(move || thread.serve(&waiting))
            .map_err(|error| Error::Database(format!("start the writer: {error}")))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Runs `operation` in a transaction and waits until it is durable.
    pub(super) fn run<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut Change<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = sync_channel(1);
        let job = Box::new(Operation { run: Some(operation), outcome: None, reply });
        self.queue.as_ref().ok_or_else(gone)?.send(job).map_err(|_| gone())?;
        answer.recv().map_err(|_| gone())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported by its own hook.
            drop(thread.join());
        }
    }
}

struct Thread {
    connection: Connection,
    journal: Arc<Journal>,
    generations: Arc<Generations>,
    upkeep: Arc<Bell>,
}

impl Thread {
    fn serve(self, waiting: &Receiver<Box<dyn Job>>) {
        let mut group = Vec::new();
        let mut expected = 1;
        while let Ok(first) = waiting.recv() {
            group.push(first);
            gather(&mut group, waiting, expected);
            expected = group.len();
            let commit = self.commit(&mut group);
            for job in group.drain(..) {
                job.answer(again(&commit));
            }
            if self.journal.wants_rewrite() {
                self.upkeep.ring();
            }
        }
    }

    /// One transaction with all of a group. An error is everybody's: nothing was written then.
    fn commit(&self, group: &mut [Box<dyn Job>]) -> Result<()> {
        self.execute("BEGIN IMMEDIATE")?;
        let written = self.run(group).and_then(|change| {
            let appended = self.journal.prepare(&self.connection, &change.lines)?;
            self.execute("COMMIT")?;
            Ok((change, appended))
        });
        match written {
            Ok((change, appended)) => {
                if let Some(pending) = appended {
                    pending.append();
                }
                self.generations.rise(&change.changed);
                Ok(())
            }
            Err(error) => {
                if !self.connection.is_autocommit() {
                    self.execute("ROLLBACK")?;
                }
                if matches!(error, Error::Full) {
                    self.reuse_log();
                }
                Err(error)
            }
        }
    }

    /// Runs all, each in a savepoint. Fails where the database gave up the whole transaction (a full disk).
    fn run(&self, group: &mut [Box<dyn Job>]) -> Result<Change<'_>> {
        let mut all = Change::new(&self.connection);
        for job in group {
            self.execute("SAVEPOINT job")?;
            let mut change = Change::new(&self.connection);
            if job.run(&mut change) {
                all.lines.append(&mut change.lines);
                all.changed.append(&mut change.changed);
            } else if self.connection.is_autocommit() {
                return Err(job.failure());
            } else {
                self.execute("ROLLBACK TO job")?;
            }
            self.execute("RELEASE job")?;
        }
        Ok(all)
    }

    /// Folds the log into the database, so that its space is used again: deleting needs room too.
    fn reuse_log(&self) {
        // Where even that needs room, it is tried again after the next failure.
        drop(self.connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(())));
    }

    fn execute(&self, sql: &str) -> Result<()> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }
}

/// Takes all that wait, and for a moment those that are expected.
fn gather(group: &mut Vec<Box<dyn Job>>, waiting: &Receiver<Box<dyn Job>>, expected: usize) {
    group.extend(waiting.try_iter().take(GROUP - 1));
    let end = Instant::now() + GATHER;
    while group.len() < expected {
        match waiting.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(job) => group.push(job),
            Err(_) => return,
        }
    }
}

/// The commit's outcome for one more caller.
fn again(commit: &Result<()>) -> Result<()> {
    commit.as_ref().map_or_else(|error| Err(shared(error)), |()| Ok(()))
}

/// What stopped one of a group, for another.
fn shared(error: &Error) -> Error {
    match error {
        Error::Full => Error::Full,
        error => Error::Database(error.to_string()),
    }
}
