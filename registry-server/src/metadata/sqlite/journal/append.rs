//! The writer's side of the journal.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use super::super::super::{Error, Result};
use super::line::Line;

/// Below this length nothing is gained by writing the journal anew.
const SMALL: u64 = 64 << 20;
/// It is written anew when it is so many times longer than it was the last time.
const GROWTH: u64 = 4;

/// The open journal.
#[derive(Debug)]
pub(in super::super) struct Journal {
    path: PathBuf,
    state: Mutex<Appender>,
}

/// Where lines go.
#[derive(Debug)]
pub(super) struct Appender {
    pub(super) file: File,
    /// How long the journal is as far as the database knows.
    pub(super) length: u64,
    /// How long it was when it was written anew.
    pub(super) whole: u64,
    /// Whether the file lacks lines that the database has.
    pub(super) stale: bool,
    /// Lines since a rewrite began, where one is going on.
    pub(super) kept: Option<Vec<u8>>,
}

impl Journal {
    /// Opens or makes the journal of a database that recorded `recorded` bytes.
    pub(in super::super) fn open(path: &Path, recorded: u64) -> Result<Self> {
        let fail = |error| failed("open", path, &error);
        let file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(fail)?;
        let length = file.metadata().map_err(fail)?.len();
        let mut first = String::new();
        // A journal that cannot be read as text is stale in any case.
        drop(BufReader::new(&file).read_line(&mut first));
        let whole = match serde_json::from_str(&first) {
            Ok(Line::Whole { length }) => length,
            _ => 0,
        };
        let state = Appender { file, length: recorded, whole, stale: length != recorded, kept: None };
        Ok(Self { path: path.to_path_buf(), state: Mutex::new(state) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Appender> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it should be written anew.
    pub(in super::super) fn wants_rewrite(&self) -> bool {
        let state = self.lock();
        state.stale || state.length > SMALL.max(state.whole.saturating_mul(GROWTH))
    }

    /// Makes it want to be written anew.
    #[cfg(test)]
    pub(in super::super) fn distrust(&self) {
        self.lock().stale = true;
    }

    /// Renders lines, and records in the running transaction how long the journal will be with them.
    /// What it returns is locked until it is appended or dropped, so that no rewrite comes between.
    pub(in super::super) fn prepare(&self, connection: &Connection, lines: &[Line]) -> Result<Option<Pending<'_>>> {
        if lines.is_empty() {
            return Ok(None);
        }
        let mut text = Vec::new();
        for line in lines {
            line.write(&mut text).map_err(|error| Error::Database(format!("write a journal line: {error}")))?;
        }
        let state = self.lock();
        let length = state.length + text.len() as u64;
        let recorded = i64::try_from(length).unwrap_or(i64::MAX);
        connection.prepare_cached("UPDATE totals SET journal = ?1")?.execute([recorded])?;
        Ok(Some(Pending { state, text, length }))
    }
}

/// Lines of a transaction that is about to be committed.
pub(in super::super) struct Pending<'j> {
    state: MutexGuard<'j, Appender>,
    text: Vec<u8>,
    length: u64,
}

impl Pending<'_> {
    /// Appends the lines; the transaction is durable. A failure makes the journal stale, nothing more.
    pub(in super::super) fn append(mut self) {
        self.state.length = self.length;
        if let Some(kept) = &mut self.state.kept {
            kept.extend_from_slice(&self.text);
        }
        if let Err(error) = self.state.file.write_all(&self.text) {
            if !self.state.stale {
                tracing::warn!(%error, "cannot append to the journal of names; it will be written anew");
            }
            self.state.stale = true;
        }
    }
}

/// A kernel call on the journal failed.
pub(super) fn failed(call: &str, path: &Path, error: &std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Error::Full,
        _ => Error::Database(format!("{call} {}: {error}", path.display())),
    }
}
