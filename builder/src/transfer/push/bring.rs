//! One blob into the repository: found there, mounted, sent as it is, or made while it is sent.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use oci::{Descriptor, DiffId, Digest};
use remote::{FileSource, How, Pieces, RemoteSource, Source, SourceError, Told, UploadOptions, Uploaded};
use store::{Blobs, Store};

use super::document::places;
use super::made::{Made, Reading};
use super::plan::Part;
use super::{PushError, Pusher};
use crate::export::encode::Formed;
use crate::export::form::Wanted;
use crate::export::plain::{Found, Plain};
use crate::transfer::{Event, Step};

/// A blob of which no byte can be had: it may be in the repository all the same.
struct Nowhere(Digest, u64);

impl Source for Nowhere {
    fn known(&self) -> Option<(Digest, u64)> {
        Some((self.0, self.1))
    }

    fn open(&self, _: u64) -> BoxFuture<'_, Result<Pieces, SourceError>> {
        Box::pin(async move { Err(format!("{} is not here, and no registry is known to have it", self.0).into()) })
    }
}

impl Pusher<'_> {
    /// Sees to it that a part is in the repository; gives what it became.
    pub(super) async fn bring(
        &self,
        part: &Part,
        number: u32,
        from: &[remote::Repository],
    ) -> Result<Formed, PushError> {
        let mut gone = None;
        if let Some(known) = part.formed() {
            match self.bring_known(&known.descriptor, number, from).await {
                Ok(()) => return Ok(known),
                Err(PushError::Remote(error @ remote::Error::Source { .. })) => gone = Some(error),
                Err(error) => return Err(error),
            }
        }
        let Some((diff_id, wanted)) = part.recipe else {
            return Err(PushError::Gone { what: "blob", digest: part.name(), source: gone });
        };
        let (store, trees) = (Arc::clone(self.store), self.trees);
        let plain = blocking(move || Plain::find(&store, &diff_id, trees)).await??;
        let plain = match plain {
            Found::Here(plain) => plain,
            Found::Unreadable => return Err(PushError::NeedsSandbox),
            Found::Nowhere => return Err(PushError::Gone { what: "layer", digest: part.name(), source: gone }),
        };
        let made = self.make(&diff_id, plain, wanted, number).await?;
        if let Some(known) = part.known.as_ref().filter(|known| known.digest != made.descriptor.digest) {
            let message = format!(
                "layer {} is nowhere any more; it was made again, and is {} now",
                known.digest, made.descriptor.digest
            );
            (self.sink)(Event::Note { message });
        }
        Ok(made)
    }

    /// Brings a blob whose digest is known. A cached file that turns out to be something else is dropped, and the
    /// next best source taken.
    async fn bring_known(&self, known: &Descriptor, number: u32, from: &[remote::Repository]) -> Result<(), PushError> {
        let mounts = self.mounts(&known.digest)?;
        let options = UploadOptions { ask: true, mounts, mount_any: true, chunk: self.options.chunk };
        let source = self.source(known, from)?;
        let outcome = self.upload(&*source, &options, number, Some(known.size)).await;
        match outcome {
            Err(error) if error.is_digest_refused() && self.store.remove_compressed(&known.digest)? => {
                (self.sink)(Event::Note { message: format!("the cached file of {} was damaged", known.digest) });
                let source = self.source(known, from)?;
                self.upload(&*source, &options, number, Some(known.size)).await?;
                Ok(())
            }
            other => other.map(drop).map_err(PushError::from),
        }
    }

    /// Repositories of the target's registry in which the blob was seen.
    fn mounts(&self, digest: &Digest) -> Result<Vec<oci::RepositoryName>, PushError> {
        let origins = self.store.index().origins(digest)?.into_iter();
        let here = origins.filter(|origin| origin.registry == self.to.registry());
        Ok(here.filter_map(|origin| origin.repository.parse().ok()).collect())
    }

    /// The best source of a blob: the store, its cache, or where it was seen.
    fn source(&self, known: &Descriptor, from: &[remote::Repository]) -> Result<Box<dyn Source>, PushError> {
        let (digest, size) = (known.digest, known.size);
        if self.store.blobs().size(&digest)? == Some(size) {
            return Ok(Box::new(FileSource::new(self.store.layout().blob(&digest), digest, size)));
        }
        if let Some(path) = self.store.compressed(&digest, size) {
            return Ok(Box::new(FileSource::new(path, digest, size)));
        }
        let mut seen = places(self.store, self.client, &digest)?;
        seen.extend(from.iter().cloned());
        Ok(match seen.is_empty() {
            true => Box::new(Nowhere(digest, size)),
            false => Box::new(RemoteSource::new(seen, digest, size)),
        })
    }

    /// Makes a form of a layer while it is sent. One is made at a time, on all cores.
    async fn make(&self, diff_id: &DiffId, plain: Plain, wanted: Wanted, number: u32) -> Result<Formed, PushError> {
        match self.make_once(diff_id, &plain, wanted, number).await {
            // The disk, or something on the way, changed a bit: once more from the beginning.
            Err(PushError::Remote(error)) if error.is_digest_refused() => {
                self.make_once(diff_id, &plain, wanted, number).await
            }
            other => other,
        }
    }

    async fn make_once(
        &self,
        diff_id: &DiffId,
        plain: &Plain,
        wanted: Wanted,
        number: u32,
    ) -> Result<Formed, PushError> {
        let permit = self.encoder.clone().acquire_owned().await.map_err(|_| PushError::Panicked)?;
        let made = Made::new();
        let job = {
            let (store, plain, diff_id) = (Arc::clone(self.store), plain.clone(), *diff_id);
            let made = Arc::clone(&made);
            blocking(move || {
                let _permit = permit;
                made.make(&store, &diff_id, &plain, &wanted)
            })
        };
        let options = UploadOptions { ask: false, mounts: Vec::new(), mount_any: false, chunk: self.options.chunk };
        let reading = Reading(Arc::clone(&made));
        let send = async {
            let sent = self.upload(&reading, &options, number, None).await;
            if sent.is_err() {
                made.give_up();
            }
            sent
        };
        let (sent, job) = tokio::join!(send, job);
        match (sent, job?) {
            (Ok(_), Ok(formed)) => Ok(formed),
            // A source that failed says so only by way of the wire.
            (Ok(_) | Err(remote::Error::Source { .. }), Err(error)) => Err(error.into()),
            (Err(error), made) => {
                if let (true, Ok(made)) = (error.is_digest_refused(), made) {
                    self.store.remove_compressed(&made.descriptor.digest)?;
                }
                Err(error.into())
            }
        }
    }

    /// One upload, and what is told of it.
    async fn upload(
        &self,
        source: &dyn Source,
        options: &UploadOptions,
        number: u32,
        total: Option<u64>,
    ) -> remote::Result<Uploaded> {
        let say = |step| (self.sink)(Event::Item { number, step });
        let told = |told| {
            say(match told {
                Told::Resumed(at) => Step::Resumed { at },
                Told::Moved(done) => {
                    Step::Moved { done, total: total.or_else(|| source.known().map(|(_, size)| size)) }
                }
                Told::Retried(why) => Step::Retried { why },
            });
        };
        let uploaded = self.target.upload(source, options, &told).await?;
        self.count(uploaded.sent);
        say(match &uploaded.how {
            How::Existed => Step::Exists,
            How::Mounted(from) => Step::Mounted { from: from.as_ref().map(ToString::to_string) },
            How::Sent => Step::Done { moved: uploaded.sent, digest: uploaded.digest },
        });
        self.there(uploaded.digest);
        Ok(uploaded)
    }
}

/// Work that waits for the disk or the processor.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, PushError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| PushError::Panicked)
}

/// Whether a part must be made of files that cannot be read here.
pub(super) fn is_unreadable(store: &Store, part: &Part, trees: bool) -> Result<bool, PushError> {
    match (&part.known, &part.recipe) {
        (None, Some((diff_id, _))) if !trees => Ok(Plain::find(store, diff_id, false)? == Found::Unreadable),
        _ => Ok(false),
    }
}
