//! File trees in layers: preparing one to be changed, keeping the change.
//!
//! # The story
//!
//! A *snapshot* is what one step changed, kept under `<snapshots>/<id>/fs` as an overlayfs upper directory is: the
//! changed files, a character device 0:0 where a name was deleted, `user.overlay.opaque=y` on a directory that hides
//! what lies below it. Whichever [`Snapshotter`] made it, that is its form, so they can be mixed.
//!
//! 1. [`Snapshotter::prepare`] takes a new id and the `fs` directories of the parents, **base first**, and gives an
//!    [`ActiveSnapshot`]: a place that shows the parents' files and takes changes.
//! 2. Someone mounts its [`RootFs`], and runs a process in it.
//! 3. [`ActiveSnapshot::commit`] consumes it: what changed is now in [`Snapshot::fs`]. Nobody changes it any more.
//!    Dropping an active snapshot instead removes it.
//! 4. [`Snapshotter::remove`] deletes a snapshot that nothing names.
//!
//! All of it happens on one rung of the ladder, after [`crate::ladder::enter`]. Nothing here is synced to disk.

mod changes;
pub mod conformance;
mod copy;
pub(crate) mod duplicate;
mod kept;
mod overlay;
mod whiteout;

use std::path::{Path, PathBuf};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sys::Root;

pub use copy::CopySnapshotter;
pub(crate) use copy::MERGED;
pub use kept::{KeptTree, Tree};
pub use overlay::OverlaySnapshotter;

use crate::ladder::Overlay;
use crate::single_id::owner::TABLE;

/// A tree to start a process in, as paths for whoever mounts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RootFs {
    /// An overlay mount with `userxattr`.
    Overlay {
        /// The layers' trees, **base first** (the reverse of the mount option's order). Never empty.
        lowers: Vec<PathBuf>,
        /// Where changes go.
        upper: PathBuf,
        /// Overlayfs' own scratch directory, on the same file system as `upper`.
        work: PathBuf,
    },
    /// A read-only overlay of these trees, base first; with one tree, that tree itself.
    View {
        /// The layers' trees, base first. Never empty.
        lowers: Vec<PathBuf>,
    },
    /// A plain directory, to be used as it is.
    Dir(PathBuf),
}

/// Why a snapshot could not be made, kept or removed.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The id is no single path component.
    #[error("{0:?} cannot be a snapshot's id")]
    Id(String),
    /// There is one of that id.
    #[error("snapshot {0} exists")]
    Exists(String),
    /// A kernel call failed.
    #[error("snapshot {id}: {source}")]
    Call {
        /// The snapshot's id.
        id: String,
        /// The call.
        source: sys::Error,
    },
}

/// A way of giving a process a changeable tree over unchangeable ones.
pub trait Snapshotter: Send + Sync {
    /// A tree that shows `lowers` (base first; may be empty: an empty tree) and takes changes. `id` must be new.
    fn prepare(&self, id: &str, lowers: &[PathBuf]) -> Result<ActiveSnapshot, SnapshotError>;

    /// A tree that shows `lowers` (base first, at least one) and takes none. `id` must be new.
    fn view(&self, id: &str, lowers: &[PathBuf]) -> Result<View, SnapshotError>;

    /// Deletes a snapshot, whatever it holds; fine when there is none.
    fn remove(&self, id: &str) -> Result<(), SnapshotError>;
}

/// The snapshotter for what the probe said of overlay mounts, with its snapshots in `dir`.
pub fn for_overlay(overlay: &Overlay, dir: &Path) -> Box<dyn Snapshotter> {
    match overlay {
        Overlay::Native => Box::new(OverlaySnapshotter::new(dir)),
        Overlay::Refused(_) => Box::new(CopySnapshotter::new(dir)),
    }
}

/// A tree that takes changes. Dropped uncommitted, it is removed.
#[derive(Debug)]
pub struct ActiveSnapshot {
    folder: Folder,
    root_fs: RootFs,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Overlay,
    Copy(copy::Baseline),
}

/// A tree that shows layers and takes no changes; what was made for it goes when it is dropped.
#[derive(Debug)]
pub struct View {
    root_fs: RootFs,
    /// Only held for its end.
    _folder: Option<Folder>,
}

/// A kept change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    fs: PathBuf,
}

impl ActiveSnapshot {
    /// What to mount.
    pub fn root_fs(&self) -> &RootFs {
        &self.root_fs
    }

    /// The snapshot's own folder, for what belongs beside its tree.
    pub fn dir(&self) -> &Path {
        &self.folder.path
    }

    /// The table of owners that belongs beside its tree ([`crate::single_id::owner`]).
    pub fn owners(&self) -> PathBuf {
        self.folder.path.join(TABLE)
    }

    /// Leaves it as it is, to be mounted again and again: it is removed by [`Snapshotter::remove`] alone.
    pub fn keep(mut self) -> RootFs {
        self.folder.keep = true;
        self.root_fs.clone()
    }

    /// Keeps what changed. Nothing may have the tree mounted any more.
    pub fn commit(mut self) -> Result<Snapshot, SnapshotError> {
        let done = match &self.kind {
            Kind::Overlay => self.folder.root().and_then(|root| root.remove_all(overlay::WORK)),
            Kind::Copy(baseline) => copy::commit(&self.folder.path, baseline),
        };
        done.map_err(|source| self.folder.failed(source))?;
        self.folder.keep = true;
        Ok(Snapshot { fs: self.folder.path.join(FS) })
    }
}

impl View {
    /// What to mount.
    pub fn root_fs(&self) -> &RootFs {
        &self.root_fs
    }
}

impl Snapshot {
    /// The tree, in the form of an overlayfs upper directory.
    pub fn fs(&self) -> &Path {
        &self.fs
    }
}

/// The name of a snapshot's tree in its folder.
pub(crate) const FS: &str = "fs";

/// A snapshot's folder, which goes unless it is kept.
#[derive(Debug)]
struct Folder {
    snapshots: PathBuf,
    id: String,
    path: PathBuf,
    keep: bool,
}

impl Folder {
    fn create(snapshots: &Path, id: &str) -> Result<Self, SnapshotError> {
        check(id)?;
        let path = snapshots.join(id);
        let failed = |source| SnapshotError::Call { id: id.to_owned(), source };
        let root = Root::open(snapshots).map_err(failed)?;
        match root.mkdir(id, 0o700) {
            Ok(()) => Ok(Self { snapshots: snapshots.to_owned(), id: id.to_owned(), path, keep: false }),
            Err(error) if error.errno() == Errno::EXIST => Err(SnapshotError::Exists(id.to_owned())),
            Err(error) => Err(failed(error)),
        }
    }

    fn root(&self) -> sys::Result<Root> {
        Root::open(&self.path)
    }

    fn failed(&self, source: sys::Error) -> SnapshotError {
        SnapshotError::Call { id: self.id.clone(), source }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.keep {
            // What can't be removed now is litter that a prune finds.
            let _ = remove(&self.snapshots, &self.id);
        }
    }
}

fn remove(snapshots: &Path, id: &str) -> Result<(), SnapshotError> {
    check(id)?;
    let removed = Root::open(snapshots).and_then(|root| root.remove_all(id));
    removed.map_err(|source| SnapshotError::Call { id: id.to_owned(), source })
}

fn check(id: &str) -> Result<(), SnapshotError> {
    let bad = id.is_empty() || id.starts_with('.') || id.contains(['/', '\0']);
    if bad { Err(SnapshotError::Id(id.to_owned())) } else { Ok(()) }
}
