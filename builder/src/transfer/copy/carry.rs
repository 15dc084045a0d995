//! Carries a tree of documents: an index after what it lists, a manifest after its blobs, what refers to it after that.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use futures_util::future::BoxFuture;
use futures_util::{StreamExt, TryStreamExt};
use oci::{Descriptor, Digest, Index, Manifest, Platform, media_type};

use super::checked::Checked;
use super::document::{Document, Parsed};
use super::source::Source;
use super::target::{Presence, Target, Way};
use super::{Copied, CopyError, CopyOptions};
use crate::transfer::{Event, Item, ItemKind, Sink, Step};

/// Blobs under way at once where nobody says: docker's number.
const PARALLEL: usize = 3;
/// Indexes may list indexes, and referrers have referrers; nobody nests deeper.
const MAX_NESTING: usize = 8;
/// Manifests and blobs of one copy.
const MAX_THINGS: usize = 100_000;

/// A copy under way.
pub(super) struct Carry<'a> {
    pub(super) source: &'a Source,
    pub(super) target: &'a Target,
    pub(super) options: &'a CopyOptions,
    pub(super) sink: &'a Sink,
    numbers: AtomicU32,
    moved: AtomicU64,
    manifests: AtomicU32,
    seen: Mutex<BTreeSet<Digest>>,
}

impl<'a> Carry<'a> {
    pub(super) fn new(source: &'a Source, target: &'a Target, options: &'a CopyOptions, sink: &'a Sink) -> Self {
        Self {
            source,
            target,
            options,
            sink,
            numbers: AtomicU32::new(0),
            moved: AtomicU64::new(0),
            manifests: AtomicU32::new(0),
            seen: Mutex::default(),
        }
    }

    /// Carries all of it; the top document gets the name.
    pub(super) async fn whole(&self, top: &Document) -> Result<Copied, CopyError> {
        self.first_time(&top.digest)?;
        self.tree(top.clone(), 0, true).await?;
        let (moved, manifests) = (self.moved.load(Ordering::Relaxed), self.manifests.load(Ordering::Relaxed));
        Ok(Copied { descriptor: top.descriptor(), moved, manifests, fresh: Vec::new() })
    }

    fn tree(&self, document: Document, depth: usize, is_top: bool) -> BoxFuture<'_, Result<(), CopyError>> {
        Box::pin(async move {
            if depth > MAX_NESTING {
                return Err(CopyError::TooMany { limit: MAX_NESTING, what: "indexes in one another" });
            }
            let presence = self.target.presence(&document.descriptor(), is_top).await?;
            let (subject, kind) = match document.parse()? {
                Parsed::Image(manifest) => {
                    if presence == Presence::Absent {
                        self.blobs(&manifest).await?;
                    }
                    (manifest.subject, ItemKind::Manifest)
                }
                Parsed::Index(index) => {
                    self.children(&index, depth).await?;
                    (index.subject, ItemKind::Index)
                }
            };
            self.document(&document, kind, subject.as_ref(), (presence, is_top)).await?;
            if self.options.referrers {
                self.referrers(&document.digest, depth).await?;
            }
            Ok(())
        })
    }

    async fn document(
        &self,
        document: &Document,
        kind: ItemKind,
        subject: Option<&Descriptor>,
        (presence, is_top): (Presence, bool),
    ) -> Result<(), CopyError> {
        let size = document.bytes.len() as u64;
        let number = self.announce(&[(kind, document.digest, size)]);
        self.manifests.fetch_add(1, Ordering::Relaxed);
        // An image that is there by its digest, and not by the name, gets the name.
        let wanted = presence == Presence::Absent || (is_top && presence == Presence::There);
        let sent = wanted && self.target.document(document, subject.map(|one| &one.digest), is_top).await?;
        let step = if sent { Step::Done { moved: size, digest: document.digest } } else { Step::Exists };
        if sent {
            self.moved.fetch_add(size, Ordering::Relaxed);
        }
        self.say(number, step);
        Ok(())
    }

    async fn children(&self, index: &Index, depth: usize) -> Result<(), CopyError> {
        for child in &index.manifests {
            if !self.first_time(&child.digest)? {
                continue;
            }
            let known = media_type::is_manifest(&child.media_type) || media_type::is_index(&child.media_type);
            if !known {
                return Err(CopyError::Document {
                    digest: child.digest,
                    problem: "its index calls it neither an image nor an index".to_owned(),
                });
            }
            let is_image = media_type::is_manifest(&child.media_type);
            let there =
                is_image && !self.options.referrers && self.target.presence(child, false).await? != Presence::Absent;
            if there {
                let number = self.announce(&[(ItemKind::Manifest, child.digest, child.size)]);
                self.manifests.fetch_add(1, Ordering::Relaxed);
                self.say(number, Step::Exists);
                continue;
            }
            let document = self.source.document(child).await?;
            self.tree(document, depth + 1, false).await?;
        }
        Ok(())
    }

    async fn referrers(&self, subject: &Digest, depth: usize) -> Result<(), CopyError> {
        for referrer in self.source.referrers(subject).await? {
            if self.first_time(&referrer.digest)? {
                let document = self.source.document(&referrer).await?;
                self.tree(document, depth + 1, false).await?;
            }
        }
        Ok(())
    }

    /// Carries what a manifest names, some blobs side by side.
    async fn blobs(&self, manifest: &Manifest) -> Result<(), CopyError> {
        let all = manifest.layers.iter().map(|layer| (ItemKind::Layer, layer));
        let mut todo = Vec::new();
        for (kind, descriptor) in all.chain([(ItemKind::Config, &manifest.config)]) {
            if is_foreign(descriptor) {
                let message = format!("{} is to be fetched from elsewhere: left out", descriptor.digest);
                (self.sink)(Event::Note { message });
            } else if self.first_time(&descriptor.digest)? {
                todo.push((kind, descriptor));
            }
        }
        let items: Vec<_> = todo.iter().map(|(kind, one)| (*kind, one.digest, one.size)).collect();
        let first = self.announce(&items);
        let asked = if self.options.parallel == 0 { PARALLEL } else { self.options.parallel };
        let parallel = asked.min(self.target.most_parallel()).max(1);
        let mut carried: Vec<BoxFuture<'_, Result<(), CopyError>>> = Vec::with_capacity(todo.len());
        for (number, (_, descriptor)) in (first..).zip(todo) {
            carried.push(Box::pin(self.blob(number, descriptor)));
        }
        futures_util::stream::iter(carried).buffer_unordered(parallel).try_collect::<()>().await
    }

    async fn blob(&self, number: u32, descriptor: &Descriptor) -> Result<(), CopyError> {
        let source = self.source.blob(descriptor)?;
        let source = Checked::new(source, descriptor.digest, descriptor.size);
        let way = Way { source, from: self.source.repository() };
        let told = |step| self.say(number, step);
        let moved = self.target.blob(descriptor, way, &told).await?;
        self.moved.fetch_add(moved, Ordering::Relaxed);
        Ok(())
    }

    /// Whether this was not met before.
    fn first_time(&self, digest: &Digest) -> Result<bool, CopyError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MAX_THINGS {
            return Err(CopyError::TooMany { limit: MAX_THINGS, what: "manifests and blobs" });
        }
        Ok(seen.insert(*digest))
    }

    /// Tells of more items; gives the number of the first.
    fn announce(&self, items: &[(ItemKind, Digest, u64)]) -> u32 {
        let first = self.numbers.fetch_add(u32::try_from(items.len()).unwrap_or(0), Ordering::Relaxed);
        let numbered = (first..).zip(items);
        let items = numbered.map(|(number, (kind, digest, size))| Item {
            number,
            kind: *kind,
            digest: *digest,
            size: Some(*size),
        });
        let items: Vec<Item> = items.collect();
        if !items.is_empty() {
            (self.sink)(Event::Items { items });
        }
        first
    }

    fn say(&self, number: u32, step: Step) {
        (self.sink)(Event::Item { number, step });
    }
}

/// Layers that their makers forbid to hand on, and that have an address of their own.
fn is_foreign(descriptor: &Descriptor) -> bool {
    let kind = &descriptor.media_type;
    !descriptor.urls.is_empty() && (kind.contains("nondistributable") || kind.contains(".foreign."))
}

/// Of an index the image that is meant: for a platform, unless all are.
pub(super) async fn meant(
    source: &Source,
    options: &CopyOptions,
    place: &str,
    sink: &Sink,
) -> Result<Document, CopyError> {
    let mut document = source.top().await?;
    for _ in 0..MAX_NESTING {
        let Parsed::Index(index) = document.parse()? else { return Ok(document) };
        // A list of artifacts has no platforms to choose from.
        let chosen =
            !options.all && (options.platform.is_some() || index.manifests.iter().any(|one| one.platform.is_some()));
        if !chosen {
            return Ok(document);
        }
        let child = for_platform(&index, options.platform.as_ref(), place)?;
        if index.manifests.len() > 1 && options.platform.is_none() {
            let platform = child.platform.as_ref().map(ToString::to_string).unwrap_or_default();
            let message = format!(
                "{place} is an index of {} manifests: only {platform} is copied (--all copies all)",
                index.manifests.len()
            );
            sink(Event::Note { message });
        }
        document = source.document(child).await?;
    }
    Err(CopyError::TooMany { limit: MAX_NESTING, what: "indexes in one another" })
}

pub(super) fn for_platform<'i>(
    index: &'i Index,
    wanted: Option<&Platform>,
    place: &str,
) -> Result<&'i Descriptor, CopyError> {
    let wanted = wanted.cloned().unwrap_or_else(Platform::host);
    let fits = |one: &&Descriptor| one.platform.as_ref().is_some_and(|own| own.matches(&wanted));
    index.manifests.iter().find(fits).ok_or_else(|| {
        let unknown = |platform: &&Platform| platform.os != "unknown";
        let there = index.manifests.iter().filter_map(|one| one.platform.as_ref()).filter(unknown);
        CopyError::Platform { place: place.to_owned(), there: there.map(ToString::to_string).collect(), wanted }
    })
}
