//! The image exporter: config and manifest into the store, and a name for them.
//!
//! Order makes it safe to die at any point: trees and records first reach the disk, then the rows that call them
//! synced, then config and manifest, then what the manifest names, and the image's name last.

use std::ops::Range;

use oci::{Descriptor, DiffId, Digest, History, ImageConfig, Manifest, Platform, Raw, Timestamp, media_type};
use runtime::tree::{LayerBuilder, StreamOptions, WalkOptions, replay, stream};
use store::{BlobForm, Blobs, Expected, LayerId, LayerRow, Lease, Store};
use sys::Root;

use super::form::{oci_layer, settle_types};
use super::squash;
use crate::cache::key::Chain;
use crate::cache::portable::{self, Facts};
use crate::durable;
use crate::layers::Layers;
use crate::{Dress, Image, Level, Options};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The annotation that says when an image was made: OCI image-spec, annotations.md.
const CREATED: &str = "org.opencontainers.image.created";

/// An image that is all there but its name.
pub(crate) struct Composed {
    pub(crate) manifest: Raw<Manifest>,
    pub(crate) config: Raw<ImageConfig>,
    /// Layers that are trees only.
    trees: Vec<LayerId>,
}

impl Composed {
    /// Whether committing it reads trees.
    pub(crate) fn has_trees(&self) -> bool {
        !self.trees.is_empty()
    }

    /// Describes the manifest.
    pub(crate) fn descriptor(&self, image: &Image) -> Descriptor {
        let size = self.manifest.bytes().len() as u64;
        let media_type = self.manifest.value().media_type.as_deref().unwrap_or(media_type::OCI_MANIFEST);
        let mut descriptor = Descriptor::new(media_type, self.manifest.digest(), size);
        descriptor.platform = Some(image.platform.clone());
        descriptor
    }
}

/// One layer of the image to be.
struct Part {
    /// Its step's layer; what stands in the image may be a clamped twin.
    diff_id: DiffId,
    size: u64,
    row: LayerRow,
}

/// Composes the image from what is known; `None` where a DiffId was never computed, or layers were never squashed. Writes
/// nothing. `inline`: which parts of the chain are results under which keys, where the image is to be its own cache.
pub(crate) fn compose(
    image: &Image,
    options: &Options,
    store: &Store,
    layers: &Layers<'_>,
    chain: &Chain,
    inline: &[(Digest, Range<usize>)],
) -> Result<Option<Composed>, Failure> {
    let based = based(image, chain);
    let squashed = match options.exporting.squash {
        None => based.clone(),
        Some(which) => match squash::known(layers, chain, based.1, which)? {
            Some(squashed) => squashed,
            None => return Ok(None),
        },
    };
    let (chain, base) = &squashed;
    let mut parts = Vec::with_capacity(chain.0.len());
    for (number, id) in chain.0.iter().enumerate() {
        if Chain::is_empty_layer(id) {
            parts.push(None);
            continue;
        }
        let clamp = options.clamp().filter(|_| number >= *base);
        let Some((diff_id, size)) = store.index().diff_id(id, clamp)? else { return Ok(None) };
        let row = match clamp {
            // A clamped layer stands in the store as a layer of its own.
            Some(_) => twin(store, layers, &diff_id, id)?,
            None => Some(layers.known(id)?),
        };
        let Some(row) = row else { return Ok(None) };
        parts.push(Some(Part { diff_id, size, row }));
    }
    let mut config = image.config.clone();
    let inline = if squashed == based { inline } else { &[] };
    if squashed != based {
        squash_history(&mut config.history, if squashed.1 == 0 { 0 } else { based.1 });
    }
    finish(image, config, options, &parts, *base, inline).map(Some)
}

/// A chain, and how many of its layers are the base's.
fn based(image: &Image, chain: &Chain) -> (Chain, usize) {
    (chain.clone(), image.config.rootfs.diff_ids.len().min(chain.0.len()))
}

/// The history of layers that became one: all entries but those of the first `kept` layers have none, and a last one has
/// it. As with docker's `--squash`.
fn squash_history(history: &mut Vec<History>, kept: usize) {
    let mut layers = 0;
    for entry in history.iter_mut().filter(|entry| !entry.empty_layer) {
        layers += 1;
        entry.empty_layer = layers > kept;
    }
    history.push(History { comment: "squashed".to_owned(), ..History::default() });
}

/// The usable layer with this DiffId, the given one first.
pub(crate) fn twin(
    store: &Store,
    layers: &Layers<'_>,
    diff_id: &DiffId,
    first: &LayerId,
) -> Result<Option<LayerRow>, Failure> {
    let known = store.index().layers_by_diff_id(diff_id)?;
    let mut order: Vec<&LayerId> = known.iter().filter(|id| *id == first).collect();
    order.extend(known.iter().filter(|id| *id != first));
    Ok(order.into_iter().find_map(|id| layers.known(id).ok()))
}

fn finish(
    image: &Image,
    mut config: ImageConfig,
    options: &Options,
    parts: &[Option<Part>],
    base: usize,
    inline: &[(Digest, Range<usize>)],
) -> Result<Composed, Failure> {
    let (epoch, exporting) = (options.epoch, &options.exporting);
    if !inline.is_empty() {
        config.extra.insert(portable::FIELD.to_owned(), field(options.clamp(), parts, base, inline).to_value()?);
    }
    config.rootfs.diff_ids = parts.iter().flatten().map(|part| part.diff_id).collect();
    fill_history(&mut config.history, parts, base, epoch);
    config.created = match epoch {
        Some(epoch) => Some(Timestamp::from_unix(epoch, 0)),
        None => config.history.iter().rev().find_map(|entry| entry.created.clone()).or(config.created),
    };
    if exporting.omit_history {
        config.history.clear();
    }
    let created = config.created.clone().filter(|_| exporting.created_annotation);
    let config = Raw::encode(config)?;
    let layers = parts.iter().flatten().map(|part| describe(&part.row, &part.diff_id, part.size)).collect();
    let descriptor = Descriptor::new(media_type::OCI_CONFIG, config.digest(), config.bytes().len() as u64);
    let mut manifest = Manifest::new(descriptor, layers);
    manifest.annotations.extend(created.map(|at| (CREATED.to_owned(), at.as_str().to_owned())));
    dress(&mut manifest, &exporting.dress, &image.platform);
    let trees = parts.iter().flatten().filter(|part| part.row.blob.is_none() && part.row.tree.is_some());
    let trees = trees.map(|part| part.row.id.clone()).collect();
    Ok(Composed { manifest: Raw::encode(manifest)?, config, trees })
}

/// Annotates a manifest, and settles its media types.
pub(crate) fn dress(manifest: &mut Manifest, dress: &Dress, platform: &Platform) {
    manifest.annotations.extend(dress.at(Level::Manifest, Some(platform)));
    settle_types(manifest, if dress.docker_types { media_type::DOCKER_MANIFEST } else { media_type::OCI_MANIFEST });
}

/// What an image that is its own cache says of its layers and steps.
fn field(
    epoch: Option<i64>,
    parts: &[Option<Part>],
    base: usize,
    inline: &[(Digest, Range<usize>)],
) -> portable::Field {
    let mut numbers = Vec::with_capacity(parts.len());
    let mut facts = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        numbers.push(part.as_ref().and_then(|_| u32::try_from(facts.len()).ok()));
        facts.extend(part.as_ref().map(|part| Facts {
            size: part.size,
            // When a base came here is no part of the image.
            created: if at < base { 0 } else { epoch.unwrap_or(part.row.created).max(0) },
            epoch: epoch.filter(|_| at >= base),
        }));
    }
    let created = |part: &Range<usize>| {
        let last = parts[part.clone()].iter().rev().flatten().next();
        epoch.unwrap_or_else(|| last.map_or(0, |part| part.row.created)).max(0)
    };
    let record = |(key, part): &(Digest, Range<usize>)| portable::Record {
        key: *key,
        layers: numbers[part.clone()].to_vec(),
        created: created(part),
    };
    portable::Field::new(facts, inline.iter().map(record).collect())
}

/// A layer as the store has it: its blob, or the tar that its tree would give.
pub(crate) fn describe(row: &LayerRow, diff_id: &DiffId, size: u64) -> Descriptor {
    match &row.blob {
        Some(blob) => Descriptor::new(oci_layer(&blob.media_type), blob.digest, blob.size),
        None => Descriptor::new(media_type::OCI_LAYER, *diff_id.digest(), size),
    }
}

/// Gives each entry its time, and marks those whose step changed nothing. As in BuildKit, an entry without a layer takes the
/// time of the layer before it, or of the first new one.
fn fill_history(history: &mut [History], parts: &[Option<Part>], base: usize, epoch: Option<i64>) {
    let with_layer: Vec<usize> =
        history.iter().enumerate().filter(|(_, entry)| !entry.empty_layer).map(|(at, _)| at).collect();
    let added = &parts[base..];
    for (at, part) in with_layer.iter().rev().zip(added.iter().rev()) {
        let entry = &mut history[*at];
        entry.empty_layer = part.is_none();
        if let Some(part) = part {
            entry.created = Some(Timestamp::from_unix(epoch.unwrap_or(part.row.created), 0));
        }
    }
    if let Some(epoch) = epoch {
        for entry in history.iter_mut().filter(|entry| entry.created.is_none()) {
            entry.created = Some(Timestamp::from_unix(epoch, 0));
        }
        return;
    }
    let first_open = history.iter().position(|entry| entry.created.is_none());
    let first_new = first_open.and_then(|open| history[open..].iter().find_map(|entry| entry.created.clone()));
    let mut time = first_new.or_else(|| history.iter().rev().find_map(|entry| entry.created.clone()));
    let mut open = false;
    for entry in history {
        match &entry.created {
            Some(created) if open => time = Some(created.clone()),
            Some(_) => {}
            None => {
                open = true;
                entry.created.clone_from(&time);
            }
        }
    }
}

/// Makes what [`compose`] misses: squashed layers, and DiffIds.
pub(crate) fn complete(
    image: &Image,
    options: &Options,
    store: &Store,
    layers: &Layers<'_>,
    chain: &Chain,
    now: i64,
) -> Result<(), Failure> {
    let (chain, base) = based(image, chain);
    let Some(which) = options.exporting.squash else {
        return identities(store, layers, &chain, options.clamp().map(|epoch| (base, epoch)), now);
    };
    identities(store, layers, &chain, None, now)?;
    let (chain, base) = squash::make(store, layers, &chain, base, which, now)?;
    identities(store, layers, &chain, options.clamp().map(|epoch| (base, epoch)), now)
}

/// Computes DiffIds: each tree is streamed once, layers side by side. `clamp`: from which layer on, and to what, times are.
fn identities(
    store: &Store,
    layers: &Layers<'_>,
    chain: &Chain,
    clamped: Option<(usize, i64)>,
    now: i64,
) -> Result<(), Failure> {
    let work = |number: usize, id: &LayerId| -> Result<(), Failure> {
        let below = Chain(chain.0[..number].to_vec());
        identify(store, layers, id, &below)?;
        match clamped.filter(|(base, _)| number >= *base) {
            Some((_, epoch)) => clamp(store, layers, id, epoch, now),
            None => Ok(()),
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = chain
            .0
            .iter()
            .enumerate()
            .filter(|(_, id)| !Chain::is_empty_layer(id))
            .map(|(number, id)| scope.spawn(move || work(number, id)))
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|_| Err("a layer's thread panicked".into())))
    })
}

/// Makes sure that a layer's own DiffId is known, and its record kept.
pub(crate) fn identify(store: &Store, layers: &Layers<'_>, id: &LayerId, below: &Chain) -> Result<(), Failure> {
    let row = layers.known(id)?;
    if row.is_elsewhere() {
        return Ok(());
    }
    let known = store.index().diff_id(id, None)?.is_some();
    if known && (row.tree.is_none() || row.blob.is_some() || layers.kept_toc(id)?.is_some()) {
        return Ok(());
    }
    // A pulled layer's tar is another program's: its split gives it back, or its registry does.
    if known && (store.split(id)?.is_some() || is_elsewhere(store, &own_diff_id(store, id)?)?) {
        return Ok(());
    }
    let path = store.layout().tree(id);
    let view = layers.view(below)?;
    let options =
        StreamOptions { walk: WalkOptions { ids: layers.ids(&path), lower: Some(&view) }, clamp: None, known: None };
    let (built, _) = stream(&Root::open(&path)?, &options, std::io::sink())?;
    layers.keep_toc(id, built.toc)?;
    Ok(store.index().put_diff_id(id, None, &built.diff_id, built.size)?)
}

fn own_diff_id(store: &Store, id: &LayerId) -> Result<DiffId, Failure> {
    Ok(store.index().diff_id(id, None)?.ok_or("a layer has no identity")?.0)
}

/// Makes sure that the layer exists with no time after `epoch`: itself, where it has none, or as a blob of its own.
fn clamp(store: &Store, layers: &Layers<'_>, id: &LayerId, epoch: i64, now: i64) -> Result<(), Failure> {
    if let Some((diff_id, _)) = store.index().diff_id(id, Some(epoch))?
        && twin(store, layers, &diff_id, id)?.is_some()
    {
        return Ok(());
    }
    let row = layers.row(id)?;
    let toc = match row.tree {
        Some(_) => layers.kept_toc(id)?.ok_or("a layer has no record")?,
        None => layers.toc_of(id, &layers.tar(&row)?)?,
    };
    let (own, size) = store.index().diff_id(id, None)?.ok_or("a layer has no identity")?;
    if toc.entries().iter().all(|entry| entry.entry.mtime <= epoch) {
        return Ok(store.index().put_diff_id(id, Some(epoch), &own, size)?);
    }
    let writer = store.blobs().writer()?;
    let (built, writer) = match row.tree {
        Some(_) => replay(&toc, &Root::open(store.layout().tree(id))?, Some(epoch), writer)?,
        None => {
            let mut builder = LayerBuilder::new(writer);
            let mut reader = layer::TarReader::new(std::io::BufReader::with_capacity(1 << 17, layers.tar(&row)?));
            while let Some((mut entry, mut content)) = reader.next_entry()? {
                entry.mtime = entry.mtime.min(epoch);
                builder.append(entry, &mut content, None)?;
            }
            builder.finish()?
        }
    };
    let (digest, size) = writer.commit(Expected::exactly(*built.diff_id.digest(), built.size))?;
    let twin = LayerId::mint();
    let blob = BlobForm { digest, media_type: media_type::OCI_LAYER.to_owned(), size };
    let row = LayerRow { id: twin.clone(), tree: None, blob: Some(blob), size, created: row.created.min(now) };
    layers.keep_toc(&twin, built.toc)?;
    store.index().put_layer_with_diff_id(&row, &built.diff_id)?;
    Ok(store.index().put_diff_id(id, Some(epoch), &built.diff_id, size)?)
}

/// Whether the store holds the image's documents.
pub(crate) fn is_kept(store: &Store, composed: &Composed) -> Result<bool, Failure> {
    let size = |digest: &Digest| store.blobs().size(digest);
    Ok(size(&composed.manifest.digest())?.is_some() && size(&composed.config.digest())?.is_some())
}

/// Commits it, durably, under no name yet.
pub(crate) fn commit(store: &Store, composed: &Composed, lease: &Lease) -> Result<(), Failure> {
    // An earlier build may have left them without a name, and a collector be about to take them away.
    lease.pin(&[composed.config.digest(), composed.manifest.digest()])?;
    durable::sync_trees(store, &ours(store, &composed.trees)?)?;
    store.blobs().put_bytes(composed.config.bytes())?;
    let digest = store.blobs().put_bytes(composed.manifest.bytes())?;
    let manifest = composed.manifest.value();
    let children: Vec<Digest> =
        std::iter::once(&manifest.config).chain(&manifest.layers).map(|child| child.digest).collect();
    Ok(store.index().put_edges(&digest, &children)?)
}

/// Of these layers, those that only this store has: a pulled one can be fetched again, and is synced when there is time.
fn ours(store: &Store, ids: &[LayerId]) -> Result<Vec<LayerId>, Failure> {
    let mut ours = Vec::new();
    for id in ids {
        let elsewhere = match store.index().diff_id(id, None)? {
            Some((diff_id, _)) => is_elsewhere(store, &diff_id)?,
            None => false,
        };
        if !elsewhere {
            ours.push(id.clone());
        }
    }
    Ok(ours)
}

/// Whether a repository is known that has some form of a layer.
pub(crate) fn is_elsewhere(store: &Store, diff_id: &DiffId) -> Result<bool, Failure> {
    for variant in store.index().variants(diff_id)? {
        if !store.index().origins(&variant.blob)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(created: i64) -> Part {
        let digest = Digest::sha256(&created.to_le_bytes());
        let row = LayerRow { id: LayerId::mint(), tree: None, blob: None, size: 1, created };
        Part { diff_id: DiffId::new(digest), size: 1, row }
    }

    fn entry(created: Option<i64>, empty_layer: bool) -> History {
        History { created: created.map(|at| Timestamp::from_unix(at, 0)), empty_layer, ..History::default() }
    }

    fn times(history: &[History]) -> Vec<(Option<i64>, bool)> {
        history
            .iter()
            .map(|entry| (entry.created.as_ref().and_then(Timestamp::unix_seconds), entry.empty_layer))
            .collect()
    }

    #[test]
    fn entries_without_a_layer_take_the_time_of_a_neighbour() {
        let mut history =
            vec![entry(Some(5), false), entry(None, true), entry(None, false), entry(None, true), entry(None, false)];
        fill_history(&mut history, &[Some(part(5)), Some(part(10)), Some(part(20))], 1, None);
        assert_eq!(
            times(&history),
            [(Some(5), false), (Some(10), true), (Some(10), false), (Some(10), true), (Some(20), false)]
        );
    }

    #[test]
    fn a_step_that_changed_nothing_has_no_layer() {
        let mut history = vec![entry(None, false), entry(None, false)];
        fill_history(&mut history, &[Some(part(10)), None], 0, None);
        assert_eq!(times(&history), [(Some(10), false), (Some(10), true)]);
    }

    #[test]
    fn an_epoch_is_the_time_of_all_that_is_new() {
        let mut history = vec![entry(Some(5), false), entry(None, true), entry(None, false)];
        fill_history(&mut history, &[Some(part(5)), Some(part(99))], 1, Some(7));
        assert_eq!(times(&history), [(Some(5), false), (Some(7), true), (Some(7), false)]);
    }
}
