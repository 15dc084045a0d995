//! An OCI layout in a tar as a target, with docker's manifest.json beside its index where docker is to read it. It is one
//! stream: blobs come one after another, and the file is in its place only when it is whole.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::StreamExt;
use oci::{Descriptor, Digest, Hasher, Manifest, Reference, media_type};
use remote::Source as _;
use serde_json::json;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::Told;
use super::index_json::{LAYOUT, merged, named};
use crate::Destination;
use crate::export::bundle::Bundle;
use crate::transfer::Step;
use crate::transfer::copy::checked::Checked;
use crate::transfer::copy::document::{Document, Parsed};
use crate::transfer::copy::source::{IMAGE_NAME, REF_NAME, blob_path};
use crate::transfer::copy::{CopyError, Pace, Which};

/// Pieces that wait for the disk.
const WAITING: usize = 4;

/// An archive in the making.
pub(crate) struct Archive {
    which: Which,
    docker: Option<Option<Reference>>,
    state: Mutex<State>,
    writer: Writer,
}

#[derive(Default)]
struct State {
    written: BTreeSet<Digest>,
    beside: Vec<Descriptor>,
    /// The last image's documents: what docker's manifest.json tells.
    image: Option<Document>,
}

/// What the writing thread is told.
enum Order {
    Begin(String, u64),
    Piece(Bytes),
    /// The member's end: its bytes must be these.
    End(Digest, u64),
    Member(String, Bytes),
    Finish(oneshot::Sender<()>),
}

/// The thread that writes. It is joined for its error as soon as it takes no more orders.
struct Writer {
    path: PathBuf,
    orders: mpsc::Sender<Order>,
    thread: Mutex<Option<JoinHandle<Result<(), CopyError>>>>,
}

impl Archive {
    /// Opens a file beside `file`, which it replaces at the end. With `docker`, for docker too.
    pub(super) fn open(file: &Path, which: Which, docker: Option<Option<Reference>>) -> Result<Self, CopyError> {
        let bundle = Bundle::tar(&Destination::Path(file.to_path_buf()))?;
        let (orders, taken) = mpsc::channel(WAITING);
        let at = file.to_path_buf();
        let thread = tokio::task::spawn_blocking(move || write(bundle, taken, &at));
        let writer = Writer { path: file.to_path_buf(), orders, thread: Mutex::new(Some(thread)) };
        Ok(Self { which, docker, state: Mutex::default(), writer })
    }

    /// Whether docker is to read it.
    pub(super) fn is_docker(&self) -> bool {
        self.docker.is_some()
    }

    /// Brings a blob; gives the bytes that moved.
    pub(super) async fn blob(
        &self,
        descriptor: &Descriptor,
        source: Checked,
        told: Told<'_>,
    ) -> Result<u64, CopyError> {
        let mut state = self.state.lock().await;
        let (digest, size) = (descriptor.digest, descriptor.size);
        if !state.written.insert(digest) {
            told(Step::Exists);
            return Ok(0);
        }
        let message = |error: remote::SourceError| CopyError::Bytes { digest, message: error.to_string() };
        let mut stream = source.open(0).await.map_err(message)?;
        self.writer.tell(Order::Begin(blob_path(&digest), size)).await?;
        let (mut pace, mut done) = (Pace::default(), 0);
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(message)?;
            done += piece.len() as u64;
            self.writer.tell(Order::Piece(piece)).await?;
            pace.tell(|| told(Step::Moved { done, total: Some(size) }));
        }
        self.writer.tell(Order::End(digest, size)).await?;
        told(Step::Done { moved: done, digest });
        Ok(done)
    }

    /// Brings a document.
    pub(super) async fn document(&self, document: &Document, subject: Option<&Digest>) -> Result<bool, CopyError> {
        let mut state = self.state.lock().await;
        if subject.is_some() {
            state.beside.push(document.descriptor());
        } else {
            state.image = Some(document.clone());
        }
        if !state.written.insert(document.digest) {
            return Ok(false);
        }
        self.writer.tell(Order::Member(blob_path(&document.digest), document.bytes.clone())).await?;
        Ok(true)
    }

    /// Writes the layout's own files, and puts the archive in its place.
    pub(super) async fn finish(self, top: &Descriptor) -> Result<(), CopyError> {
        let state = self.state.into_inner();
        let mut first = named(top, &self.which);
        if let Some(reference) = &self.docker {
            let image = state.image.as_ref().filter(|image| image.digest == top.digest);
            let gone = || CopyError::Document { digest: top.digest, problem: "it was not written".to_owned() };
            let manifest = docker_manifest(image.ok_or_else(gone)?, reference.as_ref())?;
            self.writer.tell(Order::Member("manifest.json".to_owned(), Bytes::from(manifest))).await?;
            if let Some(reference) = reference {
                first.annotations.insert(IMAGE_NAME.to_owned(), reference.to_string());
                let tag = reference.tag().map_or("latest", |tag| tag.as_str());
                first.annotations.insert(REF_NAME.to_owned(), tag.to_owned());
            }
        }
        let all: Vec<Descriptor> =
            std::iter::once(first).chain(state.beside.into_iter().filter(|one| one.digest != top.digest)).collect();
        let index = merged(&self.writer.path, None, &all)?;
        self.writer.tell(Order::Member("oci-layout".to_owned(), Bytes::from_static(LAYOUT))).await?;
        self.writer.tell(Order::Member("index.json".to_owned(), Bytes::from(index))).await?;
        let (sender, finished) = oneshot::channel();
        self.writer.tell(Order::Finish(sender)).await?;
        match finished.await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.writer.failure().await),
        }
    }
}

impl Archive {
    /// Gives it up, and waits until nothing is left of it.
    pub(super) async fn abandon(self) {
        drop(self.writer.orders);
        if let Some(thread) = self.writer.thread.into_inner() {
            // It has nothing to say that was not said.
            drop(thread.await);
        }
    }
}

impl Writer {
    async fn tell(&self, order: Order) -> Result<(), CopyError> {
        match self.orders.send(order).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.failure().await),
        }
    }

    async fn failure(&self) -> CopyError {
        let lost = || CopyError::io("write", &self.path, std::io::ErrorKind::BrokenPipe.into());
        match self.thread.lock().await.take() {
            None => lost(),
            Some(thread) => match thread.await {
                Ok(Ok(())) => lost(),
                Ok(Err(error)) => error,
                Err(error) => CopyError::lost(&error),
            },
        }
    }
}

/// The life of the writing thread. Without [`Order::Finish`], nothing stays.
fn write(mut bundle: Bundle, mut orders: mpsc::Receiver<Order>, path: &Path) -> Result<(), CopyError> {
    let failed = |error| CopyError::io("write", path, error);
    let mut hasher = Hasher::sha256();
    let mut left = 0;
    while let Some(order) = orders.blocking_recv() {
        match order {
            Order::Begin(name, size) => {
                bundle.begin(&name, size)?;
                let algorithm =
                    if name.starts_with("blobs/sha512/") { oci::Algorithm::Sha512 } else { oci::Algorithm::Sha256 };
                (hasher, left) = (Hasher::new(algorithm), size);
            }
            Order::Piece(piece) => {
                hasher.update(&piece);
                // What is too long is found at the end, by its size.
                let taken = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
                bundle.write_all(&piece[..taken]).map_err(failed)?;
                left -= taken as u64;
            }
            Order::End(expected, size) => {
                let found = hasher.size();
                if found != size {
                    return Err(CopyError::Length { digest: expected, expected: size, found });
                }
                let found = std::mem::replace(&mut hasher, Hasher::sha256()).finish();
                if found != expected {
                    return Err(CopyError::Digest { expected, found });
                }
                bundle.end()?;
            }
            Order::Member(name, bytes) => bundle.bytes(&name, &bytes)?,
            Order::Finish(done) => {
                bundle.finish_durably()?;
                // Who asked may have given up.
                let _ = done.send(());
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The image, if it is one that docker reads.
pub(super) fn docker_refuses(top: &Document) -> Result<Manifest, CopyError> {
    let wrong = |problem: &str| CopyError::Document { digest: top.digest, problem: problem.to_owned() };
    match top.parse()? {
        Parsed::Index(_) => {
            Err(wrong("a docker archive holds one image, not an index: leave out --all, or write an `oci-archive:`"))
        }
        Parsed::Image(manifest) if !media_type::is_config(&manifest.config.media_type) => {
            Err(wrong("a docker archive holds images, and this is another artifact: write an `oci-archive:`"))
        }
        Parsed::Image(manifest) => Ok(*manifest),
    }
}

/// docker's manifest.json for one image.
fn docker_manifest(image: &Document, reference: Option<&Reference>) -> Result<Vec<u8>, CopyError> {
    let manifest = docker_refuses(image)?;
    let names: Vec<String> = reference.iter().filter(|name| name.tag().is_some()).map(|name| name.familiar()).collect();
    let layers: Vec<String> = manifest.layers.iter().map(|layer| blob_path(&layer.digest)).collect();
    let described = json!([{"Config": blob_path(&manifest.config.digest), "RepoTags": names, "Layers": layers}]);
    Ok(described.to_string().into_bytes())
}
