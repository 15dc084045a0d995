//! The thread that writes the journal anew when it is stale or long.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::super::{Error, Result};
use super::journal::{Journal, Line, rewrite};
use super::schema;
use super::writer::Writer;

/// How long to wait after a failure, such as a full disk.
const PAUSE: Duration = Duration::from_secs(60);

/// What the writer rings when there is work.
#[derive(Debug, Default)]
pub(super) struct Bell {
    state: Mutex<State>,
    rung: Condvar,
}

#[derive(Debug, Default)]
struct State {
    wanted: bool,
    ended: bool,
}

impl Bell {
    pub(super) fn ring(&self) {
        self.set(|state| state.wanted = true);
    }

    fn set(&self, set: impl FnOnce(&mut State)) {
        set(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.rung.notify_all();
    }

    /// Waits until there is work; `false` at the end.
    fn wait(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while !state.wanted && !state.ended {
            state = self.rung.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.wanted = false;
        !state.ended
    }

    /// Waits a while, or until the end.
    fn pause(&self) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.rung.wait_timeout_while(state, PAUSE, |state| !state.ended));
    }
}

/// What the thread works with.
#[derive(Debug)]
struct Work {
    database: PathBuf,
    journal: Arc<Journal>,
    writer: Arc<Writer>,
    /// Held by whoever writes the journal anew.
    one: Mutex<()>,
}

impl Work {
    /// Writes the journal anew where it wants to be, and has the database record how long it is.
    fn renew(&self) -> Result<()> {
        let _one = self.one.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.journal.wants_rewrite() {
            return Ok(());
        }
        let length = rewrite(&self.journal, &schema::open_reader(&self.database)?)?;
        self.writer.run(move |change| {
            change.lines.push(Line::Whole { length });
            Ok(())
        })
    }
}

/// The running thread; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Upkeep {
    bell: Arc<Bell>,
    work: Arc<Work>,
    thread: Option<JoinHandle<()>>,
}

impl Upkeep {
    pub(super) fn start(
        bell: Arc<Bell>,
        database: PathBuf,
        journal: Arc<Journal>,
        writer: Arc<Writer>,
    ) -> Result<Self> {
        let work = Arc::new(Work { database, journal, writer, one: Mutex::new(()) });
        let (rung, kept) = (Arc::clone(&bell), Arc::clone(&work));
        let serve = move || {
            while rung.wait() {
                if let Err(error) = kept.renew() {
                    tracing::warn!(%error, "cannot write the journal of names anew; trying again later");
                    rung.pause();
                    rung.ring();
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(serve)
            .map_err(|error| Error::Database(format!("start the journal's thread: {error}")))?;
        Ok(Self { bell, work, thread: Some(thread) })
    }

    /// Makes it want to be written anew.
    #[cfg(test)]
    pub(super) fn distrust(&self) {
        self.work.journal.distrust();
    }

    /// Does it now, or waits for the thread that does.
    pub(super) fn renew(&self) -> Result<()> {
        self.work.renew()
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.bell.set(|state| state.ended = true);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported by its own hook.
            drop(thread.join());
        }
    }
}
