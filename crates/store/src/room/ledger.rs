//! What all processes took so far, in a file that they write under a lock.
//!
//! ```text
//! <root>/room/used          "<bytes> <when measured, seconds since 1970>", locked while it is read and written
//!            <pid-random>   what one live process was granted and may not have written yet; locked by it
//! ```
//!
//! The sum only grows while things are taken, by what was asked for; what was freed shows when it is measured again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sys::lock::Lock;

use super::RoomError;
use super::meter::Meter;
use crate::{Layout, random};

/// A sum older than this is measured again before it is believed: not everything that is written is charged.
const STALE: Duration = Duration::from_secs(600);

/// The ledger, locked.
pub(super) struct Ledger {
    file: Lock,
    path: PathBuf,
    /// Bytes that are taken.
    pub(super) used: u64,
    /// Whether `used` was measured by this holder.
    pub(super) fresh: bool,
}

/// The file by which a process tells what it may still write.
#[derive(Debug)]
pub(super) struct Grant {
    lock: Lock,
    path: PathBuf,
}

fn io_at(call: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RoomError + use<> {
    let path = path.to_path_buf();
    move |source| RoomError::Io { call, path, source }
}

fn open(path: &Path) -> Result<File, RoomError> {
    let folder = path.parent().unwrap_or(path);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io_at("mkdir", folder))?;
    let mut how = OpenOptions::new();
    how.read(true).write(true).create(true).truncate(false).mode(0o600).open(path).map_err(io_at("open", path))
}

impl Ledger {
    /// Waits for it. `own` is the caller's own grant, which is not counted when everything is measured.
    pub(super) fn take(layout: &Layout, own: Option<&Grant>) -> Result<Self, RoomError> {
        let path = layout.room().join("used");
        let file = Lock::exclusive(open(&path)?)?;
        let mut text = String::new();
        file.file().read_to_string(&mut text).map_err(io_at("read", &path))?;
        let mut words = text.split_whitespace().map(str::parse::<u64>);
        let known = match (words.next(), words.next()) {
            (Some(Ok(used)), Some(Ok(when))) if age(when) < STALE => Some(used),
            // New, old, or torn.
            _ => None,
        };
        let mut ledger = Self { file, path, used: known.unwrap_or(0), fresh: false };
        if known.is_none() {
            ledger.measure(layout, own)?;
        }
        Ok(ledger)
    }

    /// Counts what is there, and what others may be about to write.
    pub(super) fn measure(&mut self, layout: &Layout, own: Option<&Grant>) -> Result<(), RoomError> {
        self.used = Meter::new().measure(layout.root()) + granted(&layout.room(), own)?;
        self.fresh = true;
        self.write(Some(now()))
    }

    /// Adds to what is taken.
    pub(super) fn add(&mut self, bytes: u64) -> Result<(), RoomError> {
        self.used += bytes;
        self.write(None)
    }

    fn write(&mut self, measured: Option<u64>) -> Result<(), RoomError> {
        let mut file = self.file.file();
        let fail = |call| io_at(call, &self.path);
        let when = match measured {
            Some(when) => when,
            None => {
                let mut text = String::new();
                file.rewind().and_then(|()| file.read_to_string(&mut text)).map_err(fail("read"))?;
                text.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
            }
        };
        // One write of one line, always as long: a reader never meets half of it.
        let line = format!("{:020} {when:020}\n", self.used);
        file.rewind().and_then(|()| file.write_all(line.as_bytes())).map_err(fail("write"))
    }
}

impl Grant {
    /// A new one, of nothing.
    pub(super) fn new(layout: &Layout) -> Result<Self, RoomError> {
        let path = layout.room().join(format!("{}-{}", std::process::id(), random::hex32()));
        Ok(Self { lock: Lock::exclusive(open(&path)?)?, path })
    }

    /// Says how much may be written from now on.
    pub(super) fn set(&self, bytes: u64) -> Result<(), RoomError> {
        let mut file = self.lock.file();
        file.rewind().and_then(|()| write!(file, "{bytes:020}")).map_err(io_at("write", &self.path))
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        // Nobody is left to tell; an unlocked grant counts nothing.
        drop(fs::remove_file(&self.path));
    }
}

/// What live processes but this one may still write. The grants of dead ones are removed.
fn granted(folder: &Path, own: Option<&Grant>) -> Result<u64, RoomError> {
    let mut sum = 0;
    for entry in fs::read_dir(folder).map_err(io_at("read directory", folder))? {
        let path = entry.map_err(io_at("read directory", folder))?.path();
        let is_ours = own.is_some_and(|own| own.path == path);
        if is_ours || path.file_name().is_some_and(|name| name == "used") {
            continue;
        }
        let Ok(file) = OpenOptions::new().read(true).write(true).open(&path) else { continue };
        match Lock::try_exclusive(file)? {
            Ok(_dead) => drop(fs::remove_file(&path)),
            Err(mut file) => {
                let mut text = String::new();
                file.read_to_string(&mut text).map_err(io_at("read", &path))?;
                sum += text.trim().parse::<u64>().unwrap_or(0);
            }
        }
    }
    Ok(sum)
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn age(when: u64) -> Duration {
    Duration::from_secs(now().abs_diff(when))
}
