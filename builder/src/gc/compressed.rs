//! Compressed forms of layers: the cheapest cache there is to lose, so they go first, those used longest ago before others.

use std::collections::HashSet;
use std::time::SystemTime;

use oci::Digest;
use store::Store;

use super::mark::Marks;
use super::usage::Files;
use super::{GcError, PruneOptions, Pruned};

/// What may go: all, those beyond a size, or those whose layer is gone.
enum Limit<'s> {
    All,
    Over(u64),
    NotOf(&'s HashSet<Digest>),
}

/// Removes what the options give up of forms that would still be of use.
pub(super) fn spare(store: &Store, marks: &Marks, options: &PruneOptions, pruned: &mut Pruned) -> Result<(), GcError> {
    match options.keep_storage {
        Some(limit) => sweep(store, marks, options, pruned, &Limit::Over(limit)),
        None if options.all => sweep(store, marks, options, pruned, &Limit::All),
        None => Ok(()),
    }
}

/// Removes the forms that are of no layer that stays.
pub(super) fn orphans(
    store: &Store,
    marks: &Marks,
    kept: &HashSet<Digest>,
    options: &PruneOptions,
    pruned: &mut Pruned,
) -> Result<(), GcError> {
    sweep(store, marks, options, pruned, &Limit::NotOf(kept))
}

fn sweep(
    store: &Store,
    marks: &Marks,
    options: &PruneOptions,
    pruned: &mut Pruned,
    limit: &Limit<'_>,
) -> Result<(), GcError> {
    let before = options.until.and_then(|until| SystemTime::now().checked_sub(until));
    let mut total = if matches!(limit, Limit::Over(_)) { Files::of(store).total() } else { 0 };
    for (digest, size, used) in store.compressed_forms()? {
        let goes = match limit {
            Limit::All => before.is_none_or(|before| used <= before),
            Limit::Over(most) => total > *most && before.is_none_or(|before| used <= before),
            Limit::NotOf(kept) => !kept.contains(&digest),
        };
        if !goes || marks.is_young(used) || marks.is_pinned(&digest.to_string()) {
            continue;
        }
        // A dry run meets those again that a real one has removed by the second sweep.
        let counted = options.dry_run && matches!(limit, Limit::NotOf(_)) && options.all;
        if counted || !options.dry_run && !store.remove_compressed(&digest)? {
            continue;
        }
        total = total.saturating_sub(size);
        pruned.bytes += size;
    }
    Ok(())
}
