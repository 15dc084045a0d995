//! Taking away: rows first, then files.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use oci::Digest;
use store::{Blobs, LayerId, Store};
use sys::lock::Lock;

use super::mark::Marks;
use super::usage::{Files, disk_size};
use super::{GcError, PruneOptions, Pruned, compressed, elsewhere};
use crate::build::unix_now;
use crate::cache::key::Chain;
use crate::context::PARTIAL;
use crate::layers;

/// See [`super::prune`].
pub(super) fn prune(store: &Store, options: &PruneOptions) -> Result<Pruned, GcError> {
    let (lock, pins) = store.collect()?;
    if !options.dry_run {
        for name in &options.forget {
            store.index().remove_image(name).map_err(store::Error::from)?;
        }
    }
    let marks = Marks::read(store, pins, &options.forget)?;
    let mut pruned = Pruned::default();
    let before = options.until.map(|until| SystemTime::now().checked_sub(until).unwrap_or(SystemTime::UNIX_EPOCH));
    compressed::spare(store, &marks, options, &mut pruned)?;
    let kept = records(store, &marks, options, &mut pruned)?;
    let needed = marks.needed(kept.iter().map(|at| &marks.records[*at].1));
    let gone: Vec<LayerId> = marks.layers.keys().filter(|id| !needed.contains(id)).cloned().collect();
    pruned.layers += gone.len() as u64;
    let dead_parents: Vec<Digest> =
        marks.parents.iter().filter(|parent| !marks.of_images.contains(parent)).copied().collect();
    if !options.dry_run {
        store.index().remove_layers(&gone).map_err(store::Error::from)?;
        // What a live process has just made may get its name in a moment, and must have its edges then.
        if !marks.is_young(SystemTime::now()) {
            store.index().remove_edges(&dead_parents).map_err(store::Error::from)?;
        }
    }
    let seen = elsewhere::forget(store, &marks, &needed, &gone, options)?;
    elsewhere::downloads(store, &seen, options, &mut pruned)?;
    compressed::orphans(store, &marks, &seen, options, &mut pruned)?;
    trees(store, &marks, &needed, options, &mut pruned)?;
    blobs(store, &marks, &needed, options, &mut pruned)?;
    if !options.dry_run {
        let (_, bytes) = store.blobs().sweep_ingest().map_err(store::Error::from)?;
        pruned.bytes += bytes;
        locks(store)?;
        partial_stat_caches(store, &marks)?;
    }
    drop(lock);
    mounts(store, options, before, &mut pruned)?;
    if options.all {
        old_files(&marks, &store.layout().logs(), options, before, &mut pruned)?;
        old_files(&marks, &store.layout().stat(), options, before, &mut pruned)?;
    }
    Ok(pruned)
}

/// Chooses the records that stay, and forgets the others; gives the places of those that stay.
fn records(store: &Store, marks: &Marks, options: &PruneOptions, pruned: &mut Pruned) -> Result<Vec<usize>, GcError> {
    let limit = options.until.map_or(i64::MAX, |until| unix_now() - i64::try_from(until.as_secs()).unwrap_or(i64::MAX));
    let in_use = |chain: &Chain| chain.layers().any(|id| marks.is_pinned(id.as_str()));
    let is_dead = |chain: &Chain| chain.layers().any(|id| !marks.is_alive(id));
    let mut kept: Vec<usize> = Vec::new();
    let mut gone: Vec<Digest> = Vec::new();
    let mut budget = options.keep_storage.map(|_| Files::of(store).total());
    // Least recently used come first.
    for (at, (key, chain, used)) in marks.records.iter().enumerate() {
        let young = marks.is_young(SystemTime::UNIX_EPOCH + Duration::from_secs((*used).try_into().unwrap_or(0)));
        let over = match (budget, options.keep_storage) {
            (Some(size), Some(limit)) => size > limit,
            _ => options.all,
        };
        let old = *used <= limit;
        if is_dead(chain) || (over && old && !young && !in_use(chain)) {
            gone.push(*key);
            if let (Some(size), Some(last)) = (&mut budget, chain.layers().last())
                && !marks.is_of_image(last)
            {
                *size = size.saturating_sub(marks.layers.get(last).map_or(0, |(row, _)| row.size));
            }
        } else {
            kept.push(at);
        }
    }
    pruned.records += gone.len() as u64;
    if !options.dry_run {
        store.index().remove_records(&gone).map_err(store::Error::from)?;
    }
    Ok(kept)
}

fn io_at(call: &'static str, path: &Path) -> impl FnOnce(io::Error) -> GcError + use<> {
    let path = path.to_path_buf();
    move |source| GcError::Io { call, path, source }
}

/// What lies in a folder, by name.
fn list(folder: &Path) -> Result<Vec<(String, PathBuf)>, GcError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(io_at("read directory", folder))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(io_at("read directory", folder))?;
        found.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
    }
    Ok(found)
}

/// When something was last changed; now, where it is gone.
fn changed(path: &Path) -> SystemTime {
    fs::symlink_metadata(path).and_then(|metadata| metadata.modified()).unwrap_or_else(|_| SystemTime::now())
}

/// Removes trees, header records and splits whose layer is not needed, and those of which no row knows.
fn trees(
    store: &Store,
    marks: &Marks,
    needed: &HashSet<LayerId>,
    options: &PruneOptions,
    pruned: &mut Pruned,
) -> Result<(), GcError> {
    for (name, path) in list(&store.layout().snapshots())? {
        let id: Option<LayerId> = name.parse().ok();
        let has_tree = id
            .as_ref()
            .is_some_and(|id| needed.contains(id) && marks.layers.get(id).is_some_and(|(row, _)| row.tree.is_some()));
        let known = id.as_ref().is_some_and(|id| marks.layers.contains_key(id));
        if has_tree || marks.is_pinned(&name) || (!known && marks.is_young(changed(&path))) {
            continue;
        }
        if id.as_ref().is_some_and(|id| needed.contains(id)) && marks.is_young(changed(&path)) {
            // It is being unpacked.
            continue;
        }
        remove(&path, options, pruned)?;
    }
    let layout = store.layout();
    for (name, path) in list(&layout.tocs())?.into_iter().chain(list(&layout.splits())?) {
        let id: Option<LayerId> = name.parse().ok();
        if id.as_ref().is_some_and(|id| needed.contains(id)) || marks.is_pinned(&name) || marks.is_young(changed(&path))
        {
            continue;
        }
        pruned.bytes += disk_size(&path);
        if !options.dry_run {
            remove_file(&path)?;
        }
    }
    Ok(())
}

/// Removes a tree or a file that was made here, and counts it.
fn remove(path: &Path, options: &PruneOptions, pruned: &mut Pruned) -> Result<(), GcError> {
    pruned.bytes += disk_size(path);
    if !options.dry_run {
        layers::remove(path)?;
    }
    Ok(())
}

fn remove_file(path: &Path) -> Result<(), GcError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_at("unlink", path)(error)),
        _ => Ok(()),
    }
}

/// Removes blobs that no image, layer or (unless `all`) remembered compression needs.
fn blobs(
    store: &Store,
    marks: &Marks,
    needed: &HashSet<LayerId>,
    options: &PruneOptions,
    pruned: &mut Pruned,
) -> Result<(), GcError> {
    let mut wanted: HashSet<Digest> = HashSet::new();
    for (row, diff_id) in needed.iter().filter_map(|id| marks.layers.get(id)) {
        wanted.extend(row.blob.as_ref().map(|blob| blob.digest));
        if let Some(diff_id) = diff_id.filter(|_| !options.all) {
            let variants = store.index().forms(&oci::DiffId::new(diff_id)).map_err(store::Error::from)?;
            wanted.extend(variants.into_iter().map(|variant| variant.blob));
        }
    }
    let mut gone = Vec::new();
    for digest in store.blobs().digests().map_err(store::Error::from)? {
        if wanted.contains(&digest) || marks.of_images.contains(&digest) || marks.is_pinned(&digest.to_string()) {
            continue;
        }
        let modified = store.blobs().modified(&digest).map_err(store::Error::from)?;
        if modified.is_none_or(|modified| marks.is_young(modified)) {
            continue;
        }
        gone.push(digest);
    }
    if !options.dry_run {
        store.index().remove_variants(&gone).map_err(store::Error::from)?;
    }
    for digest in gone {
        let size = store.blobs().size(&digest).map_err(store::Error::from)?.unwrap_or(0);
        if options.dry_run || store.blobs().remove(&digest).map_err(store::Error::from)? {
            pruned.blobs += 1;
            pruned.bytes += size;
        }
    }
    Ok(())
}

/// Removes lock files that dead processes left; a lock removes its own when it is dropped.
fn locks(store: &Store) -> Result<(), GcError> {
    for (name, _) in list(&store.layout().locks())? {
        drop(store.try_lock_key(&name)?);
    }
    Ok(())
}

/// Removes the stat caches that dead processes left half written.
fn partial_stat_caches(store: &Store, marks: &Marks) -> Result<(), GcError> {
    for (name, path) in list(&store.layout().stat())? {
        if name.ends_with(&format!(".{PARTIAL}")) && !marks.is_young(changed(&path)) {
            remove_file(&path)?;
        }
    }
    Ok(())
}

/// Removes cache mounts that nobody uses, with `all`; what a dead process left half made, always.
fn mounts(
    store: &Store,
    options: &PruneOptions,
    before: Option<SystemTime>,
    pruned: &mut Pruned,
) -> Result<(), GcError> {
    for (name, home) in list(&store.layout().mounts())? {
        let Some(_making) = store.try_lock_key(&format!("mount-{name}"))? else { continue };
        let mut left = 0;
        for (entry, path) in list(&home)? {
            if entry.ends_with(".new") {
                remove(&path, options, pruned)?;
            } else if let Some(number) = entry.strip_suffix(".lock") {
                let old = before.is_none_or(|before| changed(&path) <= before);
                if !options.all || !old || !instance(&home, number, &path, options, pruned)? {
                    left += 1;
                }
            }
        }
        if left == 0 && options.all && !options.dry_run {
            // Not empty where something came meanwhile.
            drop(fs::remove_dir(&home));
        }
    }
    Ok(())
}

/// Removes one instance of a cache mount, unless somebody uses it.
fn instance(
    home: &Path,
    number: &str,
    lock: &Path,
    options: &PruneOptions,
    pruned: &mut Pruned,
) -> Result<bool, GcError> {
    let file = fs::OpenOptions::new().write(true).open(lock).map_err(io_at("open", lock))?;
    let Ok(_held) = Lock::try_exclusive(file)? else { return Ok(false) };
    pruned.mounts += 1;
    remove(&home.join(number), options, pruned)?;
    if !options.dry_run {
        remove_file(lock)?;
    }
    Ok(true)
}

/// Removes logs, or stat caches, that were last changed before a time, those of running builds aside.
fn old_files(
    marks: &Marks,
    folder: &Path,
    options: &PruneOptions,
    before: Option<SystemTime>,
    pruned: &mut Pruned,
) -> Result<(), GcError> {
    for (_, path) in list(folder)? {
        let changed = changed(&path);
        if marks.is_young(changed) || before.is_some_and(|before| changed > before) {
            continue;
        }
        remove(&path, options, pruned)?;
    }
    Ok(())
}
