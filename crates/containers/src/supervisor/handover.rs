//! Being small: the supervisor executes its own program again, and goes on where it was.
//!
//! A fork has the memory of the command that forked it. The program executed anew has next to none; it is the same process, so the
//! container is still its child and its lock still held. What it has to know comes in a file in memory, descriptors by their numbers.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use runtime::container::{Left, Mount};
use runtime::ladder::Probe;
use runtime::snapshot::KeptTree;
use rustix::io::FdFlags;
use serde::{Deserialize, Serialize};
use sys::lock::Lock;
use sys::signal::{SignalSet, Signals};

use super::begin::TAKEN;
use super::connection::Connections;
use super::disk::{self, Disk};
use super::health::Health;
use super::keeper::Following;
use super::notify::{self, Notify};
use super::restart::Restarts;
use super::streams::{Packed, Streams};
use super::{Handed, SETTLED, Supervisor, handed};
use crate::network::sidecar::Leaving;
use crate::{Config, ContainerId, Containers, State};

/// The first argument of a supervisor, which no user types.
const MARK: &str = "\u{1}estiba-supervisor";

/// What a supervisor knows besides what lies in its container's folder.
#[derive(Debug, Serialize, Deserialize)]
struct Luggage {
    root: PathBuf,
    id: ContainerId,
    probe: Probe,
    interpreter: Option<Mount>,
    state: State,
    left: Left,
    /// How long ago the program started.
    lived: Duration,
    restarts: (u32, Option<Duration>),
    lock: RawFd,
    listener: RawFd,
    held: Vec<RawFd>,
    streams: Packed,
    notify: notify::Packed,
    given_up: Vec<i32>,
    disk: disk::Packed,
    /// As they are known here: what cannot be read is not missed then.
    config: Config,
    tree: KeptTree,
    handed: handed::Packed,
}

/// What went wrong on the way.
#[derive(Debug, thiserror::Error)]
enum HandoverError {
    #[error(transparent)]
    Sys(#[from] sys::Error),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Start(#[from] runtime::container::StartError),
    #[error(transparent)]
    Streams(#[from] super::streams::StreamsError),
    #[error("its lock is another's")]
    Lock,
}

/// Descriptors that stay open when the program is executed again, unless it is not.
#[derive(Default)]
pub(super) struct Kept<'k> {
    fds: Vec<BorrowedFd<'k>>,
}

impl<'k> Kept<'k> {
    /// Keeps one open. Gives its number.
    pub(super) fn keep(&mut self, fd: &'k impl AsFd) -> RawFd {
        let fd = fd.as_fd();
        // Refused only for a descriptor that is not open.
        let _ = rustix::io::fcntl_setfd(fd, FdFlags::empty());
        self.fds.push(fd);
        fd.as_raw_fd()
    }
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        for fd in &self.fds {
            let _ = rustix::io::fcntl_setfd(fd, FdFlags::CLOEXEC);
        }
    }
}

impl Supervisor {
    /// Executes the program again. Where that fails all stays as it is, only larger.
    pub(super) fn shrink(&mut self) {
        self.shrinks = None;
        self.streams.finish_lines();
        let Some(running) = &self.running else { return };
        // What can fail fails here, where nothing is given up yet.
        if Streams::check(&self.config, &self.folder).is_err() {
            return;
        }
        match self.execute(running.left()) {
            Ok(never) => match never {},
            // It is only larger than it need be.
            Err(error) => drop(error),
        }
    }

    fn execute(&self, left: Left) -> Result<std::convert::Infallible, HandoverError> {
        let mut kept = Kept::default();
        let luggage = Luggage {
            root: self.containers.store().root().to_path_buf(),
            id: self.config.id.clone(),
            probe: self.probe.clone(),
            interpreter: self.interpreter.clone(),
            state: self.state.clone(),
            left,
            lived: self.since.elapsed(),
            restarts: (self.restarts.count, self.restarts.pause()),
            lock: kept.keep(self.lock.file()),
            listener: kept.keep(&self.listener),
            held: self.held.iter().map(|fd| kept.keep(fd)).collect(),
            streams: self.streams.pack(&mut kept),
            notify: self.notify.pack(&mut kept),
            given_up: self.health.given_up(),
            disk: self.disk.pack(),
            config: self.config.clone(),
            tree: self.tree.clone(),
            handed: self.handed.pack(&mut kept),
        };
        let file = sys::memfd::sealed("estiba-supervisor", &serde_json::to_vec(&luggage)?)?;
        let mut with_file = Kept::default();
        let number = with_file.keep(&file);
        let words = ["estiba", MARK, &number.to_string(), luggage.id.short()];
        let words: Vec<CString> = words.iter().filter_map(|word| CString::new(*word).ok()).collect();
        Err(sys::exec::again(&words).into())
    }

    fn unpack(luggage: Luggage) -> Result<Self, HandoverError> {
        let containers = Containers::new(&store::Layout::new(luggage.root));
        let folder = containers.layout().container(&luggage.id);
        let lock = Lock::try_exclusive(File::from(sys::inherit::take(luggage.lock)?))?;
        let lock = lock.map_err(|_| HandoverError::Lock)?;
        let held = luggage.held.into_iter().map(sys::inherit::take).collect::<sys::Result<Vec<OwnedFd>>>()?;
        let config = luggage.config;
        let since = Instant::now().checked_sub(luggage.lived).unwrap_or_else(Instant::now);
        let mut disk = Disk::unpack(luggage.disk, &config, &folder, containers.layout());
        disk.started(luggage.state.init, Instant::now());
        Ok(Self {
            tree: luggage.tree,
            leaving: Leaving::default(),
            watched: Vec::new(),
            following: Following::default(),
            probe: luggage.probe,
            interpreter: luggage.interpreter,
            held,
            state: luggage.state,
            running: Some(luggage.left.resume()?),
            since,
            lock,
            listener: sys::inherit::take(luggage.listener)?,
            signals: Signals::block(&SignalSet::of(&TAKEN))?,
            connections: Connections::default(),
            streams: Streams::unpack(luggage.streams, &config, &folder)?,
            health: Health::resumed(&config, luggage.lived, luggage.given_up),
            notify: Notify::unpack(&luggage.notify, &config, &folder)?,
            disk,
            handed: Handed::unpack(luggage.handed)?,
            stop: None,
            restarts: Restarts::counted(luggage.restarts.0, luggage.restarts.1),
            notes: Vec::new(),
            shrinks: None,
            containers,
            folder,
            config,
        })
    }
}

/// The number of the luggage's descriptor, when this process is a supervisor.
pub fn entry(arguments: &[OsString]) -> Option<RawFd> {
    match arguments {
        [_, mark, descriptor, ..] if mark == MARK => descriptor.to_str()?.parse().ok(),
        _ => None,
    }
}

/// Goes on where the supervisor was. Gives its exit code.
pub fn resume(descriptor: RawFd) -> u8 {
    let read = || -> Result<Supervisor, HandoverError> {
        let mut file = File::from(sys::inherit::take(descriptor)?);
        // It was written by the same descriptor.
        std::io::Seek::rewind(&mut file).map_err(|error| sys::Error::from_io("lseek", "", &error))?;
        Supervisor::unpack(serde_json::from_reader(std::io::BufReader::new(file))?)
    };
    let read = || {
        let supervisor = read()?;
        // Where this is refused it is larger than it need be.
        drop(sys::pages::forget_clean());
        Ok::<_, HandoverError>(supervisor)
    };
    // Nobody listens: a container whose supervisor cannot go on ends with it, and who looks next says so.
    read().map_or(1, Supervisor::watch)
}

/// When a supervisor that has just begun becomes small.
pub(super) fn first() -> Option<Instant> {
    Instant::now().checked_add(SETTLED)
}
