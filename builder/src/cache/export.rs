//! Writing caches, when the image is there: results as a document that every store understands, and their layers.
//!
//! What a step made is named by DiffIds, so those that were never asked for are computed now. Blobs go first and the manifest
//! last: who dies in between, or meets a registry that fails, leaves the cache as it was.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use graph::Op;
use oci::{Descriptor, DiffId, Digest, Manifest, Raw, Reference, media_type};
use store::Blobs;

use super::backend::{self, Backend, Blob, Content, MAX_MANIFEST};
use super::key::{Chain, Keyed};
use super::portable::{self, Facts, Field, MAX_CONFIG, Record};
use super::record::Lookup;
use super::spine::spine;
use crate::build::{Build, Failure};
use crate::export::oci_layout::with_layers;
use crate::export::{image, layers};
use crate::mount;
use crate::request::{CachePlace, CacheTo};
use crate::solver::state::V;
use crate::transfer::push;
use crate::{Compress, CompressForm, Event};

/// A configuration of up to so many bytes also stands in its descriptor, which saves whoever imports it a round trip.
const EMBEDDED: usize = 256 << 10;

/// Writes the caches that a build was asked to write. An error ends the build, unless its cache may fail.
pub(crate) fn export(build: &Build<'_>) -> Result<(), Failure> {
    let targets = build.request.options.caching.to.iter();
    let mut documents: BTreeMap<bool, Document> = BTreeMap::new();
    for to in targets.filter(|to| !matches!(to.place, CachePlace::Inline)) {
        let exported = one(build, to, &mut documents);
        match exported {
            Ok(message) => build.emit(Event::Note { message }),
            Err(error) if error.is::<crate::op::source::pulled::Lost>() => return Err(error),
            Err(error) if to.ignore_error => {
                build.emit(Event::Note { message: format!("cache not written: {error}") });
            }
            Err(error) => return Err(format!("write the cache: {error}").into()),
        }
    }
    Ok(())
}

fn one(build: &Build<'_>, to: &CacheTo, documents: &mut BTreeMap<bool, Document>) -> Result<String, Failure> {
    let document = match documents.entry(to.max) {
        std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
        std::collections::btree_map::Entry::Vacant(none) => none.insert(Document::of(build, to.max)?),
    };
    let handle = build.runtime()?.handle().clone();
    let backend = backend::open(&to.place, &build.request.options.caching, build.client, &handle)?;
    let place = backend.place();
    build.emit(Event::Exporting { what: format!("cache to {place}") });
    let moved = match &to.place {
        CachePlace::Registry { reference } => document.push(build, reference, to.compression)?,
        _ => document.write(build, &*backend, to.compression)?,
    };
    let mounts = if to.mounts { mounts(build, &*backend)? } else { String::new() };
    Ok(format!(
        "cache written to {place}: {} results, {} layers, {moved} bytes moved{mounts}",
        document.records, document.layers
    ))
}

/// Sends the cache mounts that this build's RUNs name, and says what moved. Without a sandbox nothing ran, and not all of them
/// could be read.
fn mounts(build: &Build<'_>, to: &dyn Backend) -> Result<String, Failure> {
    let order = build.definitions.order.iter();
    let ids = mount::cache_ids(order.map(|edge| build.request.graph.vertex(*edge).op()));
    if ids.is_empty() || build.sandbox.is_none() {
        return Ok(String::new());
    }
    let sent = mount::travel::export(build.store, &ids, to)?;
    let mut said = String::new();
    if !sent.ids.is_empty() {
        let left_out = match sent.moved.left_out {
            0 => String::new(),
            count => format!(", {count} that do not travel"),
        };
        let (names, moved) = (sent.ids.join(", "), sent.moved);
        let count = sent.ids.len();
        said =
            format!("; {count} cache mounts ({names}): {} paths{left_out}, {} bytes moved", moved.files, moved.bytes);
    }
    if !sent.too_large.is_empty() {
        said.push_str(&format!("; too many files to travel: cache mount {}", sent.too_large.join(", ")));
    }
    Ok(said)
}

/// A cache of this build, in the forms that the store has.
struct Document {
    manifest: Raw<Manifest>,
    config: Raw<oci::ImageConfig>,
    chains: Vec<Chain>,
    layers: usize,
    records: usize,
}

/// Layers by what they are, in the order in which they were met.
#[derive(Default)]
struct Numbered {
    numbers: BTreeMap<DiffId, u32>,
    facts: Vec<Facts>,
    descriptors: Vec<Descriptor>,
}

impl Document {
    fn of(build: &Build<'_>, max: bool) -> Result<Self, Failure> {
        let results = results(build, max)?;
        identify(build, &results)?;
        let mut numbered = Numbered::default();
        let mut records = Vec::new();
        for (v, chain) in &results {
            let key = *build.definitions.keyed[*v].key.digest();
            let layers = chain.0.iter().map(|id| numbered.of(build, id)).collect::<Result<Vec<_>, _>>()?;
            let created = match build.store.index().record(&key)? {
                Some(record) => record.created,
                // What stands below a result that was found was not asked for.
                None => build.records.caches().find(&key).map_or(build.now, |found| found.created()),
            };
            records.push(Record { key, layers, created });
        }
        for (keyed, chain, created) in contents(build, &results)? {
            let layers = chain.0.iter().map(|id| numbered.of(build, id)).collect::<Result<Vec<_>, _>>()?;
            records.push(Record { key: *keyed.key.digest(), layers, created });
        }
        let there: HashSet<Vec<Option<u32>>> = records.iter().map(|record| record.layers.clone()).collect();
        records.extend(build.records.caches().beside(&there, |diff_id| numbered.numbers.get(diff_id).copied()));
        let count = records.len();
        let platform = &build.request.image().platform;
        let diff_ids = numbered.in_order();
        let config = portable::config(platform, diff_ids, &Field::new(numbered.facts, records))?;
        let config = Raw::encode(config)?;
        if config.bytes().len() as u64 > MAX_CONFIG {
            return Err(format!("{count} results take more than {MAX_CONFIG} bytes; `mode=min` keeps fewer").into());
        }
        let layers = numbered.descriptors.len();
        let manifest = Raw::encode(portable::manifest(described(&config), numbered.descriptors))?;
        let chains = results.into_iter().map(|(_, chain)| chain).collect();
        Ok(Self { manifest, config, chains, layers, records: count })
    }

    /// Into a registry: as a push, which mounts, streams from where a layer is, or compresses what no registry has.
    fn push(&self, build: &Build<'_>, reference: &str, compress: Compress) -> Result<u64, Failure> {
        let client = build.client.ok_or("there is no registry client")?;
        let reference: Reference = reference.parse()?;
        build.lease.pin(&[self.config.digest(), self.manifest.digest()])?;
        build.store.blobs().put_bytes(self.config.bytes())?;
        let digest = build.store.blobs().put_bytes(self.manifest.bytes())?;
        let store = Arc::new(build.store.again()?);
        let options = push::PushOptions { compress, ..push::PushOptions::default() };
        let probe = build.sandbox.map(|sandbox| &sandbox.probe);
        let sink = crate::op::source::pulled::progress(build, None);
        let pushing = push::push(&store, client, &digest, &reference, &options, probe, &sink);
        Ok(build.runtime()?.block_on(pushing)?.moved)
    }

    /// Into anything else.
    fn write(&self, build: &Build<'_>, backend: &dyn Backend, compress: Compress) -> Result<u64, Failure> {
        for chain in &self.chains {
            build.bring(None, chain)?;
        }
        let compress = Compress { form: compress.form.or(Some(CompressForm::Gzip)), ..compress };
        let prepared = layers::prepare(build.store, self.manifest.value(), self.config.value(), &compress)?;
        let mut moved = 0;
        for layer in &prepared {
            let blob = Blob { digest: layer.descriptor.digest, size: layer.descriptor.size };
            if !backend.has_blob(&blob)? {
                let path = layer.file(build.store)?;
                moved += backend.put_blob(&blob, Content::File(&path))?;
            }
        }
        // A form with a table of contents is another tar: the configuration says which.
        let (_, written) = with_layers(self.manifest.clone(), self.config.clone(), &prepared)?;
        let config = described(&written);
        let blob = Blob { digest: config.digest, size: config.size };
        moved += backend.put_blob(&blob, Content::Bytes(written.bytes()))?;
        let descriptors = prepared.into_iter().map(|layer| layer.descriptor).collect();
        let manifest = Raw::encode(portable::manifest(config, descriptors))?;
        if manifest.bytes().len() as u64 > MAX_MANIFEST {
            return Err(format!("{} layers make a manifest of more than {MAX_MANIFEST} bytes", self.layers).into());
        }
        backend.put_manifest(None, media_type::OCI_MANIFEST, manifest.bytes())?;
        Ok(moved + manifest.bytes().len() as u64)
    }
}

fn described(config: &Raw<oci::ImageConfig>) -> Descriptor {
    let bytes = config.bytes();
    let mut descriptor = Descriptor::new(media_type::OCI_CONFIG, config.digest(), bytes.len() as u64);
    if bytes.len() <= EMBEDDED {
        use base64::Engine as _;
        descriptor.data = Some(base64::engine::general_purpose::STANDARD.encode(bytes));
    }
    descriptor
}

/// The results that are kept: those that the images consist of, or all that can be found.
fn results(build: &Build<'_>, max: bool) -> Result<Vec<(V, Chain)>, Failure> {
    let definitions = build.definitions;
    let graph = &build.request.graph;
    let mut results: BTreeMap<V, Chain> = BTreeMap::new();
    for root in &definitions.roots {
        let chain = build.chain(*root);
        for (v, part) in spine(graph, definitions, *root, chain.0.len()) {
            results.insert(v, Chain(chain.0[part].to_vec()));
        }
    }
    if !max {
        return Ok(results.into_iter().collect());
    }
    for (v, edge) in definitions.order.iter().enumerate() {
        if results.contains_key(&v) || matches!(graph.vertex(*edge).op(), Op::Source(_)) {
            continue;
        }
        let known = match build.result(v) {
            Some(chain) => Some(chain.clone()),
            None => match build.records.find(&definitions.keyed[v], Some(&build.lease))? {
                Lookup::Hit(chain) => Some(chain),
                Lookup::Dead | Lookup::Miss => None,
            },
        };
        results.extend(known.map(|chain| (v, chain)));
    }
    Ok(results.into_iter().collect())
}

/// The keys by content under which this store keeps the results, as all stores share them.
fn contents<'r>(build: &Build<'_>, results: &'r [(V, Chain)]) -> Result<Vec<(Keyed, &'r Chain, i64)>, Failure> {
    let index = build.store.index();
    let mut found = Vec::new();
    for (key, layers, _) in index.records()? {
        let Some((_, chain)) = results.iter().find(|(_, chain)| chain.0 == layers) else { continue };
        let Some(record) = index.record(&key)? else { continue };
        let Some(keyed) = Keyed::of_content(&key, record.preimage) else { continue };
        let below = Chain(layers[..layers.len().saturating_sub(1)].to_vec());
        found.extend(build.shared_on(&below, &keyed)?.map(|shared| (shared, chain, record.created)));
    }
    Ok(found)
}

/// Computes the DiffIds that were never asked for.
fn identify(build: &Build<'_>, results: &[(V, Chain)]) -> Result<(), Failure> {
    let plain = crate::Options { epoch: build.request.options.clamp(), ..crate::Options::default() };
    for (image, root) in build.request.images.iter().zip(&build.definitions.roots) {
        let chain = build.chain(*root);
        if image::compose(image, &plain, build.store, &build.layers, chain, &[])?.is_none() {
            build.bring(None, chain)?;
            image::complete(image, &plain, build.store, &build.layers, chain, build.now)?;
        }
    }
    let mut seen = BTreeSet::new();
    for (_, chain) in results {
        let unknown =
            |number: &usize| !Chain::is_empty_layer(&chain.0[*number]) && seen.insert(chain.0[*number].clone());
        for number in (0..chain.0.len()).filter(unknown).collect::<Vec<_>>() {
            let below = Chain(chain.0[..number].to_vec());
            image::identify(build.store, &build.layers, &chain.0[number], &below)?;
        }
    }
    Ok(())
}

impl Numbered {
    /// The number of a layer; `None` for a step that changed nothing.
    fn of(&mut self, build: &Build<'_>, id: &store::LayerId) -> Result<Option<u32>, Failure> {
        if Chain::is_empty_layer(id) {
            return Ok(None);
        }
        let index = build.store.index();
        let epoch = build.request.options.epoch;
        let clamped = match epoch {
            Some(_) => index.diff_id(id, epoch)?,
            None => None,
        };
        let own = index.diff_id(id, None)?.ok_or_else(|| format!("layer {id} has no identity"))?;
        let (diff_id, mut size) = clamped.unwrap_or(own);
        if let Some(number) = self.numbers.get(&diff_id) {
            return Ok(Some(*number));
        }
        let row = match clamped {
            Some(_) => image::twin(build.store, &build.layers, &diff_id, id)?.ok_or("a clamped layer is gone")?,
            None => build.layers.known(id)?,
        };
        if size == 0 && row.blob.is_some() {
            size = build.layers.tar(&row)?.metadata()?.len();
        }
        let number = u32::try_from(self.facts.len())?;
        self.descriptors.push(image::describe(&row, &diff_id, size));
        self.facts.push(Facts { size, created: row.created.max(0), epoch: epoch.filter(|_| clamped.is_some()) });
        self.numbers.insert(diff_id, number);
        Ok(Some(number))
    }

    fn in_order(&self) -> Vec<DiffId> {
        let mut order: Vec<(u32, DiffId)> = self.numbers.iter().map(|(diff_id, number)| (*number, *diff_id)).collect();
        order.sort_unstable_by_key(|(number, _)| *number);
        order.into_iter().map(|(_, diff_id)| diff_id).collect()
    }
}

/// The records of an inline cache: which parts of the image's chain stand under which keys.
pub(crate) fn inline(
    request: &crate::Request,
    definitions: &super::content::Definitions,
    root: V,
    length: usize,
) -> Vec<(Digest, std::ops::Range<usize>)> {
    if !request.options.caching.to.iter().any(|to| matches!(to.place, CachePlace::Inline)) {
        return Vec::new();
    }
    let parts = spine(&request.graph, definitions, root, length);
    parts.into_iter().map(|(v, part)| (*definitions.keyed[v].key.digest(), part)).collect()
}
