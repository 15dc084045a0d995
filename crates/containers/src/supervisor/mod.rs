//! The process that watches over one container.
//!
//! Who starts a container forks it ([`start()`]): it clones the container, tells its parent how that went, and stays. After a moment it
//! executes itself again, to be small: the container remains its child. One thread, one `poll` ([`serve`]): the container's end,
//! commands on its socket ([`connection`]), the streams of the container ([`streams`]), and what has a time.
//!
//! Who else wants something of a container that runs asks here ([`crate::client`]); only what needs no order (looking, executing
//! something in it) goes by itself.

mod begin;
mod connection;
mod disk;
mod end;
mod freeze;
mod handed;
mod handover;
mod health;
mod keeper;
mod notify;
pub mod protocol;
mod restart;
mod serve;
mod sidecars;
mod start;
mod stop;
pub mod streams;

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use runtime::container::{Mount, Running};
use runtime::ladder::Probe;
use runtime::snapshot::KeptTree;
use sys::lock::Lock;
use sys::signal::Signals;

pub(crate) use begin::address;
pub use disk::{entry as disk_entry, measure as measure_disk};
pub use handed::{Handed, MAX_HANDED, Sockets};
pub use handover::{entry, resume};
pub use start::{Attached, Start, start};
pub use streams::{Attachment, Given};

use crate::layout::Folder;
use crate::network::sidecar::Leaving;
use crate::{Config, Containers, State};
use connection::Connections;
use disk::Disk;
use health::Health;
use keeper::Following;
use notify::Notify;
use restart::Restarts;
use stop::Stop;
use streams::Streams;

/// How long a container must have lived before its supervisor takes the trouble to become small.
const SETTLED: Duration = Duration::from_millis(200);

/// A supervisor at work.
struct Supervisor {
    containers: Containers,
    folder: Folder,
    config: Config,
    tree: KeptTree,
    probe: Probe,
    /// What programs of another processor need besides what was asked.
    interpreter: Option<Mount>,
    /// Held open for as long as the container can be started again.
    held: Vec<OwnedFd>,
    state: State,
    running: Option<Running>,
    /// Those of a program that has ended.
    leaving: Leaving,
    /// Those of the state's sidecars that live.
    watched: Vec<sidecars::Watched>,
    following: Following,
    /// When its program started last.
    since: Instant,
    lock: Lock,
    listener: OwnedFd,
    signals: Signals,
    connections: Connections,
    streams: Streams,
    health: Health,
    notify: Notify,
    disk: Disk,
    handed: Handed,
    stop: Option<Stop>,
    restarts: Restarts,
    /// What who starts the container is told.
    notes: Vec<String>,
    /// When it is to execute itself again; `None` once it has, or where it cannot.
    shrinks: Option<Instant>,
}
