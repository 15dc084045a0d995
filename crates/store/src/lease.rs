//! What live processes use, so that a collector leaves it alone.
//!
//! A lease is a file locked by its holder: it dies with it, however it dies. Its lines name what the
//! holder uses. A collector takes the collect lock for itself, reads the living leases, and deletes; who
//! takes a lease or pins takes that lock shared for the instant of it, so a pin is either seen or comes after
//! the deletion. Hence: pin first, then check that the thing is still there.
//!
//! What a process has only just made is named nowhere yet. [`Pins::oldest`] says since when such
//! things may exist: younger blobs, snapshots and layers are to be spared.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};

use crate::key_lock::{Failure, retry};
use crate::layout::Layout;
use crate::random;

/// A process's claim on what it uses. Dropping it gives everything up.
#[derive(Debug)]
pub struct Lease {
    file: Mutex<File>,
    path: PathBuf,
    collect: PathBuf,
}

/// What live processes use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pins {
    /// What they pinned: layer ids, digests, snapshot names.
    pub names: BTreeSet<String>,
    /// When the oldest live lease was taken; `None` when there is none.
    pub oldest: Option<SystemTime>,
}

/// Held by the one collector at work.
#[derive(Debug)]
pub struct CollectLock {
    _file: File,
}

impl Lease {
    pub(crate) fn take(layout: &Layout) -> Result<Self, (PathBuf, Failure)> {
        // A collector at work has read the leases already: it would take what we make for litter.
        let collect = layout.collect_lock();
        let _gate = lock_file(&collect, FlockOperation::LockShared).map_err(|failure| (collect, failure))?;
        loop {
            let name = format!("{}-{}", std::process::id(), random::hex32());
            let path = layout.leases().join(name);
            let at = |call| {
                let path = path.clone();
                move |error: io::Error| (path, (call, error))
            };
            let file =
                OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path).map_err(at("create"))?;
            retry(|| flock(&file, FlockOperation::LockExclusive)).map_err(|e| at("flock")(e.into()))?;
            // A collector may have taken the unlocked file for a dead one.
            if file.metadata().map_err(at("stat"))?.nlink() > 0 {
                let collect = layout.collect_lock();
                return Ok(Self { file: Mutex::new(file), path, collect });
            }
        }
    }

    /// Pins things by name: layer ids, digests, snapshot names. Check afterwards that they exist.
    ///
    /// # Errors
    /// When the lease file cannot be written.
    pub fn pin<T: std::fmt::Display>(&self, names: &[T]) -> crate::Result<()> {
        let lines = names.iter().fold(String::new(), |lines, name| lines + &format!("{name}\n"));
        let fail = |path: &Path, call| {
            let path = path.to_path_buf();
            move |source| crate::Error::Io { call, path, source }
        };
        let gate = lock_file(&self.collect, FlockOperation::LockShared)
            .map_err(|(call, error)| fail(&self.collect, call)(error))?;
        let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        file.write_all(lines.as_bytes()).map_err(fail(&self.path, "write"))?;
        drop(gate);
        Ok(())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Nobody is left to tell; an unlocked lease is dead in any case.
        drop(fs::remove_file(&self.path));
    }
}

impl CollectLock {
    pub(crate) fn take(layout: &Layout) -> Result<Self, Failure> {
        lock_file(&layout.collect_lock(), FlockOperation::LockExclusive).map(|file| Self { _file: file })
    }
}

/// Pins things for as long as a file of this name is there: what a container stands on. Replaces what the name pinned before.
///
/// # Errors
/// When the file cannot be written.
pub fn pin_lasting<T: std::fmt::Display>(layout: &Layout, name: &str, names: &[T]) -> crate::Result<()> {
    let folder = layout.pins();
    let fail = |path: &Path, call| {
        let path = path.to_path_buf();
        move |source| crate::Error::Io { call, path, source }
    };
    let collect = layout.collect_lock();
    let _gate = lock_file(&collect, FlockOperation::LockShared).map_err(|(call, error)| fail(&collect, call)(error))?;
    let lines = names.iter().fold(String::new(), |lines, name| lines + &format!("{name}\n"));
    let partial = folder.join(format!(".{name}"));
    let write = || fs::write(&partial, &lines);
    match write() {
        // Stores that an earlier version laid have no such folder.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(&folder).map_err(fail(&folder, "mkdir"))?;
            write()
        }
        other => other,
    }
    .map_err(fail(&partial, "write"))?;
    let path = folder.join(name);
    fs::rename(&partial, &path).map_err(fail(&path, "rename"))
}

/// Gives up what [`pin_lasting`] pinned; fine where there is nothing.
///
/// # Errors
/// When the file cannot be removed.
pub fn unpin_lasting(layout: &Layout, name: &str) -> crate::Result<()> {
    let path = layout.pins().join(name);
    match fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(crate::Error::Io { call: "unlink", path, source })
        }
        _ => Ok(()),
    }
}

/// Reads the lasting pins.
pub(crate) fn lasting(folder: &Path, pins: &mut Pins) -> Result<(), (PathBuf, Failure)> {
    let listing = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(|e| (folder.to_path_buf(), ("read directory", e)))?,
    };
    for entry in listing {
        let path = entry.map_err(|e| (folder.to_path_buf(), ("read directory", e)))?.path();
        match fs::read_to_string(&path) {
            Ok(text) => pins.names.extend(text.lines().map(str::to_owned)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err((path, ("read", error))),
        }
    }
    Ok(())
}

/// Reads the living leases and removes the dead ones, and reads the lasting pins.
pub(crate) fn pins(layout: &Layout) -> Result<Pins, (PathBuf, Failure)> {
    let mut pins = Pins::default();
    lasting(&layout.pins(), &mut pins)?;
    let folder = &layout.leases();
    let listing = fs::read_dir(folder).map_err(|e| (folder.clone(), ("read directory", e)))?;
    for entry in listing {
        let path = entry.map_err(|e| (folder.clone(), ("read directory", e)))?.path();
        read_lease(&path, &mut pins).map_err(|failure| (path, failure))?;
    }
    Ok(pins)
}

fn read_lease(path: &Path, pins: &mut Pins) -> Result<(), Failure> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(|e| ("open", e))?,
    };
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
        return match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(("unlink", error)),
            _ => Ok(()),
        };
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(|e| ("read", e))?;
    pins.names.extend(text.lines().map(str::to_owned));
    // A lease's first line may be older than its last write: the creation time is what counts, and the
    // change time only where the file system keeps none.
    let metadata = file.metadata().map_err(|e| ("stat", e))?;
    let taken = metadata.created().or_else(|_| metadata.modified()).map_err(|e| ("stat", e))?;
    pins.oldest = Some(pins.oldest.map_or(taken, |oldest| oldest.min(taken)));
    Ok(())
}

fn lock_file(path: &Path, how: FlockOperation) -> Result<File, Failure> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|error| ("open", error))?;
    retry(|| flock(&file, how)).map_err(|error| ("flock", error.into()))?;
    Ok(file)
}
