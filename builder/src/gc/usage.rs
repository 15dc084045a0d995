//! How much there is of what: every byte on disk once, so that the rows add up to what `du` says.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use oci::Digest;
use store::{Blobs, LayerId, Meter, Store};
use sys::lock::Lock;

use super::mark::Marks;
use super::sweep::{changed, list};
use super::{GcError, Usage, UsageItem, UsageRow, seconds};

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

/// See [`super::usage`].
pub(super) fn usage(store: &Store) -> Result<Usage, GcError> {
    let marks = Marks::read(store, store.pins()?, &[])?;
    let mut ledger = Sums { store, marks: &marks, meter: Meter::new(), rows: Vec::new(), items: Vec::new() };
    ledger.results()?;
    ledger.mounts()?;
    ledger.containers()?;
    let layout = store.layout();
    ledger.folder("Volumes", &layout.root().join("volumes"), false)?;
    ledger.folder("Logs", &layout.logs(), true)?;
    ledger.folder("Git repositories", &layout.root().join("git"), false)?;
    ledger.folder("Build contexts", &layout.root().join("contexts"), false)?;
    ledger.folder("Downloads", &layout.downloads(), false)?;
    let counted: u64 = ledger.rows.iter().map(|row| row.size).sum();
    let rest = store.room().measure().saturating_sub(counted);
    // The index, stat caches, partial writes, the folders themselves.
    ledger.rows.push(UsageRow { kind: "Other".to_owned(), size: rest, ..UsageRow::default() });
    let limit = store.room().limit().map_err(store::Error::from)?;
    Ok(Usage { rows: ledger.rows, items: ledger.items, limit })
}

struct Sums<'s> {
    store: &'s Store,
    marks: &'s Marks,
    meter: Meter,
    rows: Vec<UsageRow>,
    items: Vec<UsageItem>,
}

impl Sums<'_> {
    fn row(&mut self, kind: &str, total: u64, active: u64, size: u64, reclaimable: u64) {
        self.rows.push(UsageRow { kind: kind.to_owned(), total, active, size, reclaimable });
    }

    /// Images, the build cache, and compressed forms, which are cache too.
    fn results(&mut self) -> Result<(), GcError> {
        let (marks, index) = (self.marks, self.store.index());
        let needed = marks.needed(marks.records.iter().map(|(_, chain, _)| chain));
        let sizes: HashMap<&LayerId, u64> = marks.layers.keys().map(|id| (id, self.layer(id))).collect();
        let (mut of_images, mut of_cache, mut of_nothing, mut of_live) = (0, 0, 0, 0);
        for (id, size) in &sizes {
            match (marks.is_of_image(id), needed.contains(*id)) {
                (true, _) => of_images += size,
                (false, true) => of_cache += size,
                (false, false) => of_nothing += size,
            }
            if marks.is_pinned(id.as_str()) && !marks.is_of_image(id) {
                of_live += size;
            }
        }
        let variants = self.variants(&needed)?;
        let of_layers: HashSet<Digest> =
            marks.layers.values().filter_map(|(row, _)| Some(row.blob.as_ref()?.digest)).collect();
        for digest in self.store.blobs().digests().map_err(store::Error::from)? {
            if of_layers.contains(&digest) {
                continue;
            }
            let size = self.meter.measure(&self.store.layout().blob(&digest));
            match (marks.of_images.contains(&digest), variants.contains(&digest)) {
                (true, _) => of_images += size,
                (false, true) => of_cache += size,
                (false, false) => of_nothing += size,
            }
        }
        let images = index.images().map_err(store::Error::from)?;
        for row in &images {
            self.image(&row.name, &row.manifest, row.created, &sizes)?;
        }
        let active = marks.records.iter().filter(|(_, chain, _)| marks.uses(chain)).count() as u64;
        let users = users(marks);
        for (key, chain, used) in &marks.records {
            let size_of = |wanted: &dyn Fn(&LayerId) -> bool| -> u64 {
                chain.layers().filter(|id| wanted(id)).map(|id| sizes.get(id).copied().unwrap_or(0)).sum()
            };
            let shared = size_of(&|id| marks.is_of_image(id) || users.get(id).copied().unwrap_or(0) > 1);
            let in_use = marks.uses(chain);
            self.item("Build cache", key.to_string(), size_of(&|_| true), shared, Some(*used), in_use);
        }
        self.row("Images", images.len() as u64, images.len() as u64, of_images + of_nothing, of_nothing);
        self.row("Build cache", marks.records.len() as u64, active, of_cache, of_cache.saturating_sub(of_live));
        let forms = self.store.compressed_forms()?;
        let paths = forms.iter().map(|(digest, ..)| self.store.layout().compressed_blob(digest));
        let size: u64 = paths.collect::<Vec<_>>().iter().map(|path| self.meter.measure(path)).sum();
        if !forms.is_empty() {
            self.row("Compressed layers", forms.len() as u64, 0, size, size);
        }
        for (digest, size, used) in forms {
            self.item("Compressed layers", digest.to_string(), size, 0, Some(seconds(used)), false);
        }
        Ok(())
    }

    /// Containers: what each changed of its tree, and its own folder. What keeps one is what ends with it.
    fn containers(&mut self) -> Result<(), GcError> {
        let layout = self.store.layout().clone();
        let (mut total, mut active, mut size, mut idle) = (0, 0, 0, 0);
        for (id, pin) in list(&layout.pins())? {
            if id.starts_with('.') {
                continue;
            }
            let folder = layout.root().join("containers").join(&id);
            let own = [layout.snapshot(&id), folder.clone()].iter().map(|path| self.meter.measure(path)).sum::<u64>();
            // Who runs it holds its lock.
            let in_use = is_locked(&folder.join("lock"));
            (total, size) = (total + 1, size + own);
            if in_use {
                active += 1;
            } else {
                idle += own;
            }
            self.item("Containers", id, own, 0, Some(seconds(changed(&pin))), in_use);
        }
        if total > 0 {
            self.row("Containers", total, active, size, idle);
        }
        Ok(())
    }

    /// What a layer takes in all its forms but compressed ones.
    fn layer(&mut self, id: &LayerId) -> u64 {
        let layout = self.store.layout();
        let blob = self.marks.layers.get(id).and_then(|(row, _)| row.blob.as_ref());
        let blob = blob.map(|blob| layout.blob(&blob.digest));
        let paths = [layout.snapshot(id.as_str()), layout.toc(id), layout.split(id)];
        paths.iter().chain(&blob).map(|path| self.meter.measure(path)).sum()
    }

    /// Uncompressed forms of compressed layers.
    fn variants(&self, needed: &HashSet<LayerId>) -> Result<HashSet<Digest>, GcError> {
        let mut variants = HashSet::new();
        for (_, diff_id) in needed.iter().filter_map(|id| self.marks.layers.get(id)) {
            if let Some(diff_id) = diff_id {
                let known = self.store.index().forms(&oci::DiffId::new(*diff_id)).map_err(store::Error::from)?;
                variants.extend(known.into_iter().map(|variant| variant.blob));
            }
        }
        Ok(variants)
    }

    /// One image: its layers, of which others are shared with it.
    fn image(
        &mut self,
        name: &str,
        manifest: &Digest,
        created: i64,
        sizes: &HashMap<&LayerId, u64>,
    ) -> Result<(), GcError> {
        let own = self.marks.reachable([*manifest]);
        let rows = self.store.index().images().map_err(store::Error::from)?.into_iter();
        let others = self.marks.reachable(rows.filter(|row| row.manifest != *manifest).map(|row| row.manifest));
        let (mut size, mut shared) = (0, 0);
        for (id, bytes) in sizes {
            if self.marks.is_within(id, &own) {
                size += bytes;
                shared += if self.marks.is_within(id, &others) { *bytes } else { 0 };
            }
        }
        self.item("Images", name.to_owned(), size, shared, Some(created), false);
        Ok(())
    }

    fn item(&mut self, kind: &str, name: String, size: u64, shared: u64, used: Option<i64>, in_use: bool) {
        self.items.push(UsageItem { kind: kind.to_owned(), name, size, shared, used, in_use });
    }

    /// Cache mounts: one a line, with all their instances.
    fn mounts(&mut self) -> Result<(), GcError> {
        let (mut total, mut active, mut size, mut idle) = (0, 0, 0, 0);
        for (name, home) in list(&self.store.layout().mounts())? {
            let bytes = self.meter.measure(&home);
            let locks: Vec<PathBuf> =
                list(&home)?.into_iter().filter_map(|(entry, path)| entry.ends_with(".lock").then_some(path)).collect();
            let in_use = locks.iter().any(|lock| is_locked(lock));
            let id = fs::read_to_string(home.join("id")).unwrap_or(name);
            let used = locks.iter().map(|lock| seconds(changed(lock))).max();
            self.item("Cache mounts", id, bytes, 0, used, in_use);
            total += 1;
            active += u64::from(in_use);
            size += bytes;
            idle += if in_use { 0 } else { bytes };
        }
        self.row("Cache mounts", total, active, size, idle);
        Ok(())
    }

    /// A folder of things that go one by one; without `always`, it has no row while it is empty.
    fn folder(&mut self, kind: &str, folder: &Path, always: bool) -> Result<(), GcError> {
        let (mut total, mut reclaimable) = (0, 0);
        for (name, path) in list(folder)? {
            let bytes = self.meter.measure(&path);
            self.item(kind, name, bytes, 0, Some(seconds(changed(&path))), false);
            total += 1;
            reclaimable += bytes;
        }
        if always || total > 0 {
            self.row(kind, total, 0, reclaimable, reclaimable);
        }
        Ok(())
    }
}

/// How many records name each layer.
fn users(marks: &Marks) -> HashMap<&LayerId, usize> {
    let mut users = HashMap::new();
    for (_, chain, _) in &marks.records {
        for id in chain.layers() {
            *users.entry(id).or_default() += 1;
        }
    }
    users
}

fn is_locked(lock: &Path) -> bool {
    let Ok(file) = fs::OpenOptions::new().write(true).open(lock) else { return false };
    Lock::try_exclusive(file).is_ok_and(|taken| taken.is_err())
}
