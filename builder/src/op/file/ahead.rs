//! Reading small files before their turn.
//!
//! A layer is written in order by one thread, and a small file costs it more in system calls, or in waiting for a cold
//! disk, than in bytes. Readers beside it fetch the next few dozen; the writer takes them in order.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use layer::Kind;

use super::draft::{Body, Entries, Source};
use super::{FileError, Taken};

/// Fewer files than this are not worth a thread.
const FEW: usize = 256;
/// What is fetched whole: larger files are streamed.
const SMALL: u64 = 64 * 1024;
/// How many files are held at most: with [`SMALL`], 4 MiB.
const WINDOW: usize = 64;
/// Readers. More than there are cores, since on a cold disk they wait.
pub(super) const READERS: usize = 8;

/// The files to fetch, in the order in which the writer wants them.
pub(super) struct Ahead<'a> {
    sources: &'a [Source],
    jobs: Vec<Job>,
    state: Mutex<State>,
    changed: Condvar,
}

struct Job {
    /// Number of the entry in the layer.
    entry: usize,
    source: u32,
    index: u32,
    size: u64,
}

/// The content of a file, or as much of it as could be read and then why not more.
pub(super) struct Fetched {
    bytes: io::Cursor<Vec<u8>>,
    error: Option<io::Error>,
}

impl Read for Fetched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match (self.bytes.read(buffer)?, self.error.take()) {
            (0, Some(error)) => Err(error),
            (count, error) => {
                self.error = error;
                Ok(count)
            }
        }
    }
}

#[derive(Default)]
struct State {
    /// The next job to fetch.
    next: usize,
    /// The next job that the writer takes.
    wanted: usize,
    fetched: HashMap<usize, Result<Fetched, FileError>>,
    ended: bool,
}

impl<'a> Ahead<'a> {
    /// What is worth fetching of `entries`.
    pub(super) fn new(entries: &Entries, sources: &'a [Source]) -> Self {
        let jobs = entries.iter().enumerate().filter_map(|(entry, (_, planned))| {
            let Body::Taken { source, index } = planned.body else { return None };
            let taken = &sources[source as usize].taken;
            let size = taken.member(index as usize).1.size;
            let fits = planned.kind == Kind::File && planned.links.is_none() && (1..=SMALL).contains(&size);
            (fits && matches!(taken, Taken::Context(..))).then_some(Job { entry, source, index, size })
        });
        let mut jobs: Vec<Job> = jobs.collect();
        if jobs.len() < FEW {
            jobs.clear();
        }
        Self { sources, jobs, state: Mutex::new(State::default()), changed: Condvar::new() }
    }

    /// Whether there is anything to fetch.
    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fetches until all is fetched, or [`Ahead::end`].
    pub(super) fn fetch(&self) {
        let mut state = self.lock();
        loop {
            if state.ended || state.next == self.jobs.len() {
                return;
            }
            if state.next >= state.wanted + WINDOW {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let number = state.next;
            state.next += 1;
            drop(state);
            let bytes = self.read(&self.jobs[number]);
            state = self.lock();
            state.fetched.insert(number, bytes);
            if number == state.wanted {
                self.changed.notify_all();
            }
        }
    }

    fn read(&self, job: &Job) -> Result<Fetched, FileError> {
        let file = self.sources[job.source as usize].taken.open(job.index as usize)?;
        let mut bytes = Vec::with_capacity(usize::try_from(job.size).unwrap_or(0));
        let error = file.take(job.size).read_to_end(&mut bytes).err();
        Ok(Fetched { bytes: io::Cursor::new(bytes), error })
    }

    /// The content of an entry, if it is among what is fetched. The writer asks in order.
    pub(super) fn take(&self, entry: usize) -> Option<Result<Fetched, FileError>> {
        let mut state = self.lock();
        let number = state.wanted;
        if self.jobs.get(number).is_none_or(|job| job.entry != entry) {
            return None;
        }
        loop {
            if let Some(bytes) = state.fetched.remove(&number) {
                state.wanted += 1;
                // Half a window at a time: a reader that is woken for each file costs more than it fetches.
                if state.wanted.is_multiple_of(WINDOW / 2) {
                    self.changed.notify_all();
                }
                return Some(bytes);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets the readers go.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }
}
