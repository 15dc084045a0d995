//! Snapshots by overlayfs: nothing is copied before it is changed.

use std::path::{Path, PathBuf};

use sys::Root;

use super::{ActiveSnapshot, FS, Folder, Kind, RootFs, SnapshotError, Snapshotter, View, duplicate, remove};

/// Overlayfs' scratch directory in a snapshot's folder.
pub(super) const WORK: &str = "work";
/// An empty tree to lie below a snapshot that has no parents.
pub(super) const NOTHING: &str = "nothing";

/// Prepares overlay mounts.
#[derive(Debug, Clone)]
pub struct OverlaySnapshotter {
    snapshots: PathBuf,
}

impl OverlaySnapshotter {
    /// With its snapshots in the directory `snapshots`, which exists.
    pub fn new(snapshots: &Path) -> Self {
        Self { snapshots: snapshots.to_owned() }
    }
}

impl Snapshotter for OverlaySnapshotter {
    fn prepare(&self, id: &str, lowers: &[PathBuf]) -> Result<ActiveSnapshot, SnapshotError> {
        let folder = Folder::create(&self.snapshots, id)?;
        let lowers = layout(&folder, lowers).map_err(|source| folder.failed(source))?;
        let root_fs = RootFs::Overlay { lowers, upper: folder.path.join(FS), work: folder.path.join(WORK) };
        Ok(ActiveSnapshot { folder, root_fs, kind: Kind::Overlay })
    }

    fn view(&self, _id: &str, lowers: &[PathBuf]) -> Result<View, SnapshotError> {
        Ok(View { root_fs: RootFs::View { lowers: lowers.to_vec() }, _folder: None })
    }

    fn remove(&self, id: &str) -> Result<(), SnapshotError> {
        remove(&self.snapshots, id)
    }
}

fn layout(folder: &Folder, lowers: &[PathBuf]) -> sys::Result<Vec<PathBuf>> {
    let root = folder.root()?;
    root.mkdir(FS, 0o755)?;
    root.mkdir(WORK, 0o700)?;
    match lowers.last() {
        Some(nearest) => {
            // The mount's own root directory shows what the upper one is.
            duplicate::attributes(&Root::open(nearest)?, "", &root.open_dir(FS)?, "")?;
            Ok(lowers.to_vec())
        }
        None => {
            root.chmod(FS, 0o755)?;
            root.mkdir(NOTHING, 0o755)?;
            Ok(vec![folder.path.join(NOTHING)])
        }
    }
}
