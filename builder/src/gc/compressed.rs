//! Compressed forms of layers: a cache that is made again from the layers themselves.

use std::collections::HashSet;

use oci::Digest;
use store::Store;

use super::candidates::Chosen;
use super::mark::Marks;
use super::{GcError, PruneOptions, Pruned};

/// Removes the forms that are given up, and those of layers that do not stay.
pub(super) fn sweep(
    store: &Store,
    marks: &Marks,
    chosen: &Chosen,
    kept: &HashSet<Digest>,
    options: &PruneOptions,
    pruned: &mut Pruned,
) -> Result<(), GcError> {
    for (digest, size, used) in store.compressed_forms()? {
        let goes = chosen.compressed.contains(&digest) || !kept.contains(&digest);
        if !goes || marks.is_young(used) || marks.is_pinned(&digest.to_string()) {
            continue;
        }
        if options.dry_run || store.remove_compressed(&digest)? {
            pruned.bytes += size;
        }
    }
    Ok(())
}
