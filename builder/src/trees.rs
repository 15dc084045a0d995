//! An image's layers as trees: what `run` mounts.

use std::path::PathBuf;

use oci::{ImageConfig, Manifest, Raw};
use runtime::ladder::Probe;
use store::{Lease, Store};

use crate::Error;
use crate::build::unix_now;
use crate::cache::record::Records;
use crate::layers::Layers;
use crate::op::source::image;

/// The trees of an image's layers, base first. Those that are there as blobs only are unpacked now, as the rung of `probe`
/// (which was entered) allows; nothing is written when all are there. `lease` keeps them.
///
/// # Errors
/// When a layer is gone or damaged.
pub fn image_trees(
    store: &Store,
    manifest: &Raw<Manifest>,
    config: &Raw<ImageConfig>,
    lease: &Lease,
    probe: &Probe,
) -> Result<Vec<PathBuf>, Error> {
    let records = Records::new(store).map_err(|error| Error::other("open the cache", error))?;
    let layers = Layers::new(store, &records, Some(&probe.rung));
    let documents = image::Documents { digest: manifest.digest(), manifest: manifest.value(), config: config.value() };
    let chain = image::chain_of(store, &records, Some(lease), &documents, unix_now())
        .map_err(|error| Error::other("find the image's layers", error))?;
    layers.trees(&chain).map_err(|error| Error::other("unpack the image's layers", error))
}
