//! The names that an image gets in the store besides its tags.

use builder::Built;
use builder::transfer::copy::{CopyError, list};
use oci::{Descriptor, Digest, Index, Reference, media_type};
use serde::{Deserialize, Serialize};
use store::{Blobs, Store};

use crate::duration;
use crate::error::{Error, Result};
use crate::image::anonymous_name;

/// How the store names the image; it crosses to the worker with the report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Naming {
    /// Whether the store keeps it at all.
    pub(crate) kept: bool,
    /// Its names with the digest are names too.
    pub(crate) canonical: bool,
    /// `PREFIX@DIGEST` is its name where it has no other.
    pub(crate) dangling: Option<String>,
    /// The index that it is added to.
    pub(crate) list: Option<String>,
}

impl Naming {
    /// Gives a finished build its names.
    pub(crate) fn apply(&self, store: &Store, built: &Built) -> Result {
        let (Some(id), Some(manifest)) = (built.id(), built.manifest()) else { return Ok(()) };
        if self.kept {
            for name in self.names(built, &id, &manifest.digest)? {
                keep(store, &name, &manifest.digest)?;
            }
        }
        match &self.list {
            Some(list) => add(store, list, built),
            None => Ok(()),
        }
    }

    fn names(&self, built: &Built, id: &Digest, digest: &Digest) -> Result<Vec<String>> {
        let at_digest = |name: &str| -> Result<String> {
            let reference: Reference = name.parse()?;
            let named: Reference = format!("{}@{digest}", reference.name()).parse()?;
            Ok(named.to_string())
        };
        if built.tags.is_empty() {
            return match &self.dangling {
                Some(prefix) => Ok(vec![at_digest(prefix)?]),
                None => Ok(vec![anonymous_name(id)]),
            };
        }
        match self.canonical {
            true => built.tags.iter().map(|tag| at_digest(tag)).collect(),
            false => Ok(Vec::new()),
        }
    }
}

/// Writes the row that keeps an image.
fn keep(store: &Store, name: &str, manifest: &Digest) -> Result {
    // A cached build writes nothing: the row is there already.
    if store.index().image(name)?.is_some_and(|row| row.manifest == *manifest) {
        return Ok(());
    }
    let lease = store.lease()?;
    lease.pin(&[*manifest])?;
    if store.blobs().size(manifest)?.is_none() {
        return Err(Error::failed("the image was pruned before it had a name: build again"));
    }
    store.index().put_image(name, manifest, duration::now())?;
    Ok(())
}

/// Adds the images to an index, in place of those that it has for their platforms.
fn add(store: &Store, list: &str, built: &Built) -> Result {
    let name: Reference = list.parse()?;
    let _lease = store.lease()?;
    let mut index = match list::read(store, &name) {
        Ok(index) => index,
        Err(CopyError::Choice { .. }) => Index::new(Vec::new()),
        Err(error) => return Err(Error::from(error).hint("give the index a name of its own")),
    };
    for image in &built.images {
        let mut entry: Descriptor = image.manifest.clone();
        entry.platform = Some(image.platform.clone());
        let same = |old: &Descriptor| old.digest == entry.digest || old.platform == entry.platform;
        index.manifests.retain(|old| !same(old));
        index.manifests.push(entry);
    }
    index.media_type.get_or_insert_with(|| media_type::OCI_INDEX.to_owned());
    list::write(store, &name, &index)?;
    Ok(())
}
