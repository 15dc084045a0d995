//! Filling small files on another core.
//!
//! Names are made in the order of the archive, by one thread: what a path means depends on what came before. A file that
//! was made is held by descriptor, and its content, owner, mode and times depend on nothing: they are another thread's
//! work. Of a small file, making the name is about half the cost.

use std::fs::File;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

use layer::Entry;

use super::allowance::Allowance;
use super::apply::{ApplyError, shown};
use super::attributes::{Rules, set_time};
use super::holes::SparseFile;
use super::special::name;

/// The largest file that is handed over; of larger ones, copying the content would cost more than it gains.
pub(super) const SMALL: u64 = 64 * 1024;
/// What is handed over at a time: so many bytes and files, at most. Each file is an open descriptor.
const BATCH: usize = 256 * 1024;
const FILES: usize = 48;
/// What even the smallest file takes on most file systems.
const BLOCK: usize = 4096;
/// Batches in existence, at most: one that takes files, one being worked on, one that waits.
const BATCHES: usize = 3;

/// Files and their contents, one after another.
#[derive(Debug, Default)]
struct Batch {
    content: Vec<u8>,
    files: Vec<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    file: File,
    entry: Entry,
    /// Whether the mode is other than the file was made with.
    set_mode: bool,
    length: usize,
}

/// The sending end. The thread starts when a batch is full.
#[derive(Debug)]
pub(super) struct Filler<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    rules: Rules,
    allowance: Allowance,
    batch: Batch,
    thread: Option<Thread<'scope>>,
    refused_xattrs: u64,
}

#[derive(Debug)]
struct Thread<'scope> {
    full: SyncSender<Batch>,
    empty: Receiver<Batch>,
    made: usize,
    handle: ScopedJoinHandle<'scope, Result<u64, ApplyError>>,
}

impl<'scope, 'env> Filler<'scope, 'env> {
    pub(super) fn new(scope: &'scope Scope<'scope, 'env>, rules: Rules, allowance: &Allowance) -> Filler<'scope, 'env> {
        Filler { scope, rules, allowance: allowance.clone(), batch: Batch::default(), thread: None, refused_xattrs: 0 }
    }

    /// Takes content of the file that is given next.
    pub(super) fn content(&mut self, bytes: &[u8]) {
        self.batch.content.extend_from_slice(bytes);
    }

    /// Takes an empty file, whose content came before: its last `length` bytes.
    pub(super) fn file(&mut self, file: File, entry: Entry, set_mode: bool, length: usize) -> Result<(), ApplyError> {
        self.allowance.ask(length.next_multiple_of(BLOCK)).map_err(ApplyError::Room)?;
        self.batch.files.push(Waiting { file, entry, set_mode, length });
        if self.batch.files.len() >= FILES || self.batch.content.len() + SMALL as usize > BATCH {
            self.hand_over()?;
        }
        Ok(())
    }

    fn hand_over(&mut self) -> Result<(), ApplyError> {
        let thread = match &mut self.thread {
            Some(thread) => thread,
            None => self.thread.insert(start(self.scope, self.rules)),
        };
        if thread.full.send(std::mem::take(&mut self.batch)).is_err() {
            return self.join();
        }
        if thread.made < BATCHES {
            thread.made += 1;
            self.batch = Batch { content: Vec::with_capacity(BATCH), files: Vec::with_capacity(FILES) };
            return Ok(());
        }
        match thread.empty.recv() {
            Ok(batch) => self.batch = batch,
            Err(_) => self.join()?,
        }
        Ok(())
    }

    /// Waits until all files are filled; says how many attributes the kernel refused.
    pub(super) fn finish(mut self) -> Result<u64, ApplyError> {
        self.join()?;
        let last = std::mem::take(&mut self.batch);
        Ok(self.refused_xattrs + fill(&self.rules, &last)?)
    }

    fn join(&mut self) -> Result<(), ApplyError> {
        let Some(Thread { full, empty, handle, .. }) = self.thread.take() else { return Ok(()) };
        drop((full, empty));
        let stopped = || sys::Error::from_io("write", name(b"."), &std::io::Error::other("a thread stopped"));
        let ended = handle.join();
        self.refused_xattrs +=
            ended.unwrap_or_else(|_| Err(ApplyError::Write { path: ".".into(), source: stopped() }))?;
        Ok(())
    }
}

fn start<'scope>(scope: &'scope Scope<'scope, '_>, rules: Rules) -> Thread<'scope> {
    let (full, incoming) = sync_channel::<Batch>(BATCHES);
    let (outgoing, empty) = sync_channel(BATCHES);
    let handle = scope.spawn(move || {
        let mut refused = 0;
        while let Ok(mut batch) = incoming.recv() {
            refused += fill(&rules, &batch)?;
            batch.files.clear();
            batch.content.clear();
            // Nobody waits for it any more at the end.
            let _ = outgoing.try_send(batch);
        }
        Ok(refused)
    });
    Thread { full, empty, made: 1, handle }
}

fn fill(rules: &Rules, batch: &Batch) -> Result<u64, ApplyError> {
    let mut content = &batch.content[..];
    let mut refused = 0;
    for Waiting { file, entry, set_mode, length } in &batch.files {
        let (bytes, rest) = content.split_at(*length);
        content = rest;
        let filled = fill_one(rules, file, entry, *set_mode, bytes);
        refused += filled.map_err(|source| ApplyError::Write { path: shown(&entry.path), source })?;
    }
    Ok(refused)
}

fn fill_one(rules: &Rules, file: &File, entry: &Entry, set_mode: bool, bytes: &[u8]) -> sys::Result<u64> {
    let mut sparse = SparseFile::new(file);
    let written = sparse.write(bytes).and_then(|()| sparse.finish());
    written.map_err(|error| sys::Error::from_io("write", name(&entry.path), &error))?;
    let refused = rules.set(file, entry, set_mode)?;
    set_time(file, entry.mtime).map(|()| refused)
}
