//! From one place to another: exact bytes, whatever carries them.

mod error;
mod place;

use std::sync::Arc;

use oci::{Descriptor, Platform};
use remote::Client;
use runtime::ladder::Probe;
use store::Store;

pub use error::CopyError;
pub use place::{Place, PlaceError, Which};

use super::Sink;

/// How to copy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CopyOptions {
    /// Of an index, the image for this platform; without it and without `all`, this machine's.
    pub platform: Option<Platform>,
    /// An index with all that it lists.
    pub all: bool,
    /// Fail where a digest would be another at the target.
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
}

/// Copies an image, an index or an artifact.
///
/// # Errors
/// See [`CopyError`]; what was copied before it stays, and the next try finds it there.
pub async fn copy(_hands: &Hands<'_>, from: &Place, to: &Place, _options: &CopyOptions) -> Result<Copied, CopyError> {
    Err(CopyError::Pair { from: from.transport(), to: to.transport() })
}
