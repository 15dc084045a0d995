//! Cache mounts: instances that are given up, and what dead processes left half made.

use std::fs;
use std::path::Path;

use store::Store;
use sys::lock::Lock;

use super::candidates::Chosen;
use super::sweep::{io_at, list, remove, remove_file};
use super::{GcError, PruneOptions, Pruned};

/// What lies beside instances while one is made or replaced.
const PARTIAL: [&str; 2] = [".new", ".old"];

/// Removes instances that are given up and that nobody uses.
pub(super) fn sweep(
    store: &Store,
    chosen: &Chosen,
    options: &PruneOptions,
    pruned: &mut Pruned,
) -> Result<(), GcError> {
    for (name, home) in list(&store.layout().mounts())? {
        let Some(_making) = store.try_lock_key(&format!("mount-{name}"))? else { continue };
        let (mut left, mut gone) = (0, 0);
        for (entry, path) in list(&home)? {
            if PARTIAL.iter().any(|end| entry.ends_with(end)) {
                remove(&path, options, pruned)?;
            } else if let Some(number) = entry.strip_suffix(".lock") {
                let instance = home.join(number);
                if chosen.mounts.contains(&instance) && take(&instance, &path, options, pruned)? {
                    gone += 1;
                } else {
                    left += 1;
                }
            }
        }
        if left == 0 && gone > 0 && !options.dry_run {
            remove_file(&home.join("id"))?;
            // Not empty where something came meanwhile.
            drop(fs::remove_dir(&home));
        }
    }
    Ok(())
}

/// Removes one instance, unless somebody uses it.
fn take(instance: &Path, lock: &Path, options: &PruneOptions, pruned: &mut Pruned) -> Result<bool, GcError> {
    let file = fs::OpenOptions::new().write(true).open(lock).map_err(io_at("open", lock))?;
    let Ok(_held) = Lock::try_exclusive(file)? else { return Ok(false) };
    pruned.mounts += 1;
    remove(instance, options, pruned)?;
    if !options.dry_run {
        remove_file(&instance.with_extension("state"))?;
        remove_file(lock)?;
    }
    Ok(true)
}
