//! File trees in layers: preparing one to be changed, keeping the change.
//!
//! # The story
//!
//! A *snapshot* is what one step changed, kept under `<snapshots>/<id>/fs` as an overlayfs upper directory is: the
//! changed files, a character device 0:0 where a name was deleted, `user.overlay.opaque=y` on a directory that hides
//! what lies below it. Whichever [`Snapshotter`] made it, that is its form.
//!
//! 1. [`Snapshotter::prepare`] takes a new id and the `fs` directories of the parents, **base first**, and gives an
//!    [`ActiveSnapshot`]: a place that shows the parents' files and takes changes.
//! 2. Someone mounts its [`RootFs`], and runs a process in it.
//! 3. [`ActiveSnapshot::commit`] consumes it: what changed is now in [`Snapshot::fs`]. Nobody changes it any more.
//!    Dropping an active snapshot instead removes it.
//! 4. [`Snapshotter::remove`] deletes a snapshot that nothing names.
//!
//! Nothing here is synced to disk.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

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

    /// A tree that shows `lowers` (base first, at least one) and takes none.
    fn view(&self, id: &str, lowers: &[PathBuf]) -> Result<View, SnapshotError>;

    /// Deletes a snapshot, whatever it holds; fine when there is none.
    fn remove(&self, id: &str) -> Result<(), SnapshotError>;
}

/// A tree that takes changes. Dropped uncommitted, it is removed.
#[derive(Debug)]
pub struct ActiveSnapshot {
    dir: PathBuf,
    root_fs: RootFs,
}

/// A tree that shows layers and takes no changes; what was made for it goes when it is dropped.
#[derive(Debug)]
pub struct View {
    root_fs: RootFs,
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
        &self.dir
    }

    /// Keeps what changed. Nothing may have the tree mounted any more.
    pub fn commit(self) -> Result<Snapshot, SnapshotError> {
        todo!()
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
