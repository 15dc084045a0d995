//! What is needed, by whom.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::time::SystemTime;

use oci::Digest;
use store::{LayerId, LayerRow, Pins, Store};

use super::{GcError, used};
use crate::cache::key::Chain;

/// Everything that the index says, and what images and live processes need of it.
pub(super) struct Marks {
    /// Digests that an image's name leads to.
    pub(super) of_images: HashSet<Digest>,
    /// Which documents name which.
    pub(super) children: BTreeMap<Digest, Vec<Digest>>,
    /// All layers, with their own DiffIds.
    pub(super) layers: HashMap<LayerId, (LayerRow, Option<Digest>)>,
    /// All records: key, chain, last use.
    pub(super) records: Vec<(Digest, Chain, i64)>,
    /// Files that tell when results were used, by the key of a build's result.
    pub(super) use_marks: Vec<(String, PathBuf)>,
    /// This boot.
    boot: String,
    pins: Pins,
}

impl Marks {
    /// Reads the index, as if the images of some names were not there.
    pub(super) fn read(store: &Store, pins: Pins, forget: &[String]) -> Result<Self, GcError> {
        let index = store.index();
        let mut children: BTreeMap<Digest, Vec<Digest>> = BTreeMap::new();
        for (parent, child) in index.all_edges().map_err(store::Error::from)? {
            children.entry(parent).or_default().push(child);
        }
        let images = index.images().map_err(store::Error::from)?.into_iter();
        let named = images.filter(|row| !forget.contains(&row.name)).map(|row| row.manifest);
        // What a process pinned by digest counts as an image: it is about to be one, or is being exported.
        let pinned = pins.names.iter().filter_map(|name| name.parse().ok());
        let of_images = reach(&children, named.chain(pinned));
        let mut layers = HashMap::new();
        for row in index.layers().map_err(store::Error::from)? {
            let diff_id = index.diff_id(&row.id, None).map_err(store::Error::from)?;
            layers.insert(row.id.clone(), (row, diff_id.map(|(diff_id, _)| *diff_id.digest())));
        }
        let records = index.records().map_err(store::Error::from)?;
        let (marked, use_marks) = used::read(store);
        // What a build found without writing to the index is used, too.
        let last = |key: &Digest, used: i64| marked.get(key).map_or(used, |marked| used.max(*marked));
        let records = records.into_iter().map(|(key, layers, used)| (key, Chain(layers), last(&key, used)));
        let mut records: Vec<_> = records.collect();
        records.sort_by_key(|(_, _, used)| *used);
        let boot = store::boot_id().map_err(store::Error::from)?;
        Ok(Self { of_images, children, layers, records, boot, pins, use_marks })
    }

    /// Whether a layer can be used, or fetched.
    pub(super) fn is_alive(&self, id: &LayerId) -> bool {
        self.layers.get(id).is_some_and(|(row, _)| row.is_elsewhere() || row.clone().alive(&self.boot).is_some())
    }

    /// Whether an image has this layer.
    pub(super) fn is_of_image(&self, id: &LayerId) -> bool {
        self.is_within(id, &self.of_images)
    }

    /// Whether a layer is, in one of its forms, among digests.
    pub(super) fn is_within(&self, id: &LayerId, digests: &HashSet<Digest>) -> bool {
        let Some((row, diff_id)) = self.layers.get(id) else { return false };
        let blob = row.blob.as_ref().is_some_and(|blob| digests.contains(&blob.digest));
        blob || diff_id.is_some_and(|diff_id| digests.contains(&diff_id))
    }

    /// All that these documents lead to.
    pub(super) fn reachable(&self, from: impl IntoIterator<Item = Digest>) -> HashSet<Digest> {
        reach(&self.children, from)
    }

    /// Whether a live process uses something by this name.
    pub(super) fn is_pinned(&self, name: &str) -> bool {
        self.pins.names.contains(name)
    }

    /// Whether a live process uses a result: the layer it is about. That it uses the base below says nothing of all that
    /// stands on that.
    pub(super) fn uses(&self, chain: &Chain) -> bool {
        chain.layers().last().is_some_and(|id| self.is_pinned(id.as_str()))
    }

    /// Whether something made at `time` may be of a running build that named it nowhere yet.
    pub(super) fn is_young(&self, time: SystemTime) -> bool {
        self.pins.oldest.is_some_and(|oldest| time >= oldest - std::time::Duration::from_secs(1))
    }

    /// Whether a live process may be making or using this layer.
    pub(super) fn is_in_use(&self, row: &LayerRow) -> bool {
        let made = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(row.created.try_into().unwrap_or(0));
        self.is_pinned(row.id.as_str()) || self.is_young(made)
    }

    /// Layers that images, these records or live processes need.
    pub(super) fn needed<'m>(&'m self, records: impl Iterator<Item = &'m Chain>) -> HashSet<LayerId> {
        let mut needed: HashSet<LayerId> = records.flat_map(Chain::layers).cloned().collect();
        let others = self.layers.iter().filter(|(id, (row, _))| self.is_of_image(id) || self.is_in_use(row));
        needed.extend(others.map(|(id, _)| id.clone()));
        needed.retain(|id| self.is_alive(id));
        needed
    }
}

fn reach(children: &BTreeMap<Digest, Vec<Digest>>, from: impl IntoIterator<Item = Digest>) -> HashSet<Digest> {
    let mut open: Vec<Digest> = from.into_iter().collect();
    let mut reached = HashSet::new();
    while let Some(digest) = open.pop() {
        if reached.insert(digest) {
            open.extend(children.get(&digest).into_iter().flatten().copied());
        }
    }
    reached
}
