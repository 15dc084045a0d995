//! Snapshots by copying, where overlay mounts are refused: the parents' files are copied (shared, where the file system
//! can) to one directory, and what changed there is found afterwards.

use std::path::{Path, PathBuf};

use sys::{Root, Timestamp};

use super::changes::{Change, Known};
use super::{ActiveSnapshot, FS, Folder, Kind, RootFs, SnapshotError, Snapshotter, View, changes, duplicate, remove};
use crate::single_id::adopt_new;
use crate::single_id::owner::Owners;

/// The whole tree, in the folder of a snapshot that is active.
pub(crate) const MERGED: &str = "merged";
/// A file that tells the file system's time.
const CLOCK: &str = "clock";

/// Prepares copies.
#[derive(Debug, Clone)]
pub struct CopySnapshotter {
    snapshots: PathBuf,
}

/// What a copied tree was before anyone changed it.
#[derive(Debug)]
pub(super) struct Baseline {
    /// No file's ctime was later, and none that is touched from now on keeps one as early.
    pub(super) stamp: Timestamp,
    pub(super) known: Known,
}

impl CopySnapshotter {
    /// With its snapshots in the directory `snapshots`, which exists.
    pub fn new(snapshots: &Path) -> Self {
        Self { snapshots: snapshots.to_owned() }
    }

    fn copied(&self, id: &str, lowers: &[PathBuf]) -> Result<Folder, SnapshotError> {
        let folder = Folder::create(&self.snapshots, id)?;
        merge(&folder, lowers).map_err(|source| folder.failed(source))?;
        Ok(folder)
    }
}

impl Snapshotter for CopySnapshotter {
    fn prepare(&self, id: &str, lowers: &[PathBuf]) -> Result<ActiveSnapshot, SnapshotError> {
        let folder = self.copied(id, lowers)?;
        let root_fs = RootFs::Dir(folder.path.join(MERGED));
        let baseline = Baseline::of(&folder).map_err(|source| folder.failed(source))?;
        Ok(ActiveSnapshot { folder, root_fs, kind: Kind::Copy(baseline) })
    }

    fn view(&self, id: &str, lowers: &[PathBuf]) -> Result<View, SnapshotError> {
        if let [only] = lowers {
            return Ok(View { root_fs: RootFs::Dir(only.clone()), _folder: None });
        }
        let folder = self.copied(id, lowers)?;
        Ok(View { root_fs: RootFs::Dir(folder.path.join(MERGED)), _folder: Some(folder) })
    }

    fn remove(&self, id: &str) -> Result<(), SnapshotError> {
        remove(&self.snapshots, id)
    }
}

fn merge(folder: &Folder, lowers: &[PathBuf]) -> sys::Result<()> {
    let root = folder.root()?;
    root.mkdir(MERGED, 0o755)?;
    root.chmod(MERGED, 0o755)?;
    let merged = root.open_dir(MERGED)?;
    let mut recorded = Owners::of(&folder.path.join(MERGED))?;
    for fs in lowers {
        duplicate::layer(fs, &merged, &mut recorded)?;
    }
    recorded.save()
}

impl Baseline {
    fn of(folder: &Folder) -> sys::Result<Self> {
        let root = folder.root()?;
        let known = Known::read(&root.open_dir(MERGED)?)?;
        let stamp = root.create(CLOCK, 0o600, true).and_then(|_| root.stat(CLOCK))?.ctime;
        // File times come from a clock that ticks every few milliseconds: what happens in this tick must be told from
        // what happens next.
        while root.stat(CLOCK)?.ctime <= stamp {
            std::thread::sleep(std::time::Duration::from_millis(1));
            root.chmod(CLOCK, 0o600)?;
        }
        root.remove(CLOCK)?;
        Ok(Self { stamp, known })
    }
}

/// Moves what changed from the copied tree to a layer tree, and removes the rest.
pub(super) fn commit(folder: &Path, baseline: &Baseline) -> sys::Result<()> {
    let root = Root::open(folder)?;
    let merged = root.open_dir_nofollow(MERGED)?;
    let changed = changes::find(&merged, baseline)?;
    root.mkdir(FS, 0o755)?;
    changes::move_to(&merged, &root.open_dir_nofollow(FS)?, &changed)?;
    let new = changed.iter().filter(|(_, change)| matches!(change, Change::New | Change::Replaced));
    adopt_new(folder, &folder.join(FS), new.map(|(path, _)| path.as_path()))?;
    root.remove_all(MERGED)
}
