//! Taking away: rows first, then files.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use oci::Digest;
use store::{Blobs, LayerId, Pins, Store};

use super::candidates::{self, Chosen};
use super::mark::Marks;
use super::usage::disk_size;
use super::{GcError, PruneOptions, Pruned, compressed, elsewhere, mounts, seconds};
use crate::cache::key::Chain;
use crate::context::PARTIAL;
use crate::layers;

/// See [`super::prune`].
pub(super) fn prune(store: &Store, options: &PruneOptions) -> Result<Pruned, GcError> {
    if !options.is_sized() {
        return pass(store, options);
    }
    // What nothing needs goes first, so that no more of the rest is given up than must be.
    let litter = PruneOptions { forget: options.forget.clone(), dry_run: options.dry_run, ..PruneOptions::default() };
    let mut pruned = pass(store, &litter)?;
    let more = pass(store, options)?;
    if options.dry_run {
        // The second pass met the litter again.
        return Ok(more);
    }
    pruned.records += more.records;
    pruned.layers += more.layers;
    pruned.blobs += more.blobs;
    pruned.mounts += more.mounts;
    pruned.bytes += more.bytes;
    Ok(pruned)
}

fn pass(store: &Store, options: &PruneOptions) -> Result<Pruned, GcError> {
    let (lock, pins) = store.collect()?;
    let mut forget = options.forget.clone();
    if options.unnamed {
        forget.extend(unnamed(store, &pins)?);
    }
    if !options.dry_run {
        for name in &forget {
            store.index().remove_image(name).map_err(store::Error::from)?;
        }
    }
    let marks = Marks::read(store, pins, &forget)?;
    let mut pruned = Pruned::default();
    let chosen = candidates::choose(store, &marks, options)?;
    let kept = records(store, &marks, &chosen, options, &mut pruned)?;
    let needed = marks.needed(kept.iter().map(|at| &marks.records[*at].1));
    let gone: Vec<LayerId> = marks.layers.keys().filter(|id| !needed.contains(id)).cloned().collect();
    pruned.layers += gone.len() as u64;
    let dead_parents: Vec<Digest> =
        marks.children.keys().filter(|parent| !marks.of_images.contains(parent)).copied().collect();
    if !options.dry_run {
        store.index().remove_layers(&gone).map_err(store::Error::from)?;
        // What a live process has just made may get its name in a moment, and must have its edges then.
        if !marks.is_young(SystemTime::now()) {
            store.index().remove_edges(&dead_parents).map_err(store::Error::from)?;
        }
    }
    let seen = elsewhere::forget(store, &marks, &needed, &gone, options)?;
    elsewhere::downloads(store, &seen, &chosen, options, &mut pruned)?;
    compressed::sweep(store, &marks, &chosen, &seen, options, &mut pruned)?;
    trees(store, &marks, &needed, options, &mut pruned)?;
    blobs(store, &marks, &needed, &chosen, options, &mut pruned)?;
    if !options.dry_run {
        let (_, bytes) = store.blobs().sweep_ingest().map_err(store::Error::from)?;
        pruned.bytes += bytes;
        locks(store)?;
        partial_stat_caches(store, &marks)?;
    }
    files(store, &chosen, options, &mut pruned)?;
    drop(lock);
    mounts::sweep(store, &chosen, options, &mut pruned)?;
    Ok(pruned)
}

/// Images without a name, but those that a live process may be about to use.
fn unnamed(store: &Store, pins: &Pins) -> Result<Vec<String>, GcError> {
    let oldest = pins.oldest.map_or(i64::MAX, |oldest| seconds(oldest) - 1);
    let rows = store.index().images().map_err(store::Error::from)?.into_iter();
    let is_unnamed = |name: &str| name.parse::<Digest>().is_ok();
    Ok(rows.filter(|row| is_unnamed(&row.name) && row.created < oldest).map(|row| row.name).collect())
}

/// Forgets the records that are given up, and those of layers that are gone; gives the places of those that stay.
fn records(
    store: &Store,
    marks: &Marks,
    chosen: &Chosen,
    options: &PruneOptions,
    pruned: &mut Pruned,
) -> Result<Vec<usize>, GcError> {
    let is_dead = |chain: &Chain| chain.layers().any(|id| !marks.is_alive(id));
    let (mut kept, mut keys, mut gone) = (Vec::new(), HashSet::new(), Vec::new());
    for (at, (key, chain, _)) in marks.records.iter().enumerate() {
        if is_dead(chain) || chosen.records.contains(&at) {
            gone.push(*key);
        } else {
            kept.push(at);
            keys.insert(key.hex());
        }
    }
    pruned.records += gone.len() as u64;
    if !options.dry_run {
        store.index().remove_records(&gone).map_err(store::Error::from)?;
        for (_, path) in marks.use_marks.iter().filter(|(name, _)| !keys.contains(name)) {
            remove_file(path)?;
        }
    }
    Ok(kept)
}

pub(super) fn io_at(call: &'static str, path: &Path) -> impl FnOnce(io::Error) -> GcError + use<> {
    let path = path.to_path_buf();
    move |source| GcError::Io { call, path, source }
}

/// What lies in a folder, by name.
pub(super) fn list(folder: &Path) -> Result<Vec<(String, PathBuf)>, GcError> {
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
pub(super) fn changed(path: &Path) -> SystemTime {
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
pub(super) fn remove(path: &Path, options: &PruneOptions, pruned: &mut Pruned) -> Result<(), GcError> {
    pruned.bytes += disk_size(path);
    if !options.dry_run {
        layers::remove(path)?;
    }
    Ok(())
}

pub(super) fn remove_file(path: &Path) -> Result<(), GcError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_at("unlink", path)(error)),
        _ => Ok(()),
    }
}

/// Removes blobs that no image, layer or remembered form (unless it is given up) needs.
fn blobs(
    store: &Store,
    marks: &Marks,
    needed: &HashSet<LayerId>,
    chosen: &Chosen,
    options: &PruneOptions,
    pruned: &mut Pruned,
) -> Result<(), GcError> {
    let mut wanted: HashSet<Digest> = HashSet::new();
    for (row, diff_id) in needed.iter().filter_map(|id| marks.layers.get(id)) {
        wanted.extend(row.blob.as_ref().map(|blob| blob.digest));
        if let Some(diff_id) = diff_id {
            let variants = store.index().forms(&oci::DiffId::new(*diff_id)).map_err(store::Error::from)?;
            wanted.extend(variants.into_iter().map(|variant| variant.blob).filter(|blob| !chosen.blobs.contains(blob)));
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

/// Removes logs, stat caches, repositories and contexts that are given up. Who makes one of the latter two, or works in a
/// repository, holds the lock of its name; who reads a context has pinned it, and pins wait for the collector's lock.
fn files(store: &Store, chosen: &Chosen, options: &PruneOptions, pruned: &mut Pruned) -> Result<(), GcError> {
    let layout = store.layout();
    let locked = [(layout.root().join("git"), "git"), (layout.root().join("contexts"), "context")];
    for path in chosen.paths.iter().filter(|path| !path.starts_with(layout.downloads())) {
        let kind = locked.iter().find(|(folder, _)| path.starts_with(folder)).map(|(_, kind)| kind);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let held = kind.map(|kind| store.try_lock_key(&format!("{kind}-{name}"))).transpose()?;
        if matches!(held, Some(None)) {
            continue;
        }
        remove(path, options, pruned)?;
    }
    Ok(())
}
