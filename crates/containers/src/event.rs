//! What happened, a line each, for `events`.
//!
//! The journal is one file that every command and every supervisor appends to, and the one before it. Nothing is synced: after a
//! crash of the machine its last lines may be missing, or torn, and a torn line is passed over.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _};

use serde::{Deserialize, Serialize};
use sys::lock::Lock;

use crate::Config;
use crate::layout::Layout;
use crate::log::LogError;
use crate::log::series::Series;
use crate::time::Moment;

/// The size at which the journal's file ends: about 30,000 events, and as many are kept in the one before.
const MAX_SIZE: u64 = 8 << 20;
/// How many files there are.
const FILES: u32 = 2;

/// One thing that happened, in docker's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub time: Moment,
    /// `container`, `volume`, `network`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `create`, `start`, `die`, …
    pub action: String,
    /// To what.
    pub id: String,
    /// More: `name`, `image`, `exitCode`, labels.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}

impl Event {
    /// Something that happened now.
    pub fn now(kind: &str, action: &str, id: &str) -> Self {
        let (kind, action, id) = (kind.to_owned(), action.to_owned(), id.to_owned());
        Self { time: Moment::now(), kind, action, id, attributes: BTreeMap::new() }
    }

    /// Something that happened to a container: its labels, image and name come along.
    pub fn of(config: &Config, action: &str) -> Self {
        let mut event = Self::now("container", action, config.id.as_str());
        event.attributes.clone_from(&config.life.labels);
        event.with("image", &config.image.name).with("name", &config.name)
    }

    /// With one more attribute.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.attributes.insert(name.to_owned(), value.to_string());
        self
    }
}

/// The journal of a store.
#[derive(Debug, Clone)]
pub struct Journal {
    series: Series,
}

impl Journal {
    /// The journal of these containers. Touches nothing.
    pub fn new(layout: &Layout) -> Self {
        Self { series: Series::new(layout.events()) }
    }

    /// Adds an event. One that cannot be written is lost: what happened has happened.
    pub fn record(&self, event: &Event) {
        // Nothing that is done for the user fails because nobody can be told of it.
        drop(self.append(event));
    }

    fn append(&self, event: &Event) -> Result<(), LogError> {
        let failed = |what| LogError::io(what, self.series.path());
        let mut line = serde_json::to_vec(event).map_err(io::Error::from).map_err(failed("encode an event for"))?;
        line.push(b'\n');
        loop {
            let file = self.open()?;
            let mut lock = Lock::exclusive(file).map_err(|error| failed("lock")(io::Error::from(error.errno())))?;
            let about = lock.file().metadata().map_err(failed("stat"))?;
            // Another process put it away while we waited.
            if std::fs::symlink_metadata(self.series.path()).map_or(true, |there| there.ino() != about.ino()) {
                continue;
            }
            if about.len() >= MAX_SIZE {
                self.series.rotate(FILES)?;
                continue;
            }
            let mut last = [b'\n'];
            if about.len() > 0 {
                lock.file().read_exact_at(&mut last, about.len() - 1).map_err(failed("read"))?;
            }
            if last != *b"\n" {
                line.insert(0, b'\n');
            }
            return write_at_end(&mut lock, &line, about.len()).map_err(failed("write"));
        }
    }

    /// The file, in a folder that comes with the first container or the first event.
    fn open(&self) -> Result<File, LogError> {
        match (self.series.write(), self.series.path().parent()) {
            (Err(_), Some(folder)) if !folder.exists() => {
                let made = DirBuilder::new().mode(0o700).create(folder);
                // Another may have been quicker.
                match made {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                        Err(LogError::io("make", folder)(error))
                    }
                    _ => self.series.write(),
                }
            }
            (opened, _) => opened,
        }
    }

    /// A reader from the oldest event on.
    pub fn reader(&self) -> Events {
        Events { series: self.series.clone(), current: None, held: Vec::new() }
    }
}

fn write_at_end(lock: &mut Lock, line: &[u8], end: u64) -> io::Result<()> {
    let mut file = lock.file();
    io::Seek::seek(&mut file, io::SeekFrom::Start(end))?;
    file.write_all(line)
}

/// Events, as they come.
#[derive(Debug)]
pub struct Events {
    series: Series,
    current: Option<(File, u64)>,
    /// The beginning of a line whose end has not come.
    held: Vec<u8>,
}

impl Events {
    /// What was added since the last call.
    ///
    /// # Errors
    /// A journal that cannot be read.
    pub fn take(&mut self) -> Result<Vec<Event>, LogError> {
        let mut events = Vec::new();
        loop {
            let parts = self.series.parts()?;
            // Asked for before the file is read to its end: nobody writes to one that was put away.
            let next = match &self.current {
                None => parts.into_iter().next(),
                Some((_, inode)) => {
                    let after = parts.iter().position(|part| part.inode == *inode).map_or(0, |at| at + 1);
                    parts.into_iter().nth(after)
                }
            };
            if let Some((file, _)) = &mut self.current {
                let path = self.series.path();
                file.read_to_end(&mut self.held).map_err(LogError::io("read", path))?;
                let whole = self.held.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                let lines = self.held[..whole].split(|byte| *byte == b'\n');
                events.extend(lines.filter_map(|line| serde_json::from_slice(line).ok()));
                self.held.drain(..whole);
            }
            match next {
                Some(part) => {
                    self.held.clear();
                    self.current = Some((part.file, part.inode));
                }
                None => return Ok(events),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(dir: &tempfile::TempDir) -> Journal {
        Journal { series: Series::new(dir.path().join("events.jsonl")) }
    }

    #[test]
    fn many_writers_and_a_reader() {
        let dir = tempfile::tempdir().unwrap();
        let journal = journal(&dir);
        let mut reader = journal.reader();
        assert_eq!(reader.take().unwrap(), []);
        let writers: Vec<_> = (0..4)
            .map(|by| {
                let journal = journal.clone();
                std::thread::spawn(move || {
                    (0..50).for_each(|_| journal.record(&Event::now("container", "start", &by.to_string())));
                })
            })
            .collect();
        let mut seen = reader.take().unwrap();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        seen.extend(reader.take().unwrap());
        assert_eq!(seen.len(), 200);
        assert!((0..4).all(|by| seen.iter().filter(|event| event.id == by.to_string()).count() == 50));
    }

    #[test]
    fn a_torn_line_is_passed_over_and_a_full_file_put_away() {
        let dir = tempfile::tempdir().unwrap();
        let journal = journal(&dir);
        journal.record(&Event::now("container", "create", "a"));
        let mut file = File::options().append(true).open(journal.series.path()).unwrap();
        file.write_all(b"{\"time\":1,\"ty").unwrap();
        journal.record(&Event::now("container", "start", "a"));
        let mut reader = journal.reader();
        let actions = |events: Vec<Event>| events.into_iter().map(|event| event.action).collect::<Vec<_>>();
        assert_eq!(actions(reader.take().unwrap()), ["create", "start"]);
        file.write_all(&vec![b'\n'; usize::try_from(MAX_SIZE).unwrap()]).unwrap();
        journal.record(&Event::now("container", "die", "a"));
        assert_eq!(actions(reader.take().unwrap()), ["die"]);
        assert!(std::fs::metadata(journal.series.path()).unwrap().len() < 200);
    }

    #[test]
    fn a_link_in_its_place_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        std::fs::write(&victim, "precious").unwrap();
        let journal = journal(&dir);
        std::os::unix::fs::symlink(&victim, journal.series.path()).unwrap();
        journal.record(&Event::now("container", "create", "a"));
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
    }
}
