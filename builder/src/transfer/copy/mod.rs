//! From one place to another: exact bytes, whatever carries them.
//!
//! Registries, layouts and archives are carried by [`carry`]: documents are read by digest, blobs go side by side from
//! where they are to where they are not, without touching the disk between two registries. The store's ends are
//! [`stored`]: into it by pull and import, out of it by push, or as an export would write it.

mod artifact;
mod carry;
mod checked;
mod document;
mod error;
pub mod fallback;
pub mod list;
mod opened;
mod place;
mod source;
pub mod stored;
mod target;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use oci::{Descriptor, Digest, Platform};
use remote::Client;
use runtime::ladder::Probe;
use store::{LayerId, Store};

pub use artifact::{Attached, Attachment, attach};
pub use document::{Document, Parsed};
pub use error::CopyError;
pub use opened::{Opened, open};
pub use place::{Place, PlaceError, Which};

use super::{Direction, Event, Sink};
use source::Source;
use target::Target;

/// How to copy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CopyOptions {
    /// Of an index, the image for this platform; without it and without `all`, this machine's.
    pub platform: Option<Platform>,
    /// An index with all that it lists.
    pub all: bool,
    /// Keep digests: an image of the store goes out with the very layers of its manifest, fetched again where they are here in
    /// another form. Fail where that cannot be.
    pub preserve_digests: bool,
    /// Also what refers to what is copied: signatures, bills of materials.
    pub referrers: bool,
    /// Blobs under way at once; 0: as many as is usual.
    pub parallel: usize,
}

/// What a copy works with.
pub struct Hands<'a> {
    /// Calls the registry that is read.
    pub source: &'a Client,
    /// Calls the registry that is written to.
    pub target: &'a Client,
    /// The store, where a place is in it.
    pub store: Option<&'a Arc<Store>>,
    /// What this machine allows, where its rung was entered: the store's trees belong to ids that only the sandbox may read.
    pub probe: Option<&'a Probe>,
    /// Takes what happens.
    pub sink: &'a Sink,
}

/// What is at the target now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// What the target's name points at.
    pub descriptor: Descriptor,
    /// Bytes that moved.
    pub moved: u64,
    /// Manifests and indexes that are at the target now, referrers included.
    pub manifests: u32,
    /// Layers that were unpacked into the store: to be handed to [`super::pull::sync`] when there is time.
    pub fresh: Vec<LayerId>,
}

/// Copies an image, an index or an artifact.
///
/// # Errors
/// See [`CopyError`]; what was copied before it stays, and the next try finds it there.
pub async fn copy(hands: &Hands<'_>, from: &Place, to: &Place, options: &CopyOptions) -> Result<Copied, CopyError> {
    let store_for = |name: &str| hands.store.ok_or_else(|| CopyError::NoStore(name.to_owned()));
    match (from, to) {
        (Place::Store(_), Place::Store(_)) => {
            Err(CopyError::Pair { from: "store", to: "store", why: "`estiba tag` gives an image another name" })
        }
        (from, Place::Store(name)) => stored::keep(hands, store_for(name)?, from, name, options).await,
        (Place::Store(name), to) => {
            let store = store_for(name)?;
            out_of_store(hands, store, &stored::find(store, name)?, (from, to), options).await
        }
        (Place::DockerArchive { file, reference }, to) => match new_archive(file, reference.as_ref()).await? {
            Some(archive) => carried(hands, (&archive, from), to, options).await,
            None => {
                let store = store_for("")?;
                let digest = stored::import_from(store, from, &CopyOptions { all: false, ..options.clone() }).await?;
                out_of_store(hands, store, &digest, (from, to), options).await
            }
        },
        (from, to) => carried(hands, (from, from), to, options).await,
    }
}

/// Whether copying from here takes the store, also where no place names it: docker's old archives have no manifest.
pub fn needs_store(from: &Place, to: &Place) -> bool {
    let any = |place: &Place| matches!(place, Place::Store(_));
    any(from) || any(to) || matches!(from, Place::DockerArchive { .. })
}

/// Docker's archives are layouts since version 25: then exact bytes can be had.
async fn new_archive(file: &std::path::Path, reference: Option<&oci::Reference>) -> Result<Option<Place>, CopyError> {
    let which = reference.map_or(Which::Only, |reference| Which::Named(reference.to_string()));
    let archive = Place::Archive { file: file.to_path_buf(), which };
    let probe = archive.clone();
    let opened = tokio::task::spawn_blocking(move || match &probe {
        Place::Archive { file, which } => source::is_layout(file, which, &probe),
        _ => Ok(false),
    });
    match opened.await.map_err(|error| CopyError::lost(&error))? {
        Ok(true) => Ok(Some(archive)),
        // The store's import reads compressed archives, too.
        Ok(false) | Err(CopyError::Compressed { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn out_of_store(
    hands: &Hands<'_>,
    store: &Arc<Store>,
    top: &Digest,
    (from, to): (&Place, &Place),
    options: &CopyOptions,
) -> Result<Copied, CopyError> {
    if let Place::Registry(reference) = to {
        return stored::push_to(hands, store, top, reference, options).await;
    }
    let manifest = stored::for_platform(store, top, options.platform.as_ref())?;
    if options.all && manifest != *top {
        let why = "an index of the store goes to a registry as a whole, to files for one platform: leave out --all";
        return Err(CopyError::Pair { from: "store", to: to.transport(), why });
    }
    let source = Source::stored(hands, &manifest, options.preserve_digests)?;
    between(hands, &source, (&from.to_string(), to), options).await
}

/// Opens `from` and carries what is there; `shown` is how the user wrote it.
async fn carried(
    hands: &Hands<'_>,
    (from, shown): (&Place, &Place),
    to: &Place,
    options: &CopyOptions,
) -> Result<Copied, CopyError> {
    let source = Source::open(hands, from).await?;
    let name = match shown {
        Place::Registry(reference) => reference.to_string(),
        other => other.to_string(),
    };
    between(hands, &source, (&name, to), options).await
}

async fn between(
    hands: &Hands<'_>,
    source: &Source,
    (from, to): (&str, &Place),
    options: &CopyOptions,
) -> Result<Copied, CopyError> {
    (hands.sink)(Event::Begun { direction: Direction::Copy, what: from.to_owned(), time: milliseconds() });
    let top = carry::meant(source, options, from, hands.sink).await?;
    if let Some(expected) = to.digest().filter(|expected| **expected != top.digest) {
        return Err(CopyError::Changed { place: to.to_string(), expected: *expected, found: top.digest });
    }
    let target = Target::open(hands, to)?;
    let copied = match target.refuses(&top) {
        Some(error) => Err(error),
        None => carry::Carry::new(source, &target, options, hands.sink).whole(&top).await,
    };
    let copied = match copied {
        Ok(copied) => copied,
        Err(error) => {
            target.abandon().await;
            return Err(error);
        }
    };
    target.finish(&copied.descriptor).await?;
    let (digest, moved) = (copied.descriptor.digest, copied.moved);
    (hands.sink)(Event::Finished { digest, moved, time: milliseconds() });
    Ok(copied)
}

/// Lets a display be told some ten times a second.
#[derive(Debug, Default)]
struct Pace(Option<Instant>);

impl Pace {
    fn tell(&mut self, tell: impl FnOnce()) {
        let now = Instant::now();
        if self.0.is_none_or(|last| now.duration_since(last) >= Duration::from_millis(100)) {
            self.0 = Some(now);
            tell();
        }
    }
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn milliseconds() -> i64 {
    i64::try_from(since_1970().as_millis()).unwrap_or(i64::MAX)
}

fn seconds() -> i64 {
    i64::try_from(since_1970().as_secs()).unwrap_or(i64::MAX)
}
