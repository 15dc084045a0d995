//! One layer: waited for, taken up, fetched, unpacked, compared, and only then a row.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use layer::Compression;
use oci::{Descriptor, DiffId, Digest, media_type};
use remote::{Fetch, ReadAhead, Repository};
use runtime::tree::{ApplyOptions, IdPolicy};
use store::{Download, KeyLock, LayerId, LayerRow, Lease, Origin, Store, TreeForm, Variant};
use sys::Root;

use super::PullError;
use super::arrive::{Arrived, arrive};
use super::documents::is_foreign;
use super::feed;
use super::presence::{Form, Presence};
use super::tell::Voice;
use crate::build::unix_now;
use crate::cache::backend::{Backend, BackendError, Blob};
use crate::layers;
use crate::transfer::event::{Sink, Step};

/// Layers of this size on are kept while they come, so that the next try need not begin anew.
const KEPT_FROM: u64 = 8 << 20;
/// How often we look whether another process has finished.
const POLL: Duration = Duration::from_millis(20);

/// A layer that an image wants.
#[derive(Clone)]
pub(super) struct Wanted {
    pub(super) blob: Descriptor,
    pub(super) diff_id: DiffId,
    /// Where to ask, one after the other.
    pub(super) sources: Vec<Repository>,
    /// The one that is believed most: the registry itself.
    pub(super) itself: Option<Repository>,
    /// The repository that is remembered for it.
    pub(super) origin: Origin,
    /// The cache that has it, in place of repositories.
    pub(super) cache: Option<Arc<dyn Backend>>,
}

impl Wanted {
    /// A layer of which nobody knows where it is.
    pub(super) fn nowhere(blob: Descriptor, diff_id: DiffId) -> Self {
        let origin = Origin { registry: String::new(), repository: String::new() };
        Self { blob, diff_id, sources: Vec::new(), itself: None, origin, cache: None }
    }

    /// A layer that a cache has.
    pub(super) fn of_cache(cache: Arc<dyn Backend>, blob: Descriptor, diff_id: DiffId) -> Self {
        Self { cache: Some(cache), ..Self::nowhere(blob, diff_id) }
    }
}

/// What became of a layer.
pub(super) enum Outcome {
    /// The store had it, or another process made it meanwhile.
    Exists,
    /// It is there, row and all.
    Kept(LayerId, u64),
    /// It is there, but some of its directories take their attributes from layers below; its row waits for that.
    Unsettled(Box<Made>),
}

/// A tree that goes away again unless it is kept.
struct Sapling {
    session: Arc<Session>,
    name: Arc<Name>,
    kept: AtomicBool,
}

/// The name of a tree that nobody else may make meanwhile.
struct Name {
    id: LayerId,
    _lock: KeyLock,
}

impl Drop for Sapling {
    fn drop(&mut self) {
        if !self.kept.load(Ordering::Relaxed) {
            // A collector takes what cannot be removed now.
            drop(self.session.clean(&self.name.id));
        }
    }
}

/// A layer that was unpacked and compared, and has no row yet.
pub(super) struct Made {
    sapling: Sapling,
    pub(super) row: LayerRow,
    pub(super) diff_id: DiffId,
    /// Directories that its tar implied.
    pub(super) implied: Vec<Vec<u8>>,
    pub(super) moved: u64,
    variant: Option<Variant>,
    origin: Origin,
}

/// What all layers of one pull share.
pub(super) struct Session {
    pub(super) store: Arc<Store>,
    pub(super) lease: Lease,
    pub(super) sink: Sink,
    pub(super) ahead: ReadAhead,
    /// Whether the kernel refuses to record owners.
    pub(super) single_id: bool,
}

impl Session {
    /// Where the owners of a tree stand.
    pub(super) fn ids(&self, tree: &Path) -> IdPolicy {
        if self.single_id { IdPolicy::Recorded(tree.to_path_buf()) } else { IdPolicy::Keep }
    }

    /// Brings one layer.
    pub(super) async fn layer(self: &Arc<Self>, wanted: Wanted, mut voice: Voice) -> Result<Outcome, PullError> {
        let lock = self.turn(&wanted.diff_id, &voice).await?;
        let form = Presence::new(&self.store)?.of(&wanted.diff_id, Some(&self.lease))?;
        if form == Form::Usable {
            voice.say(Step::Exists);
            return Ok(Outcome::Exists);
        }
        let name = Arc::new(self.name(form)?);
        self.lease.pin(&[&name.id])?;
        let made = self.bring(&name, &wanted, &mut voice).await?;
        let moved = made.moved;
        voice.say(Step::Done { moved, digest: wanted.blob.digest });
        if !made.implied.is_empty() {
            return Ok(Outcome::Unsettled(Box::new(made)));
        }
        let session = self.clone();
        blocking(move || session.keep(&made)).await?;
        drop(lock);
        Ok(Outcome::Kept(name.id.clone(), moved))
    }

    /// Waits until no other process brings the same layer. Another one that dies leaves its turn to us.
    async fn turn(&self, diff_id: &DiffId, voice: &Voice) -> Result<KeyLock, PullError> {
        let key = format!("pull-{}", diff_id.digest().hex());
        let mut told = false;
        loop {
            if let Some(lock) = self.store.try_lock_key(&key)? {
                return Ok(lock);
            }
            if !std::mem::replace(&mut told, true) {
                voice.say(Step::Waiting);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// The name of the layer to be. One that lost its tree gets it back under its old name.
    fn name(&self, form: Form) -> Result<Name, PullError> {
        if let Form::Lost(id) = form
            && let Some(lock) = self.store.try_lock_key(&format!("tree-{id}"))?
        {
            return Ok(Name { id, _lock: lock });
        }
        let id = LayerId::mint();
        let lock = self.store.lock_key(&format!("tree-{id}"))?;
        Ok(Name { id, _lock: lock })
    }

    /// Fetches and unpacks. What an earlier try left, or a mirror sent, may be wrong: then once more, from the beginning and
    /// from the registry itself.
    async fn bring(self: &Arc<Self>, name: &Arc<Name>, wanted: &Wanted, voice: &mut Voice) -> Result<Made, PullError> {
        let kept = wanted.blob.size >= KEPT_FROM;
        let download = if kept { self.store.download(&wanted.blob.digest)? } else { None };
        match self.once(name, wanted, &wanted.sources, download, voice).await {
            Err(Failed { error, doubtful: true }) => {
                voice.say(Step::Retried { why: error.to_string() });
                let download = if kept { self.store.download(&wanted.blob.digest)? } else { None };
                let itself = wanted.itself.as_slice();
                self.once(name, wanted, itself, download, voice).await.map_err(|failed| failed.error)
            }
            other => other.map_err(|failed| failed.error),
        }
    }

    async fn once(
        self: &Arc<Self>,
        name: &Arc<Name>,
        wanted: &Wanted,
        sources: &[Repository],
        mut download: Option<Download>,
        voice: &mut Voice,
    ) -> Result<Made, Failed> {
        let size = wanted.blob.size;
        if let Some(kept) = download.as_mut().filter(|kept| kept.len() > size) {
            kept.cut(0).map_err(PullError::from)?;
        }
        let resumed = download.as_ref().map_or(0, Download::len);
        if resumed > 0 {
            voice.say(Step::Resumed { at: resumed });
        }
        let (sender, receiver) = feed::channel();
        let (session, own, algorithm) = (self.clone(), name.clone(), wanted.blob.digest.algorithm());
        let unpacking = tokio::task::spawn_blocking(move || session.unpack(own, algorithm, download, receiver));
        let fetched = self.fetch(wanted, sources, resumed, &sender, voice).await;
        drop(sender);
        let ended = unpacking.await;
        let ended = ended.map_err(|error| PullError::Broken(format!("the unpacking thread: {error}")))?;
        let (sapling, arrived) = ended?;
        self.judge(sapling, wanted, resumed, sources.len(), fetched, arrived)
    }

    /// Sends what is still to come to the unpacker.
    async fn fetch(
        &self,
        wanted: &Wanted,
        sources: &[Repository],
        resumed: u64,
        sender: &feed::Sender,
        voice: &mut Voice,
    ) -> Result<u64, PullError> {
        let size = wanted.blob.size;
        if let Some(cache) = &wanted.cache {
            return self.fetch_from(cache, wanted, resumed, sender, voice).await;
        }
        if sources.is_empty() {
            return Err(PullError::NoOrigin { layer: wanted.blob.digest });
        }
        let mut fetch = Fetch::new(sources, &wanted.blob.digest, size, resumed, None, &self.ahead);
        voice.moved(resumed, size);
        while let Some(bytes) = fetch.next().await? {
            for why in fetch.troubles() {
                voice.say(Step::Retried { why });
            }
            if !sender.send(bytes).await {
                break;
            }
            voice.moved(fetch.position(), size);
        }
        Ok(fetch.position() - resumed)
    }

    /// Sends what a cache has that is no registry; it is read from its beginning, whatever came before.
    async fn fetch_from(
        &self,
        cache: &Arc<dyn Backend>,
        wanted: &Wanted,
        resumed: u64,
        sender: &feed::Sender,
        voice: &mut Voice,
    ) -> Result<u64, PullError> {
        let (digest, size) = (wanted.blob.digest, wanted.blob.size);
        let (sender, handle, cache) = (sender.clone(), tokio::runtime::Handle::current(), Arc::clone(cache));
        let reading = move || {
            let mut feeding = feed::Feeding { sender, handle, skip: resumed };
            let failed = |error: BackendError| PullError::Cache { problem: error.to_string(), lie: error.is_lie() };
            cache.get_blob(&Blob { digest, size }, &mut feeding).map_err(failed)
        };
        blocking(reading).await?;
        voice.moved(size, size);
        Ok(size - resumed)
    }

    /// Unpacks into the layer's own folder; nobody knows of it yet.
    fn unpack(
        self: &Arc<Self>,
        name: Arc<Name>,
        algorithm: oci::Algorithm,
        download: Option<Download>,
        receiver: feed::Receiver,
    ) -> Result<(Sapling, Arrived), PullError> {
        let id = name.id.clone();
        self.clean(&id)?;
        let sapling = Sapling { session: self.clone(), name, kept: AtomicBool::new(false) };
        let tree = self.store.layout().tree(&id);
        fs::create_dir_all(&tree).map_err(|source| PullError::Io { call: "mkdir", path: tree.clone(), source })?;
        let root = Root::open(&tree).map_err(|error| unpack_failed(&id, error))?;
        let allowance = layers::allowance(&self.store);
        let options = ApplyOptions { ids: self.ids(&tree), allowance, ..ApplyOptions::default() };
        let split = self.store.create_split(&id)?;
        let arrived = arrive(algorithm, download, receiver, &root, &options, split)?;
        Ok((sapling, arrived))
    }

    /// Takes away what an earlier try of the same name left.
    fn clean(&self, id: &LayerId) -> Result<(), PullError> {
        layers::remove(&self.store.layout().snapshot(id.as_str())).map_err(|error| unpack_failed(id, error))?;
        self.store.remove_split(id)?;
        Ok(())
    }

    /// Compares all that can be compared.
    fn judge(
        &self,
        sapling: Sapling,
        wanted: &Wanted,
        resumed: u64,
        sources: usize,
        fetched: Result<u64, PullError>,
        arrived: Arrived,
    ) -> Result<Made, Failed> {
        let Arrived { blob, unpacked, download } = arrived;
        let digest = wanted.blob.digest;
        let moved = match fetched {
            Ok(moved) => moved,
            // What came stays for the next try.
            Err(PullError::Remote(error)) if error.is_not_found() && is_foreign(&wanted.blob) => {
                let problem = "its makers do not let registries hand it out, and this one does not have it".to_owned();
                return Err(PullError::Refused { name: format!("layer {digest}"), problem }.into());
            }
            Err(error) => {
                if let Some(nothing) = download.filter(Download::is_empty) {
                    nothing.remove().map_err(PullError::from)?;
                }
                return Err(error.into());
            }
        };
        let is_right = blob == Some((digest, wanted.blob.size));
        // They are a tree now, or wrong.
        if let Some(download) = download {
            download.remove().map_err(PullError::from)?;
        }
        if let (Some((found, size)), false) = (blob, is_right) {
            let doubtful = resumed > 0 || sources > 1;
            return Err(Failed { error: wrong_bytes(wanted, found, size).into(), doubtful });
        }
        let unpacked = unpacked.map_err(|source| PullError::Unpack { layer: digest, source: Box::new(source) })?;
        if unpacked.diff_id != wanted.diff_id {
            let (expected, found) = (wanted.diff_id, unpacked.diff_id);
            return Err(PullError::DiffId { layer: digest, expected, found }.into());
        }
        if !is_right {
            return Err(PullError::Broken(format!("layer {digest} was not compared with its digest")).into());
        }
        if !unpacked.whole {
            // It could not give the tar back: the registry has to, if anybody asks.
            self.store.remove_split(&sapling.name.id).map_err(PullError::from)?;
        }
        let boot = store::boot_id().map_err(store::Error::from).map_err(PullError::from)?;
        let tree = Some(TreeForm { boot: Some(boot) });
        let row = LayerRow { id: sapling.name.id.clone(), tree, blob: None, size: unpacked.size, created: unix_now() };
        let variant = media_type_of(unpacked.compression).map(|media_type| Variant {
            media_type: media_type.to_owned(),
            blob: digest,
            size: wanted.blob.size,
        });
        let implied = unpacked.implied;
        Ok(Made { sapling, row, diff_id: wanted.diff_id, implied, moved, variant, origin: wanted.origin.clone() })
    }

    /// Writes the row: from here on the layer is there.
    pub(super) fn keep(&self, layer: &Made) -> Result<(), PullError> {
        let index = self.store.index();
        if let Some(variant) = &layer.variant {
            index.put_variant(&layer.diff_id, variant)?;
            if !layer.origin.registry.is_empty() {
                index.put_origins(&layer.origin, &[variant.blob], unix_now())?;
            }
        }
        index.put_layer_with_diff_id(&layer.row, &layer.diff_id)?;
        layer.sapling.kept.store(true, Ordering::Relaxed);
        Ok(())
    }
}

/// Why a try failed, and whether another source, or the beginning, may give something else.
struct Failed {
    error: PullError,
    doubtful: bool,
}

impl From<PullError> for Failed {
    fn from(error: PullError) -> Self {
        Self { error, doubtful: false }
    }
}

fn wrong_bytes(wanted: &Wanted, found: Digest, size: u64) -> remote::Error {
    let place =
        remote::Place { registry: wanted.origin.registry.clone(), repository: wanted.origin.repository.clone() };
    let what = format!("blob {}", wanted.blob.digest);
    if size != wanted.blob.size {
        return remote::Error::Length { place, what, expected: wanted.blob.size, found: size };
    }
    remote::Error::Digest { place, what, expected: wanted.blob.digest, found }
}

fn unpack_failed(id: &LayerId, error: impl std::error::Error + Send + Sync + 'static) -> PullError {
    PullError::Broken(format!("unpack layer {id}: {error}"))
}

/// The media type of a layer by its bytes, whatever a manifest calls it.
fn media_type_of(compression: Compression) -> Option<&'static str> {
    match compression {
        Compression::None => Some(media_type::OCI_LAYER),
        Compression::Gzip => Some(media_type::OCI_LAYER_GZIP),
        Compression::Zstd => Some(media_type::OCI_LAYER_ZSTD),
        // No media type names them.
        Compression::Bzip2 | Compression::Xz => None,
    }
}

/// Runs what waits for a disk off the reactor.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PullError> + Send + 'static,
) -> Result<T, PullError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| PullError::Broken(format!("a thread of the pull: {error}")))?
}
