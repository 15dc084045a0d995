//! From what was asked of a container to what the runtime starts: what depends on the machine and the moment is settled here, at
//! each start anew.

mod data;
mod isolation;
mod network;
mod process;
pub mod resources;

use std::path::PathBuf;

use runtime::container::{Ids, Isolation, Spec};
use runtime::ladder::{Probe, Rung};
use runtime::snapshot::RootFs;

use crate::Config;

/// Why a container cannot be started as it was asked.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// A capability that there is not.
    #[error(transparent)]
    Capability(#[from] runtime::container::caps::UnknownCapability),
}

/// What a container stands on.
#[derive(Debug, Clone)]
pub struct Grounds<'g> {
    /// Its file tree.
    pub rootfs: RootFs,
    /// The table of owners that belongs to it.
    pub owners: PathBuf,
    /// What this machine allows.
    pub probe: &'g Probe,
}

/// What the runtime starts.
///
/// # Errors
/// What cannot be had on this machine.
pub fn spec(config: &Config, grounds: &Grounds<'_>) -> Result<Spec, LaunchError> {
    let mut spec = Spec::new(grounds.rootfs.clone(), config.process.args.clone());
    process::apply(config, &mut spec);
    data::apply(config, &mut spec);
    network::apply(config, &mut spec);
    resources::apply(config, &mut spec);
    isolation::apply(config, &mut spec)?;
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
