//! Which layers of an image the store has.

use std::path::Path;

use oci::{Descriptor, DiffId, Digest, ImageConfig, Manifest};
use store::{Blobs, LayerId, Lease, Store};

use super::PullError;
use super::documents::{kept, parse};

/// Looks at the store as it is in this boot.
pub(super) struct Presence<'s> {
    store: &'s Store,
    boot: String,
}

/// What the store has of a layer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A tree or a blob that is usable.
    Usable,
    /// A row whose tree was lost with another boot: a new tree may take its place, and what was built on it counts again.
    Lost(LayerId),
    /// Nothing.
    Absent,
}

impl<'s> Presence<'s> {
    pub(super) fn new(store: &'s Store) -> Result<Self, PullError> {
        Ok(Self { store, boot: store::boot_id().map_err(store::Error::from)? })
    }

    /// What there is of a layer. With a lease, it is pinned before it is looked at.
    pub(super) fn of(&self, diff_id: &DiffId, lease: Option<&Lease>) -> Result<Form, PullError> {
        let mut lost = None;
        for id in self.store.index().layers_by_diff_id(diff_id)? {
            if let Some(lease) = lease {
                lease.pin(&[&id])?;
            }
            let Some(row) = self.store.index().layer(&id)? else { continue };
            let Some(row) = row.alive(&self.boot) else {
                lost = Some(id);
                continue;
            };
            let has_blob = match &row.blob {
                Some(blob) => self.has_blob(&blob.digest, lease)?,
                None => false,
            };
            if has_blob || (row.tree.is_some() && is_dir(&self.store.layout().tree(&id))) {
                return Ok(Form::Usable);
            }
            if row.blob.is_none() {
                // Its tree was taken away by hand.
                lost = Some(id);
            }
        }
        // A blob that lies there without a row says nothing: which DiffId it has is the configuration's word alone.
        Ok(lost.map_or(Form::Absent, Form::Lost))
    }

    fn has_blob(&self, digest: &Digest, lease: Option<&Lease>) -> Result<bool, PullError> {
        if let Some(lease) = lease {
            lease.pin(&[digest])?;
        }
        Ok(self.store.blobs().size(digest)?.is_some())
    }
}

fn is_dir(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())
}

/// The layers of a stored image, with their DiffIds, base first.
pub(super) fn layers_of(store: &Store, manifest: &Digest) -> Result<Vec<(Descriptor, DiffId)>, PullError> {
    let document = |digest: &Digest| {
        kept(store, digest)?.ok_or_else(|| PullError::from(store::blobs::Error::Missing { digest: *digest }))
    };
    let parsed = parse::<Manifest>("manifest", *manifest, document(manifest)?)?;
    let config = parsed.value().config.digest;
    let config = parse::<ImageConfig>("configuration", config, document(&config)?)?;
    let (layers, diff_ids) = (&parsed.value().layers, &config.value().rootfs.diff_ids);
    if layers.len() != diff_ids.len() {
        let problem = format!("its manifest lists {} layers, its configuration {}", layers.len(), diff_ids.len());
        return Err(PullError::Refused { name: manifest.to_string(), problem });
    }
    Ok(layers.iter().cloned().zip(diff_ids.iter().copied()).collect())
}

/// See [`super::missing`].
pub(super) fn missing(store: &Store, manifest: &Digest) -> Result<Vec<Digest>, PullError> {
    let presence = Presence::new(store)?;
    let mut missing = Vec::new();
    for (layer, diff_id) in layers_of(store, manifest)? {
        if presence.of(&diff_id, None)? != Form::Usable {
            missing.push(layer.digest);
        }
    }
    Ok(missing)
}
