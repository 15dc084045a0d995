//! Indexes in the store, made by hand: of images that are there, and of images of registries, of which only documents are
//! fetched.

use std::sync::Arc;

use oci::{Descriptor, Digest, Index, Reference, media_type};
use store::{Blobs, Store};

use super::document::{Document, Parsed};
use super::{CopyError, Hands, Place, opened, seconds, stored};
use crate::transfer::pull::{self, PullOptions, Scope};

/// An index that a name of the store points at.
///
/// # Errors
/// When nothing is called so, or what is called so is no index.
pub fn read(store: &Store, name: &Reference) -> Result<Index, CopyError> {
    let Some(row) = store.index().image(&name.to_string())? else {
        let rows = store.index().images()?;
        let there = rows.iter().filter_map(|row| row.name.parse::<Reference>().ok()).map(|name| name.familiar());
        let problem = "no index is called so".to_owned();
        return Err(CopyError::Choice { place: format!("store:{}", name.familiar()), problem, there: there.collect() });
    };
    match stored::document(store, &row.manifest)?.parse()? {
        Parsed::Index(index) => Ok(*index),
        Parsed::Image(_) => Err(CopyError::Document {
            digest: row.manifest,
            problem: format!("`{}` is an image, not an index", name.familiar()),
        }),
    }
}

/// Writes an index under a name; gives its digest.
///
/// # Errors
/// When the store fails.
pub fn write(store: &Store, name: &Reference, index: &Index) -> Result<Digest, CopyError> {
    let lease = store.lease()?;
    let bytes = serde_json::to_vec(index)
        .map_err(|error| CopyError::Document { digest: Digest::sha256(b""), problem: error.to_string() })?;
    let digest = store.blobs().put_bytes(&bytes)?;
    lease.pin(&[digest])?;
    let children: Vec<Digest> = index.manifests.iter().map(|child| child.digest).collect();
    store.index().put_edges(&digest, &children)?;
    store.index().put_image(&name.to_string(), &digest, seconds())?;
    Ok(digest)
}

/// The entries that an image, or each image of an index, has in another index: with its platform. Documents of a registry
/// are in the store afterwards, and where they come from; their layers are not.
///
/// # Errors
/// When it is not there.
pub async fn entries(hands: &Hands<'_>, store: &Arc<Store>, place: &Place) -> Result<Vec<Descriptor>, CopyError> {
    let top = match place {
        Place::Registry(reference) => {
            let options = PullOptions {
                layers: Scope::DocumentsOnly,
                all_platforms: true,
                name_it: false,
                ..PullOptions::default()
            };
            pull::pull(store, hands.source, reference, &options, hands.probe, hands.sink).await?.top
        }
        Place::Store(name) => stored::find(store, name)?,
        other => {
            let why =
                "an index of the store lists images of registries and of the store: `estiba load` brings others in";
            return Err(CopyError::Pair { from: other.transport(), to: "store", why });
        }
    };
    let opened = opened::at(store, top);
    let document = stored::document(store, &top)?;
    match document.parse()? {
        Parsed::Image(_) => Ok(vec![entry(&opened, &document).await?]),
        Parsed::Index(index) => {
            let mut all = Vec::new();
            for child in &index.manifests {
                let mut found = child.clone();
                if found.platform.is_none() && media_type::is_manifest(&found.media_type) {
                    found.platform = entry(&opened, &stored::document(store, &child.digest)?).await?.platform;
                }
                all.push(found);
            }
            Ok(all)
        }
    }
}

async fn entry(opened: &opened::Opened, document: &Document) -> Result<Descriptor, CopyError> {
    let mut descriptor = document.descriptor();
    if let Parsed::Image(manifest) = document.parse()? {
        descriptor.platform = opened.platform(&manifest).await?;
        descriptor.artifact_type.clone_from(&manifest.artifact_type);
    }
    Ok(descriptor)
}
