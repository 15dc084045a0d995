//! The file system of a container: the image's layers, and a place for changes that goes with it.

use std::path::PathBuf;

use runtime::ladder::Probe;
use runtime::snapshot::{ActiveSnapshot, RootFs};
use store::{Lease, Store};

use crate::error::{Result, While};
use crate::image::Image;
use crate::sandbox;

/// A container's tree. Removed when dropped.
pub(crate) struct Prepared {
    active: ActiveSnapshot,
    /// Keeps a collector away from the layers while the container runs.
    _lease: Lease,
}

impl Prepared {
    /// Lays a writable tree over the image's layers; those that were never unpacked are now.
    pub(crate) fn new(store: &Store, image: &Image, probe: &Probe, id: &str) -> Result<Self> {
        let lease = store.lease()?;
        // Before it is there: a collector must not take it for litter.
        lease.pin(&[id])?;
        let trees = builder::image_trees(store, &image.manifest, &image.config, &lease, probe)?;
        let snapshotter = runtime::snapshot::for_overlay(&probe.overlay, &store.layout().snapshots());
        let active = snapshotter.prepare(id, &trees)?;
        Ok(Self { active, _lease: lease })
    }

    /// What to mount.
    pub(crate) fn root_fs(&self) -> &RootFs {
        self.active.root_fs()
    }

    /// Where the owners that the kernel refuses to record are kept.
    pub(crate) fn owners(&self) -> PathBuf {
        self.active.owners()
    }
}

/// 64 hexadecimal digits that name a container.
pub(crate) fn container_id() -> Result<String> {
    let mut bytes = [0; 32];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).during("getrandom")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Steps onto the privilege ladder with a store in hand.
pub(crate) fn enter(store: Store) -> Result<(Store, Probe)> {
    let probe = sandbox::enter(store.layout())?;
    Ok((store, probe))
}
