//! Push: from the store into a repository, making what must be made while it is sent.
//!
//! What an image becomes there is planned from the index alone. Where all of it is known, the first call asks whether the
//! repository has it already, and mostly that is the last one, too.

mod bring;
mod document;
mod error;
mod made;
mod plan;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, TryStreamExt as _};
use oci::{Descriptor, Digest, ImageConfig, Index, Manifest, Platform, Raw, Reference, Tag};
use remote::{Accept, Client, Repository};
use runtime::ladder::Probe;
use store::{Blobs as _, Lease, Origin, Store};
use tokio::sync::Semaphore;

use crate::Compress;
use crate::attest::{self, Attested, Became};
use crate::build::{millis_now, unix_now};
use crate::export::encode::Formed;
use crate::transfer::{Direction, Event, Item, ItemKind, Sink, Step};
use document::{Content, Document};
use plan::Part;

pub use error::PushError;

/// Layers that are on their way side by side where nothing else is said.
const PARALLEL: usize = 3;
/// Indexes may list indexes; nobody nests deeper.
const MAX_NESTING: usize = 8;

/// How an image is pushed.
#[derive(Clone, Debug)]
pub struct PushOptions {
    /// The form of layers that are in no compressed form yet (gzip where none is named); of all, with `force`.
    pub compress: Compress,
    /// Layers side by side.
    pub parallel: usize,
    /// Of an index, push the image of this platform alone, and not the index.
    pub platform: Option<Platform>,
    /// Send chunks of so many bytes instead of one stream.
    pub chunk: Option<u64>,
    /// Push by digest, whatever tag the reference has.
    pub untagged: bool,
}

impl Default for PushOptions {
    fn default() -> Self {
        Self { compress: Compress::default(), parallel: PARALLEL, platform: None, chunk: None, untagged: false }
    }
}

/// What a push brought about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The manifest or index as it is in the repository now.
    pub descriptor: Descriptor,
    /// Bytes that moved.
    pub moved: u64,
}

/// Pushes an image of the store: `image` is a manifest or an index, `to` names the repository and the tag.
///
/// Without `probe` (which was entered) trees of an ordinary user are not read: [`PushError::NeedsSandbox`].
///
/// # Errors
/// See [`PushError`]. What was sent stays, and is not sent again.
pub async fn push(
    store: &Arc<Store>,
    client: &Client,
    image: &Digest,
    to: &Reference,
    options: &PushOptions,
    probe: Option<&Probe>,
    sink: &Sink,
) -> Result<Pushed, PushError> {
    let target = client.route(to)?.target().clone();
    sink(Event::Begun { direction: Direction::Push, what: to.to_string(), time: millis_now() });
    let pusher = Pusher {
        store,
        client,
        target,
        to,
        options,
        trees: probe.is_some() || rustix::process::geteuid().is_root(),
        sink,
        encoder: Arc::new(Semaphore::new(1)),
        items: AtomicU32::new(0),
        moved: AtomicU64::new(0),
        there: Mutex::default(),
        lease: Mutex::default(),
    };
    let top = pusher.top(image).await?;
    let descriptor = pusher.tree(top, pusher.name()?, 0).await?.descriptor();
    pusher.remember()?;
    let moved = pusher.moved.load(Ordering::Relaxed);
    sink(Event::Finished { digest: descriptor.digest, moved, time: millis_now() });
    Ok(Pushed { descriptor, moved })
}

/// What a document is called in the repository.
#[derive(Clone, Debug)]
enum Name {
    Tag(Tag),
    /// Its digest; `Some`: it must be this one.
    Digest(Option<Digest>),
}

/// A push under way.
struct Pusher<'a> {
    store: &'a Arc<Store>,
    client: &'a Client,
    target: Repository,
    to: &'a Reference,
    options: &'a PushOptions,
    /// Whether the files of trees can be read here.
    trees: bool,
    sink: &'a Sink,
    /// One layer is compressed at a time, by all cores: more would only take more memory.
    encoder: Arc<Semaphore>,
    items: AtomicU32,
    moved: AtomicU64,
    /// What the repository has by now.
    there: Mutex<Vec<Digest>>,
    /// Taken before the first byte moves: a push that finds everything there needs none.
    lease: Mutex<Option<Lease>>,
}

impl Pusher<'_> {
    /// The document that the push is about.
    async fn top(&self, image: &Digest) -> Result<Document, PushError> {
        let stored = Document::stored(self.store, image, None)?;
        let top = stored.ok_or(PushError::Gone { what: "manifest", digest: *image, source: None })?;
        match (&self.options.platform, &top.content) {
            (Some(platform), Content::Index(index)) => {
                let child = document::choose(image, index, platform)?.clone();
                self.child(&child, &[*image]).await
            }
            _ => Ok(top),
        }
    }

    fn name(&self) -> Result<Name, PushError> {
        if self.options.untagged {
            return Ok(Name::Digest(None));
        }
        match (self.to.tag(), self.to.digest()) {
            (Some(tag), _) => Ok(Name::Tag(tag.clone())),
            (None, Some(digest)) => Ok(Name::Digest(Some(*digest))),
            (None, None) => match "latest".parse() {
                Ok(tag) => Ok(Name::Tag(tag)),
                Err(_) => Ok(Name::Digest(None)),
            },
        }
    }

    /// A document that an index lists: from the store, or from where it or the index was seen.
    async fn child(&self, child: &Descriptor, parents: &[Digest]) -> Result<Document, PushError> {
        if let Some(stored) = Document::stored(self.store, &child.digest, Some(&child.media_type))? {
            return Ok(stored);
        }
        let mut places = document::places(self.store, self.client, &child.digest)?;
        for parent in parents {
            places.extend(document::places_of_parent(self.store, self.client, parent)?);
        }
        Document::fetched(places, child).await
    }

    /// A document with all that it lists; gives it as it is in the repository.
    fn tree(&self, document: Document, name: Name, depth: usize) -> BoxFuture<'_, Result<Document, PushError>> {
        Box::pin(async move {
            if depth > MAX_NESTING {
                return Err(PushError::NotAnImage { digest: document.digest, problem: "an index of too many indexes" });
            }
            if let Some(planned) = self.planned(&document, depth)?
                && self.has(&planned.digest, &name).await?
            {
                if let Name::Digest(Some(named)) = &name
                    && *named != planned.digest
                {
                    return Err(PushError::OtherDigest { named: *named, made: planned.digest });
                }
                let number = self.announce(&[item(&planned)]);
                (self.sink)(Event::Item { number, step: Step::Exists });
                return Ok(planned);
            }
            self.hold(&document.digest)?;
            let ready = match &document.content {
                Content::Image(manifest) => {
                    let layers = self.image(&document, manifest).await?;
                    let changed = plan::with_layers(self.store, &document, &layers)?;
                    if let Some(config) = &changed.config {
                        self.config(config, &manifest.config.media_type).await?;
                    }
                    changed.document
                }
                Content::Index(index) => {
                    let children = self.children(&document, index, depth).await?;
                    plan::with_children(&document, &children)?
                }
            };
            self.put(&ready, &name).await?;
            Ok(ready)
        })
    }

    /// What a document becomes, where all of it is known; `None` where something must be made.
    fn planned(&self, document: &Document, depth: usize) -> Result<Option<Document>, PushError> {
        match &document.content {
            Content::Image(manifest) => {
                let parts = plan::layers(self.store, document, manifest, &self.options.compress)?;
                let known: Option<Vec<Formed>> = parts.iter().map(Part::formed).collect();
                let changed = known.map(|layers| plan::with_layers(self.store, document, &layers)).transpose()?;
                Ok(changed.map(|changed| changed.document))
            }
            Content::Index(index) if depth <= MAX_NESTING => {
                let mut children = Vec::new();
                let mut became = BTreeMap::new();
                for child in &index.manifests {
                    if let Some(attested) = self.retargeted(child, &became)? {
                        children.push(attested.descriptor());
                        continue;
                    }
                    let stored = Document::stored(self.store, &child.digest, Some(&child.media_type))?;
                    let Some(stored) = stored else {
                        children.push(child.clone());
                        continue;
                    };
                    let Some(planned) = self.planned(&stored, depth + 1)? else { return Ok(None) };
                    became.insert(child.digest, planned.became());
                    children.push(planned.descriptor());
                }
                plan::with_children(document, &children).map(Some)
            }
            Content::Index(_) => Ok(None),
        }
    }

    /// Whether the repository has this document under this name.
    async fn has(&self, digest: &Digest, name: &Name) -> Result<bool, PushError> {
        let accept = Accept::default();
        let found = match name {
            Name::Tag(tag) => match self.target.head_manifest(tag, &accept).await {
                // A registry that names no digest is asked for the manifest: it is small.
                Ok(known) if known.digest.is_none() => {
                    self.target.manifest_by_tag(tag, &accept).await.map(|found| found.digest == *digest)
                }
                other => other.map(|known| known.digest == Some(*digest)),
            },
            Name::Digest(_) => self.target.head_manifest_by_digest(digest, &accept).await.map(|_| true),
        };
        match found {
            Err(error) if error.is_not_found() => Ok(false),
            other => Ok(other?),
        }
    }

    /// Brings the blobs of an image; gives its layers as they are in the repository.
    async fn image(&self, document: &Document, manifest: &Manifest) -> Result<Vec<Formed>, PushError> {
        let layers = plan::layers(self.store, document, manifest, &self.options.compress)?;
        for part in &layers {
            if bring::is_unreadable(self.store, part, self.trees)? {
                return Err(PushError::NeedsSandbox);
            }
        }
        let config = Part::as_it_is(&manifest.config);
        let mut wanted: BTreeMap<Digest, (ItemKind, &Part)> = BTreeMap::new();
        let mut order = Vec::new();
        // One that is going to be another waits until it is known.
        if !layers.iter().any(Part::changes_config) {
            wanted.insert(config.name(), (ItemKind::Config, &config));
            order.push(config.name());
        }
        for part in layers.iter().filter(|part| !part.is_elsewhere()) {
            if wanted.insert(part.name(), (ItemKind::Layer, part)).is_none() {
                order.push(part.name());
            }
        }
        let items: Vec<_> = order
            .iter()
            .filter_map(|name| {
                wanted.get(name).map(|(kind, part)| (*kind, *name, part.known.as_ref().map(|known| known.size)))
            })
            .collect();
        let first = self.announce(&items);
        let mut work: Vec<BoxFuture<'_, Result<(Digest, Formed), PushError>>> = Vec::new();
        for (name, number) in order.iter().copied().zip(first..) {
            if let Some((_, part)) = wanted.get(&name).copied() {
                work.push(Box::pin(async move { Ok((name, self.bring(part, number, &document.from).await?)) }));
            }
        }
        let parallel = self.options.parallel.max(1);
        let made: BTreeMap<Digest, Formed> =
            futures_util::stream::iter(work).buffer_unordered(parallel).try_collect().await?;
        let own = |part: &Part| Formed::from(part.own.clone());
        Ok(layers.iter().map(|part| made.get(&part.name()).cloned().unwrap_or_else(|| own(part))).collect())
    }

    /// Brings a configuration that was made for the forms that layers have.
    async fn config(&self, config: &Raw<ImageConfig>, media_type: &str) -> Result<(), PushError> {
        self.hold(&config.digest())?;
        self.store.blobs().put_bytes(config.bytes())?;
        let part = Part::as_it_is(&Descriptor::new(media_type, config.digest(), config.size()));
        let number = self.announce(&[(ItemKind::Config, config.digest(), Some(config.size()))]);
        self.bring(&part, number, &[]).await.map(drop)
    }

    /// Brings what an index lists, one after the other; gives the entries as they are in the repository.
    async fn children(&self, document: &Document, index: &Index, depth: usize) -> Result<Vec<Descriptor>, PushError> {
        let mut children = Vec::with_capacity(index.manifests.len());
        let mut became = BTreeMap::new();
        for child in &index.manifests {
            let name = Name::Digest(None);
            if let Some(attested) = self.retargeted(child, &became)? {
                self.attested(&attested, depth).await?;
                children.push(attested.descriptor());
                continue;
            }
            let stored = Document::stored(self.store, &child.digest, Some(&child.media_type))?;
            if stored.is_none() && self.has(&child.digest, &name).await? {
                children.push(child.clone());
                continue;
            }
            let found = match stored {
                Some(stored) => stored,
                None => self.child(child, &[document.digest]).await?,
            };
            let there = self.tree(found, name, depth + 1).await?;
            became.insert(child.digest, there.became());
            children.push(there.descriptor());
        }
        Ok(children)
    }

    /// What an entry says of an image that goes out with another digest, said of that one.
    fn retargeted(&self, entry: &Descriptor, became: &BTreeMap<Digest, Became>) -> Result<Option<Attested>, PushError> {
        attest::retargeted(self.store, entry, became)
            .map_err(|source| PushError::Attestation { digest: entry.digest, source })
    }

    /// Puts such statements into the store, and from there into the repository.
    async fn attested(&self, attested: &Attested, depth: usize) -> Result<(), PushError> {
        let descriptor = attested.descriptor();
        let digest = descriptor.digest;
        self.hold(&digest)?;
        let lease = self.store.lease()?;
        attested.commit(self.store, &lease).map_err(|source| PushError::Attestation { digest, source })?;
        let gone = || PushError::Gone { what: "manifest", digest, source: None };
        let stored = Document::stored(self.store, &digest, Some(&descriptor.media_type))?.ok_or_else(gone)?;
        self.tree(stored, Name::Digest(None), depth + 1).await.map(drop)
    }

    /// Puts a document whose blobs are there.
    async fn put(&self, document: &Document, name: &Name) -> Result<(), PushError> {
        if let Name::Digest(Some(named)) = name
            && *named != document.digest
        {
            return Err(PushError::OtherDigest { named: *named, made: document.digest });
        }
        let number = self.announce(&[item(document)]);
        let reference = match name {
            Name::Tag(tag) => remote::Reference::Tag(tag),
            Name::Digest(_) => remote::Reference::Digest(&document.digest),
        };
        self.target.put_manifest(&reference, &document.media_type, document.bytes.clone()).await?;
        self.there(document.digest);
        let moved = document.bytes.len() as u64;
        self.count(moved);
        (self.sink)(Event::Item { number, step: Step::Done { moved, digest: document.digest } });
        Ok(())
    }

    /// Announces items; gives the number of the first.
    fn announce(&self, items: &[(ItemKind, Digest, Option<u64>)]) -> u32 {
        let first = self.items.fetch_add(u32::try_from(items.len()).unwrap_or(u32::MAX), Ordering::Relaxed);
        let items = items.iter().zip(first..);
        let items =
            items.map(|((kind, digest, size), number)| Item { number, kind: *kind, digest: *digest, size: *size });
        (self.sink)(Event::Items { items: items.collect() });
        first
    }

    fn count(&self, moved: u64) {
        self.moved.fetch_add(moved, Ordering::Relaxed);
    }

    fn there(&self, digest: Digest) {
        self.there.lock().unwrap_or_else(PoisonError::into_inner).push(digest);
    }

    /// Keeps a collector away from what is pushed.
    fn hold(&self, digest: &Digest) -> Result<(), PushError> {
        let mut lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        let held = match &mut *lease {
            Some(held) => held,
            none => none.insert(self.store.lease()?),
        };
        Ok(held.pin(&[digest])?)
    }

    /// Remembers what the repository has.
    fn remember(&self) -> Result<(), PushError> {
        let there = self.there.lock().unwrap_or_else(PoisonError::into_inner);
        if there.is_empty() {
            return Ok(());
        }
        let origin =
            Origin { registry: self.to.registry().to_owned(), repository: self.to.repository().as_str().to_owned() };
        Ok(self.store.index().put_origins(&origin, &there, unix_now())?)
    }
}

/// A document as an item.
fn item(document: &Document) -> (ItemKind, Digest, Option<u64>) {
    let kind = match &document.content {
        Content::Image(_) => ItemKind::Manifest,
        Content::Index(_) => ItemKind::Index,
    };
    (kind, document.digest, Some(document.bytes.len() as u64))
}
