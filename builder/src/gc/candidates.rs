//! What may go although it is of use: results, forms of layers, cache mounts, repositories, contexts, logs.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use oci::Digest;
use store::{Blobs, LayerId, Meter, Store};

use super::mark::Marks;
use super::sweep::{changed, list};
use super::{GcError, PruneOptions, lru, seconds};
use crate::build::unix_now;
use crate::cache::key::Chain;

/// What is given up.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    /// Places in [`Marks::records`].
    pub(super) records: HashSet<usize>,
    /// Compressed forms.
    pub(super) compressed: HashSet<Digest>,
    /// Uncompressed forms of compressed layers.
    pub(super) blobs: HashSet<Digest>,
    /// Instances of cache mounts, by their folder.
    pub(super) mounts: HashSet<PathBuf>,
    /// Logs, stat caches, repositories, contexts, downloads.
    pub(super) paths: HashSet<PathBuf>,
}

enum Thing {
    Record(usize),
    Compressed(Digest, u64),
    Blob(Digest),
    Mount(PathBuf),
    Path(PathBuf),
}

/// Names of kinds, as `--filter type=` has them: docker's words where it has one.
pub(super) const KINDS: [&str; 7] =
    ["regular", "exec.cachemount", "source.local", "source.git.checkout", "internal", "logs", "downloads"];

/// Chooses: everything that is old enough with `all`, as much as is needed where a size is wanted, else nothing.
pub(super) fn choose(store: &Store, marks: &Marks, options: &PruneOptions) -> Result<Chosen, GcError> {
    let is_sized = options.is_sized();
    if !is_sized && !options.all {
        return Ok(Chosen::default());
    }
    let mut things = Vec::new();
    let cutoff =
        options.until.map_or(i64::MAX, |until| unix_now() - i64::try_from(until.as_secs()).unwrap_or(i64::MAX));
    let wants = |kind: &str| options.kinds.is_empty() || options.kinds.iter().any(|wanted| wanted == kind);
    let mut add = |kind: &str, used: i64, thing: Thing| {
        if wants(kind) && used <= cutoff && !marks.is_young(SystemTime::UNIX_EPOCH + span(used)) {
            things.push((used, thing));
        }
    };
    results(store, marks, &mut add)?;
    mounts(store, options, &mut add)?;
    let layout = store.layout();
    let folders = [
        ("logs", layout.logs()),
        ("internal", layout.stat()),
        ("source.git.checkout", layout.root().join("git")),
        ("source.local", layout.root().join("contexts")),
    ];
    for (kind, folder) in folders {
        for (name, path) in list(&folder)? {
            if !marks.is_pinned(&name) {
                add(kind, seconds(changed(&path)), Thing::Path(path));
            }
        }
    }
    for (download, changed) in store.idle_downloads()? {
        add("downloads", seconds(changed), Thing::Path(download.path().to_path_buf()));
    }
    let mut costs = Costs::new(store, marks);
    let chosen = if is_sized {
        let total = store.room().measure();
        let free = rustix::fs::statvfs(store.root()).map_or(u64::MAX, |stat| stat.f_bavail * stat.f_frsize);
        let target = lru::target(total, free, options).unwrap_or(total);
        lru::choose(things, total.saturating_sub(target), |thing| costs.of(thing))
    } else {
        things.into_iter().map(|(_, thing)| thing).collect()
    };
    Ok(Chosen::of(chosen))
}

fn span(seconds: i64) -> Duration {
    Duration::from_secs(seconds.try_into().unwrap_or(0))
}

/// Records, compressed forms, and uncompressed forms of what is there compressed.
fn results(store: &Store, marks: &Marks, add: &mut dyn FnMut(&str, i64, Thing)) -> Result<(), GcError> {
    for (at, (_, chain, used)) in marks.records.iter().enumerate() {
        if !marks.uses(chain) && chain.layers().all(|id| marks.is_alive(id)) {
            add("regular", *used, Thing::Record(at));
        }
    }
    for (digest, size, used) in store.compressed_forms()? {
        if !marks.is_pinned(&digest.to_string()) {
            add("regular", seconds(used), Thing::Compressed(digest, size));
        }
    }
    let of_layers: HashSet<Digest> =
        marks.layers.values().filter_map(|(row, _)| Some(row.blob.as_ref()?.digest)).collect();
    for digest in store.blobs().digests().map_err(store::Error::from)? {
        if of_layers.contains(&digest) || marks.of_images.contains(&digest) || marks.is_pinned(&digest.to_string()) {
            continue;
        }
        if let Some(modified) = store.blobs().modified(&digest).map_err(store::Error::from)? {
            add("regular", seconds(modified), Thing::Blob(digest));
        }
    }
    Ok(())
}

/// Instances of cache mounts; the time of its lock file is when one was last used.
fn mounts(store: &Store, options: &PruneOptions, add: &mut dyn FnMut(&str, i64, Thing)) -> Result<(), GcError> {
    let named: HashSet<PathBuf> = options.mounts.iter().map(|id| store.layout().cache_mount(id)).collect();
    for (_, home) in list(&store.layout().mounts())? {
        if !named.is_empty() && !named.contains(&home) {
            continue;
        }
        for (entry, lock) in list(&home)? {
            if let Some(number) = entry.strip_suffix(".lock") {
                add("exec.cachemount", seconds(changed(&lock)), Thing::Mount(home.join(number)));
            }
        }
    }
    Ok(())
}

impl Chosen {
    fn of(things: Vec<Thing>) -> Self {
        let mut chosen = Self::default();
        for thing in things {
            match thing {
                Thing::Record(at) => drop(chosen.records.insert(at)),
                Thing::Compressed(digest, _) => drop(chosen.compressed.insert(digest)),
                Thing::Blob(digest) => drop(chosen.blobs.insert(digest)),
                Thing::Mount(path) => drop(chosen.mounts.insert(path)),
                Thing::Path(path) => drop(chosen.paths.insert(path)),
            }
        }
        chosen
    }
}

/// What things take on disk, and what a record frees: the layers that nothing else needs.
struct Costs<'c> {
    store: &'c Store,
    marks: &'c Marks,
    meter: Meter,
    /// How many records that stay need a layer.
    users: HashMap<&'c LayerId, usize>,
}

impl<'c> Costs<'c> {
    fn new(store: &'c Store, marks: &'c Marks) -> Self {
        let mut users: HashMap<&LayerId, usize> = HashMap::new();
        for (_, chain, _) in &marks.records {
            for id in chain.layers() {
                *users.entry(id).or_default() += 1;
            }
        }
        Self { store, marks, meter: Meter::new(), users }
    }

    fn of(&mut self, thing: &Thing) -> u64 {
        match thing {
            Thing::Record(at) => self.record(&self.marks.records[*at].1),
            Thing::Compressed(_, size) => *size,
            Thing::Blob(digest) => self.measure(&self.store.layout().blob(digest)),
            Thing::Mount(path) | Thing::Path(path) => self.measure(path),
        }
    }

    fn record(&mut self, chain: &'c Chain) -> u64 {
        let mut freed = 0;
        for id in chain.layers() {
            let users = self.users.entry(id).or_insert(1);
            *users = users.saturating_sub(1);
            let lost = *users == 0 && !self.marks.is_of_image(id);
            if let Some((row, _)) = self.marks.layers.get(id).filter(|_| lost)
                && !self.marks.is_in_use(row)
            {
                freed += self.layer(id);
            }
        }
        freed
    }

    fn layer(&mut self, id: &LayerId) -> u64 {
        let layout = self.store.layout();
        let blob = self.marks.layers.get(id).and_then(|(row, _)| row.blob.as_ref());
        let blob = blob.map(|blob| layout.blob(&blob.digest));
        let paths = [layout.snapshot(id.as_str()), layout.toc(id), layout.split(id)];
        paths.iter().chain(&blob).map(|path| self.measure(path)).sum()
    }

    fn measure(&mut self, path: &Path) -> u64 {
        self.meter.measure(path)
    }
}
