//! What the store knows of registries: compressed forms, where blobs were seen, and downloads that never ended.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use oci::{DiffId, Digest};
use store::{LayerId, Store};

use super::candidates::Chosen;
use super::mark::Marks;
use super::{GcError, PruneOptions, Pruned};

/// A download that nobody went on with for so long is given up.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// Forgets the compressed forms of layers that go, and where blobs were seen that nothing names any more. Gives the
/// compressed forms of the layers that stay.
pub(super) fn forget(
    store: &Store,
    marks: &Marks,
    needed: &HashSet<LayerId>,
    gone: &[LayerId],
    options: &PruneOptions,
) -> Result<HashSet<Digest>, GcError> {
    let index = store.index();
    let forms = |id: &LayerId| -> Result<Vec<Digest>, GcError> {
        let Some((_, Some(diff_id))) = marks.layers.get(id) else { return Ok(Vec::new()) };
        let variants = index.forms(&DiffId::new(*diff_id)).map_err(store::Error::from)?;
        Ok(variants.into_iter().map(|variant| variant.blob).collect())
    };
    let mut kept: HashSet<Digest> = HashSet::new();
    for id in needed {
        kept.extend(forms(id)?);
    }
    let mut lost = Vec::new();
    for id in gone {
        lost.extend(forms(id)?.into_iter().filter(|blob| !kept.contains(blob)));
    }
    let seen = index.blobs_with_origins().map_err(store::Error::from)?.into_iter();
    let unnamed: Vec<Digest> = seen.filter(|blob| !kept.contains(blob) && !marks.of_images.contains(blob)).collect();
    // A pull at work may have seen them a moment ago.
    if !options.dry_run && !marks.is_young(SystemTime::now()) {
        index.remove_variants(&lost).map_err(store::Error::from)?;
        index.remove_origins(&unnamed).map_err(store::Error::from)?;
    }
    Ok(kept)
}

/// Removes downloads that no process is at: old ones, those that are given up, and those whose layer is there.
pub(super) fn downloads(
    store: &Store,
    there: &HashSet<Digest>,
    chosen: &Chosen,
    options: &PruneOptions,
    pruned: &mut Pruned,
) -> Result<(), GcError> {
    for (download, changed) in store.idle_downloads()? {
        let old = chosen.paths.contains(download.path()) || changed.elapsed().is_ok_and(|age| age >= ABANDONED);
        let useless = download.digest().is_none_or(|digest| there.contains(&digest));
        if old || useless {
            pruned.bytes += download.len();
            if !options.dry_run {
                download.remove()?;
            }
        }
    }
    Ok(())
}
