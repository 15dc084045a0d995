//! How much there is of what.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use store::{Blobs, LayerId, Pins, Store};

use super::mark::Marks;
use super::{GcError, Usage, UsageRow};

/// Bytes on disk of everything at and below a path. Links are not followed; what cannot be read counts nothing.
pub(super) fn disk_size(path: &Path) -> u64 {
    let Ok(metadata) = fs::symlink_metadata(path) else { return 0 };
    let own = metadata.blocks() * 512;
    if !metadata.is_dir() {
        // A file with several names is counted once, at least in the mean.
        return own / metadata.nlink().max(1);
    }
    let below = fs::read_dir(path).into_iter().flatten().flatten();
    own + below.map(|entry| disk_size(&entry.path())).sum::<u64>()
}

/// Sizes of the store's folders.
pub(super) struct Files {
    blobs: u64,
    trees: u64,
    mounts: u64,
    logs: u64,
}

impl Files {
    /// Walks them.
    pub(super) fn of(store: &Store) -> Self {
        let layout = store.layout();
        Self {
            blobs: disk_size(&layout.blobs()) + disk_size(&layout.compressed()) + disk_size(&layout.downloads()),
            trees: disk_size(&layout.snapshots()) + disk_size(&layout.splits()),
            mounts: disk_size(&layout.mounts()),
            logs: disk_size(&layout.logs()),
        }
    }

    /// All together.
    pub(super) fn total(&self) -> u64 {
        self.blobs + self.trees + self.mounts + self.logs
    }
}

/// See [`super::usage`].
pub(super) fn usage(store: &Store) -> Result<Usage, GcError> {
    let marks = Marks::read(store, Pins::default(), &[])?;
    let needed = marks.needed(marks.records.iter().map(|(_, chain, _)| chain));
    let layer_size = |id: &LayerId| -> u64 {
        let blob = marks.layers.get(id).and_then(|(row, _)| row.blob.as_ref());
        disk_size(&store.layout().snapshot(id.as_str()))
            + disk_size(&store.layout().split(id))
            + blob.map_or(0, |blob| disk_size(&store.layout().blob(&blob.digest)))
    };
    let (mut of_images, mut of_nothing) = (0, disk_size(&store.layout().downloads()));
    // Compressed forms are cache, too: they are made again from their layers.
    let mut of_cache = disk_size(&store.layout().compressed());
    for id in marks.layers.keys() {
        match (marks.is_of_image(id), needed.contains(id)) {
            (true, _) => of_images += layer_size(id),
            (false, true) => of_cache += layer_size(id),
            (false, false) => of_nothing += layer_size(id),
        }
    }
    let of_layers: std::collections::HashSet<_> =
        marks.layers.values().filter_map(|(row, _)| Some(row.blob.as_ref()?.digest)).collect();
    for digest in
        store.blobs().digests().map_err(store::Error::from)?.into_iter().filter(|digest| !of_layers.contains(digest))
    {
        let size = disk_size(&store.layout().blob(&digest));
        if marks.of_images.contains(&digest) { of_images += size } else { of_nothing += size }
    }
    let images = store.index().images().map_err(store::Error::from)?;
    let mounts = fs::read_dir(store.layout().mounts()).into_iter().flatten().count() as u64;
    let logs = fs::read_dir(store.layout().logs()).into_iter().flatten().count() as u64;
    let (mounts_size, logs_size) = (disk_size(&store.layout().mounts()), disk_size(&store.layout().logs()));
    let records = marks.records.len() as u64;
    let row = |kind: &str, total, active, size, reclaimable| UsageRow {
        kind: kind.to_owned(),
        total,
        active,
        size,
        reclaimable,
    };
    Ok(Usage {
        rows: vec![
            row("Images", images.len() as u64, images.len() as u64, of_images + of_nothing, of_nothing),
            row("Build cache", records, records, of_cache, of_cache),
            row("Cache mounts", mounts, 0, mounts_size, if mounts == 0 { 0 } else { mounts_size }),
            row("Logs", logs, 0, logs_size, if logs == 0 { 0 } else { logs_size }),
        ],
    })
}
