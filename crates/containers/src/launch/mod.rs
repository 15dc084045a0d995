//! From what was asked of a container to what the runtime starts: what depends on the machine and the moment is settled here, at
//! each start anew.

mod data;
mod isolation;
mod network;
mod process;
pub mod resources;
mod shared;
mod users;

use std::path::PathBuf;

use runtime::container::{Ids, Isolation, Network, Spec};
use runtime::ladder::{Probe, Rung};
use runtime::snapshot::RootFs;

use crate::Config;
use crate::config::NetworkMode;
use crate::layout::Layout;

/// Why a container cannot be started as it was asked.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// A capability that there is not.
    #[error(transparent)]
    Capability(#[from] runtime::container::caps::UnknownCapability),
    /// A device that can't be given.
    #[error("--device {}: {why}", path.display())]
    Device {
        /// Where it is said to be.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// Users that can't be had.
    #[error("--userns: {0}")]
    Users(String),
    /// A container whose namespaces are to be shared.
    #[error("container {0} does not run: what is its own can be shared only while it does; start it first")]
    NotRunning(String),
    /// A volume that is gone, or cannot be mounted.
    #[error(transparent)]
    Volume(#[from] crate::volume::VolumeError),
    /// A folder for what is written over a tree that stays as it is.
    #[error("mkdir {}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

pub use shared::{share, surroundings};
pub use users::{allot, pool};

/// What a container stands on.
#[derive(Debug, Clone)]
pub struct Grounds<'g> {
    /// Its file tree.
    pub rootfs: RootFs,
    /// The table of owners that belongs to it.
    pub owners: PathBuf,
    /// Where the store's volumes and trees are.
    pub layout: &'g Layout,
    /// What this machine allows.
    pub probe: &'g Probe,
}

/// What the runtime starts in a container that runs: the program's surroundings, rights and limits; no files, no network.
///
/// # Errors
/// What cannot be had on this machine.
pub fn guest(config: &Config, probe: &Probe, owners: PathBuf) -> Result<Spec, LaunchError> {
    let mut spec = Spec::new(RootFs::Dir(PathBuf::new()), Vec::new());
    // The container's own is joined; what it is decides which walls there are.
    spec.network = match config.network.mode {
        NetworkMode::Host => Network::Host,
        NetworkMode::None | NetworkMode::Private(_) | NetworkMode::Container(_) | NetworkMode::Networks(_) => {
            Network::None
        }
    };
    process::apply(config, &mut spec);
    resources::apply(config, &mut spec);
    isolation::apply(config, &probe.rung, &mut spec)?;
    match probe.rung {
        Rung::SingleId => {
            spec.ids = Ids::Single;
            spec.monitor = Some(owners);
        }
        Rung::Chroot => spec.isolation = Isolation::Chroot,
        Rung::Root | Rung::SubordinateIds { .. } | Rung::Unprivileged => {}
    }
    Ok(spec)
}

/// What the runtime starts.
///
/// # Errors
/// What cannot be had on this machine.
pub fn spec(config: &Config, grounds: &Grounds<'_>) -> Result<Spec, LaunchError> {
    let mut spec = Spec::new(grounds.rootfs.clone(), config.process.args.clone());
    process::apply(config, &mut spec);
    data::apply(config, grounds, &mut spec)?;
    network::apply(config, &mut spec);
    resources::apply(config, &mut spec);
    isolation::apply(config, &grounds.probe.rung, &mut spec)?;
    match grounds.probe.rung {
        Rung::SingleId => {
            spec.ids = Ids::Single;
            spec.monitor = Some(grounds.owners.clone());
        }
        Rung::Chroot => spec.isolation = Isolation::Chroot,
        Rung::Root | Rung::SubordinateIds { .. } | Rung::Unprivileged => {}
    }
    Ok(spec)
}
