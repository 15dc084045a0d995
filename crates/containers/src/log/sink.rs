//! Where what a container says goes, by driver. A sink never fails: what cannot be written is counted, and told where it can be.

use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use crate::Config;
use crate::time::Moment;

use super::journald::Journal;
use super::json::{self, Lines};
use super::series::Series;
use super::settings::{Driver, Settings};
use super::writer::Writer;
use super::{LogError, Source};

/// Where what a container says goes.
#[derive(Debug)]
pub struct Sink {
    to: To,
    /// Bytes that could not be written, since the last that could.
    lost: u64,
}

#[derive(Debug)]
enum To {
    Records(Writer),
    Later(Series, Option<u64>, u32),
    Lines { writer: Writer, held: [Lines; 2] },
    Journal { journal: Journal, held: [Lines; 2] },
    Nowhere,
}

impl Sink {
    /// Opens what the container's settings ask for.
    ///
    /// # Errors
    /// A log that cannot be written; a journal that is not there.
    pub fn open(config: &Config, path: PathBuf) -> Result<Self, LogError> {
        let settings = Settings::of(&config.logging)?;
        let (series, size, files) = (Series::new(path), settings.max_size, settings.max_file);
        let to = match settings.driver {
            // Most containers that are gone at once say nothing: a log that is not there yet is made for the first word.
            Driver::Local if is_absent(&series) => To::Later(series, size, files),
            Driver::Local => To::Records(Writer::open_records(series, size, files)?),
            Driver::JsonFile => To::Lines { writer: Writer::open(series, size, files)?, held: Default::default() },
            Driver::Journald => To::Journal { journal: Journal::open(config, &settings)?, held: Default::default() },
            Driver::None | Driver::Passthrough => To::Nowhere,
        };
        Ok(Self { to, lost: 0 })
    }

    /// Whether [`Sink::splice`] is worth it: bytes go to the disk as they are.
    pub fn takes_pipes(&self) -> bool {
        matches!(self.to, To::Records(_) | To::Later(..)) && self.lost == 0
    }

    /// Keeps these bytes, which came at once.
    pub fn write(&mut self, source: Source, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.tell_lost();
        if self.keep(source, bytes).is_err() {
            self.lost += bytes.len() as u64;
        }
    }

    /// Keeps so many bytes that are in a pipe, at most [`super::record::MAX_LENGTH`]. Gives how many left it; 0: read them.
    pub fn splice(&mut self, source: Source, pipe: BorrowedFd<'_>, length: usize) -> usize {
        if self.begin().is_err() {
            return 0;
        }
        let To::Records(writer) = &mut self.to else { return 0 };
        let (moved, result) = writer.splice(source, pipe, length);
        if result.is_err() {
            self.lost += moved as u64;
        }
        moved
    }

    /// Keeps what is left of lines that did not end.
    pub fn finish(&mut self) {
        for source in [Source::Stdout, Source::Stderr] {
            let at = source as usize - 1;
            match &mut self.to {
                To::Lines { writer, held } => {
                    let put = |line: &[u8]| drop(writer.line(&json::encode(source, Moment::now(), line)));
                    held[at].finish(put);
                }
                To::Journal { journal, held } => held[at].finish(|line| drop(journal.send(source, line))),
                To::Records(_) | To::Later(..) | To::Nowhere => {}
            }
        }
    }

    /// Makes the log that was left for later.
    fn begin(&mut self) -> Result<(), LogError> {
        if let To::Later(series, size, files) = &self.to {
            self.to = To::Records(Writer::open_records(series.clone(), *size, *files)?);
        }
        Ok(())
    }

    fn keep(&mut self, source: Source, bytes: &[u8]) -> Result<(), LogError> {
        self.begin()?;
        let mut result = Ok(());
        let at = source as usize - 1;
        match &mut self.to {
            To::Records(writer) => return writer.record(source, bytes),
            To::Lines { writer, held } => {
                // What comes at once is written at once.
                let (now, mut lines) = (Moment::now(), Vec::with_capacity(bytes.len() * 2));
                held[at].push(bytes, |line| lines.extend_from_slice(&json::encode(source, now, line)));
                if !lines.is_empty() {
                    result = writer.line(&lines);
                }
            }
            To::Journal { journal, held } => held[at].push(bytes, |line| {
                if let Err(error) = journal.send(source, line) {
                    result = Err(error);
                }
            }),
            To::Later(..) | To::Nowhere => {}
        }
        result
    }

    /// Says in the log that something is missing, as soon as there is room for it.
    fn tell_lost(&mut self) {
        if self.lost == 0 {
            return;
        }
        let note = format!("\n[estiba: {} bytes are missing here: the log could not be written]\n", self.lost);
        if self.keep(Source::Stderr, note.as_bytes()).is_ok() {
            self.lost = 0;
        }
    }
}

fn is_absent(series: &Series) -> bool {
    std::fs::symlink_metadata(series.path()).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}
