//! The file system of a container: the image's layers, and a place for changes that goes with it.

use containers::config::{Config, MountSource};
use oci::Digest;
use runtime::ladder::Probe;
use runtime::snapshot::{ActiveSnapshot, KeptTree};
use store::{Lease, Store};

use crate::error::{Error, Result, While};
use crate::image::Image;
use crate::sandbox;

/// A container's tree. Removed when dropped.
pub(crate) struct Prepared {
    active: ActiveSnapshot,
    lease: Lease,
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
        Ok(Self { active, lease })
    }

    /// Leaves the tree to the container. The lease is to last until its own pin is there.
    pub(crate) fn keep(self, id: &str) -> Result<(KeptTree, Lease)> {
        let tree = KeptTree::of(id, self.active.root_fs());
        let tree = tree.ok_or_else(|| Error::failed("a container's tree takes changes"))?;
        self.active.keep();
        Ok((tree, self.lease))
    }
}

/// Sees to it that the layers below a container's tree are there: another boot takes away what was not on disk.
pub(crate) fn again(store: &Store, image: &Image, probe: &Probe) -> Result {
    let lease = store.lease()?;
    builder::image_trees(store, &image.manifest, &image.config, &lease, probe)?;
    Ok(())
}

/// The trees of the images that a container mounts, by manifest, base first; they are pinned by the lease.
pub(crate) fn mounted(
    store: &Store,
    config: &Config,
    probe: &Probe,
    lease: &Lease,
) -> Result<Vec<(Digest, Vec<String>)>> {
    let mut all = Vec::new();
    for mount in &config.data.mounts {
        let MountSource::Image { name, manifest: Some(manifest), .. } = &mount.source else { continue };
        let image = crate::image::read(store, manifest, None).during(format!("mount image {name}"))?;
        let trees = builder::image_trees(store, &image.manifest, &image.config, lease, probe)?;
        let layer = |tree: &std::path::PathBuf| Some(tree.parent()?.file_name()?.to_str()?.to_owned());
        all.push((*manifest, trees.iter().filter_map(layer).collect()));
    }
    Ok(all)
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
