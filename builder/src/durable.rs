//! Trees that a power cut must not cost: brought to the disk, and called synced.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use store::{LayerId, Store};

/// With more files than this, the whole file system is synced in one call.
const MAX_FSYNCS: usize = 64;

/// Why trees are not on the disk.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DurableError {
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A file or directory.
    #[error("{call} {path}: {source}")]
    Io {
        /// The call.
        call: &'static str,
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Syncs the trees of these layers, with their records and splits, unless they are synced; then says so in their rows.
/// Layers that are gone, or whose tree is of another boot, are passed over.
pub(crate) fn sync_trees(store: &Store, ids: &[LayerId]) -> Result<(), DurableError> {
    let boot = store::boot_id().map_err(store::Error::from)?;
    let mut open = Vec::new();
    for id in ids {
        let row = store.index().layer(id).map_err(store::Error::from)?;
        let unsynced = row.and_then(|row| row.tree).is_some_and(|tree| tree.boot.as_ref() == Some(&boot));
        if unsynced {
            open.push(id.clone());
        }
    }
    if open.is_empty() {
        return Ok(());
    }
    let trees: Vec<PathBuf> = open.iter().map(|id| store.layout().snapshot(id.as_str())).collect();
    match few(&trees) {
        Some(paths) => {
            for path in &paths {
                sync_one(path)?;
            }
            sync_one(&store.layout().snapshots())?;
        }
        None => sync_all(&store.layout().snapshots())?,
    }
    let with_record: Vec<LayerId> = open.iter().filter(|id| store.layout().toc(id).exists()).cloned().collect();
    if !with_record.is_empty() {
        store.sync_tocs(&with_record)?;
    }
    store.sync_splits(&open)?;
    Ok(store.index().set_layers_synced(&open).map_err(store::Error::from)?)
}

/// The files and directories of these trees, children first; `None` where they are many, or of others.
fn few(trees: &[PathBuf]) -> Option<Vec<PathBuf>> {
    let mut found = Vec::new();
    for tree in trees {
        collect(tree, &mut found).ok()?;
    }
    (found.len() <= MAX_FSYNCS).then_some(found)
}

fn collect(dir: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if found.len() > MAX_FSYNCS {
            return Ok(());
        }
        if kind.is_dir() {
            collect(&entry.path(), found)?;
        } else if kind.is_file() {
            // It must be one that we may open.
            File::open(entry.path())?;
            found.push(entry.path());
        }
    }
    found.push(dir.to_path_buf());
    Ok(())
}

fn sync_one(path: &Path) -> Result<(), DurableError> {
    let no_follow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0);
    let mut how = OpenOptions::new();
    let opened = how.read(true).custom_flags(no_follow).open(path);
    opened.and_then(|file| file.sync_all()).map_err(io_at("fsync", path))
}

fn sync_all(dir: &Path) -> Result<(), DurableError> {
    let file = File::open(dir).map_err(io_at("open", dir))?;
    rustix::fs::syncfs(&file).map_err(|error| io_at("syncfs", dir)(error.into()))
}

fn io_at(call: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DurableError + use<> {
    let path = path.to_path_buf();
    move |source| DurableError::Io { call, path, source }
}
