//! An image from its name to its name: documents, layers, rows, and the name last.

use std::sync::Arc;

use oci::{Descriptor, DiffId, Digest, Platform, Reference, media_type};
use remote::{Client, ReadAhead};
use runtime::ladder::{Probe, Rung};
use store::{Blobs, Expected, LayerId, Lease, Origin, Store};

use super::documents::{self, Choice, Documents, Fetcher, Image, Top};
use super::layer::{Session, Wanted, blocking};
use super::stack::Failed;
use super::{PARALLEL, PullError, PullOptions, Pulled, Scope, presence, stack};
use crate::build::{millis_now, unix_now};
use crate::cache::backend::Backend;
use crate::transfer::event::{Direction, Event, Sink};

/// What all layers of a pull may read ahead of their unpackers.
const READ_AHEAD: u64 = 8 << 20;

/// See [`super::pull`].
pub(super) async fn pull(
    store: &Arc<Store>,
    client: &Client,
    reference: &Reference,
    options: &PullOptions,
    probe: Option<&Probe>,
    sink: &Sink,
) -> Result<Pulled, PullError> {
    let session = session(store, probe, sink)?;
    sink(Event::Begun { direction: Direction::Pull, what: reference.to_string(), time: millis_now() });
    let host = Platform::host();
    let choice = match (&options.platform, options.all_platforms) {
        (_, true) => Choice::All,
        (Some(platform), false) => Choice::One(platform, true),
        (None, false) => Choice::One(&host, false),
    };
    let top = documents::top(store, client, reference).await?;
    let documents = Fetcher::new(store, reference, &top).read(&top.fetched, &choice).await?;
    for message in &documents.notes {
        sink(Event::Note { message: message.clone() });
    }
    let origin = origin_of(reference);
    let mut moved = documents.moved;
    let mut fresh = Vec::new();
    if options.layers == Scope::All {
        let mut first = 0;
        for image in &documents.images {
            let layers = wanted(image, &top, &origin);
            let count = u32::try_from(layers.len()).unwrap_or(u32::MAX);
            let (ids, bytes) =
                layers_of(&session, layers, first, options.parallel, probe).await.map_err(|failed| failed.error)?;
            fresh.extend(ids);
            moved += bytes;
            first += count;
        }
    }
    let name = options.name_it.then(|| reference.to_string());
    let (top, manifest) = (documents.top, documents.images.first().map(|image| image.digest));
    let committing = session.clone();
    blocking(move || commit(&committing.store, &committing.lease, &documents, &origin, name.as_deref())).await?;
    sink(Event::Finished { digest: top, moved, time: millis_now() });
    Ok(Pulled { name: reference.clone(), top, manifest: manifest.unwrap_or(top), moved, fresh })
}

/// See [`super::complete`].
pub(super) async fn complete(
    store: &Arc<Store>,
    client: &Client,
    manifest: &Digest,
    probe: Option<&Probe>,
    sink: &Sink,
) -> Result<Vec<LayerId>, PullError> {
    let session = session(store, probe, sink)?;
    session.lease.pin(&[manifest])?;
    let absent = presence::missing(store, manifest)?;
    if absent.is_empty() {
        return Ok(Vec::new());
    }
    sink(Event::Begun { direction: Direction::Pull, what: manifest.to_string(), time: millis_now() });
    let layers = presence::layers_of(store, manifest)?.into_iter();
    let layers = layers
        .map(|(blob, diff_id)| {
            let needed = absent.contains(&blob.digest);
            from_origins(store, client, blob, diff_id, needed)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let (fresh, moved) = layers_of(&session, layers, 0, PARALLEL, probe).await.map_err(|failed| failed.error)?;
    sink(Event::Finished { digest: *manifest, moved, time: millis_now() });
    Ok(fresh)
}

fn session(store: &Arc<Store>, probe: Option<&Probe>, sink: &Sink) -> Result<Arc<Session>, PullError> {
    Ok(Arc::new(Session {
        store: store.clone(),
        lease: store.lease()?,
        sink: sink.clone(),
        ahead: ReadAhead::new(READ_AHEAD),
        single_id: probe.is_some_and(|probe| matches!(probe.rung, Rung::SingleId)),
    }))
}

/// Brings the layers of one image.
async fn layers_of(
    session: &Arc<Session>,
    layers: Vec<Wanted>,
    first: u32,
    parallel: usize,
    probe: Option<&Probe>,
) -> Result<(Vec<LayerId>, u64), Failed> {
    if stack::all_there(session, &layers)? {
        stack::tell_existing(&session.sink, &layers, first);
        return Ok((Vec::new(), 0));
    }
    let inside = match probe.map(|probe| &probe.rung) {
        Some(Rung::Unprivileged) => false,
        Some(Rung::Root | Rung::SubordinateIds { .. } | Rung::SingleId | Rung::Chroot) => true,
        None => rustix::process::geteuid().is_root(),
    };
    if !inside {
        return Err(PullError::NeedsSandbox.into());
    }
    stack::bring(session, layers, first, parallel).await
}

fn origin_of(reference: &Reference) -> Origin {
    Origin { registry: reference.registry().to_owned(), repository: reference.repository().as_str().to_owned() }
}

fn wanted(image: &Image, top: &Top, origin: &Origin) -> Vec<Wanted> {
    let layers = image.manifest.value().layers.iter().zip(&image.config.value().rootfs.diff_ids);
    let wanted = |(blob, diff_id): (&Descriptor, &DiffId)| Wanted {
        blob: blob.clone(),
        diff_id: *diff_id,
        sources: top.sources.clone(),
        itself: Some(top.itself.clone()),
        origin: origin.clone(),
        cache: None,
    };
    layers.map(wanted).collect()
}

/// A layer out of the repositories where it was seen.
fn from_origins(
    store: &Store,
    client: &Client,
    blob: Descriptor,
    diff_id: DiffId,
    needed: bool,
) -> Result<Wanted, PullError> {
    let (blob, origins) = seen(store, blob, &diff_id)?;
    let mut sources = Vec::new();
    for origin in &origins {
        let reference: Reference = format!("{}/{}@{}", origin.registry, origin.repository, blob.digest)
            .parse()
            .map_err(|error| PullError::Broken(format!("an origin of {}: {error}", blob.digest)))?;
        // One that became unusable says nothing of the others.
        if let Ok(route) = client.route(&reference) {
            sources.extend(route.content().iter().cloned());
        }
    }
    match origins.into_iter().next() {
        Some(origin) if !sources.is_empty() => {
            Ok(Wanted { blob, diff_id, itself: sources.last().cloned(), sources, origin, cache: None })
        }
        _ if needed => Err(PullError::NoOrigin { layer: blob.digest }),
        _ => Ok(Wanted::nowhere(blob, diff_id)),
    }
}

/// The form of a layer that some repository has: the one that the manifest lists, else any other.
fn seen(store: &Store, own: Descriptor, diff_id: &DiffId) -> Result<(Descriptor, Vec<Origin>), PullError> {
    let origins = store.index().origins(&own.digest)?;
    if !origins.is_empty() {
        return Ok((own, origins));
    }
    for variant in store.index().variants(diff_id)? {
        let origins = store.index().origins(&variant.blob)?;
        if !origins.is_empty() {
            return Ok((Descriptor::new(variant.form(), variant.blob, variant.size), origins));
        }
    }
    Ok((own, Vec::new()))
}

/// A layer that a result needs and the store does not have.
pub(crate) struct Lazy {
    /// Its DiffId.
    pub(crate) diff_id: DiffId,
    /// The size of its tar.
    pub(crate) size: u64,
    /// The cache that has it, and in which form; where it is no registry.
    pub(crate) cache: Option<(Arc<dyn Backend>, Descriptor)>,
}

/// Brings layers, given base first with all that is below them; those that are here are passed over.
pub(crate) async fn bring(
    store: &Arc<Store>,
    client: Option<&Client>,
    layers: Vec<Lazy>,
    probe: Option<&Probe>,
    sink: &Sink,
) -> Result<Vec<LayerId>, Failed> {
    let session = session(store, probe, sink)?;
    let mut all = Vec::with_capacity(layers.len());
    for Lazy { diff_id, size, cache } in layers {
        let own = Descriptor::new(media_type::OCI_LAYER, *diff_id.digest(), size);
        all.push(match (cache, client) {
            (Some((backend, blob)), _) => Wanted::of_cache(backend, blob, diff_id),
            (None, Some(client)) => from_origins(store, client, own, diff_id, false)?,
            (None, None) => Wanted::nowhere(own, diff_id),
        });
    }
    layers_of(&session, all, 0, PARALLEL, probe).await.map(|(fresh, _)| fresh)
}

/// Stores the documents durably, lets each name what it lists, and gives the image its name.
fn commit(
    store: &Store,
    lease: &Lease,
    documents: &Documents,
    origin: &Origin,
    name: Option<&str>,
) -> Result<(), PullError> {
    let index = store.index();
    for image in &documents.images {
        let manifest = image.manifest.value();
        let config = manifest.config.digest;
        lease.pin(&[image.digest, config])?;
        put(store, &config, image.config.bytes())?;
        put(store, &image.digest, image.manifest.bytes())?;
        let layers: Vec<Digest> = manifest.layers.iter().map(|layer| layer.digest).collect();
        // A tree is found by its DiffId: the layers' blobs are not kept.
        let trees = image.config.value().rootfs.diff_ids.iter().map(|diff_id| *diff_id.digest()).collect();
        edges(store, &config, trees)?;
        edges(store, &image.digest, std::iter::once(config).chain(layers.iter().copied()).collect())?;
        index.put_origins(origin, &layers, unix_now())?;
        index.put_origins(origin, &[config], unix_now())?;
    }
    // The inner ones first, so that nothing is named that is not there.
    for (digest, listed) in documents.indexes.iter().rev() {
        lease.pin(&[digest])?;
        put(store, digest, listed.bytes())?;
        edges(store, digest, listed.value().manifests.iter().map(|child| child.digest).collect())?;
    }
    if let Some(name) = name
        && index.image(name)?.is_none_or(|row| row.manifest != documents.top)
    {
        index.put_image(name, &documents.top, unix_now())?;
    }
    Ok(())
}

fn put(store: &Store, digest: &Digest, bytes: &[u8]) -> Result<(), PullError> {
    let blobs = store.blobs();
    // The same size is not enough: it may be here again because what lies there is damaged.
    if documents::kept(store, digest)?.is_some() {
        return Ok(blobs.keep(digest)?);
    }
    let mut writer = blobs.writer_with(digest.algorithm())?;
    writer.push(bytes)?;
    writer.commit(Expected::exactly(*digest, bytes.len() as u64))?;
    Ok(())
}

/// Writes edges where they differ: each write is a wait for the disk.
fn edges(store: &Store, parent: &Digest, mut children: Vec<Digest>) -> Result<(), PullError> {
    children.sort_unstable();
    children.dedup();
    let mut known = store.index().edges(parent)?;
    known.sort_unstable();
    if known != children {
        store.index().put_edges(parent, &children)?;
    }
    Ok(())
}
