//! What a build reads from outside, for a store that is to have nothing else: documents of base images are copied, their
//! layers and what was fetched stay where they are.

use graph::{Op, Source};
use oci::{Digest, ImageConfig, Manifest, Raw};
use store::{Blobs, LayerRow, Lease, Store};

use crate::Request;
use crate::build::{Failure, unix_now};
use crate::cache::record::Records;
use crate::op::source::image;

/// Manifests and configurations are kilobytes.
const MAX_DOCUMENT: u64 = 8 << 20;

/// Lets `scratch` have the base images of a request that are in `store` with all their layers. Others it pulls.
pub(super) fn bases(request: &Request, store: &Store, scratch: &Store, lease: &Lease) -> Result<(), Failure> {
    let records = Records::new(store)?;
    // What was fetched for a build stands under what it is: reading it again is all that another fetch would give.
    if store.layout().contexts().exists() && !scratch.layout().contexts().exists() {
        std::os::unix::fs::symlink(store.layout().contexts(), scratch.layout().contexts())?;
    }
    for edge in request.graph.reachable(&request.roots()) {
        let Op::Source(Source::Image { manifest, .. }) = request.graph.vertex(edge).op() else { continue };
        documents(store, scratch, manifest)?;
        let Ok(chain) = image::chain(store, &records, Some(lease), manifest, unix_now()) else { continue };
        for id in chain.layers() {
            if let Some(row) = records.layer(id)? {
                layer(store, scratch, &row)?;
            }
        }
    }
    Ok(())
}

fn documents(store: &Store, scratch: &Store, digest: &Digest) -> Result<(), Failure> {
    let bytes = store.blobs().read_bytes(digest, MAX_DOCUMENT)?;
    scratch.blobs().put_bytes(&bytes)?;
    let manifest: Raw<Manifest> = Raw::parse(bytes)?;
    let config = store.blobs().read_bytes(&manifest.value().config.digest, MAX_DOCUMENT)?;
    scratch.blobs().put_bytes(&config)?;
    let _: Raw<ImageConfig> = Raw::parse(config)?;
    Ok(())
}

/// A layer under its own name, by a link to its tree and another name of its blob.
fn layer(store: &Store, scratch: &Store, row: &LayerRow) -> Result<(), Failure> {
    let Some((diff_id, size)) = store.index().diff_id(&row.id, None)? else { return Ok(()) };
    let (from, to) = (store.layout(), scratch.layout());
    if row.is_elsewhere() || scratch.index().layer(&row.id)?.is_some() {
        return Ok(());
    }
    if row.tree.is_some() {
        std::fs::create_dir_all(to.snapshots())?;
        std::os::unix::fs::symlink(from.snapshot(row.id.as_str()), to.snapshot(row.id.as_str()))?;
    }
    if let Some(blob) = &row.blob {
        let path = to.blob(&blob.digest);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        match std::fs::hard_link(from.blob(&blob.digest), &path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            other => other?,
        }
    }
    if let Some(bytes) = store.toc(&row.id)? {
        scratch.put_toc(&row.id, false, |out| std::io::Write::write_all(out, bytes.as_slice()))?;
    }
    // A pulled layer's tar is another program's: without its split, or where it came from, it would be told anew.
    if let Some(mut split) = store.split(&row.id)? {
        std::io::copy(&mut split, &mut scratch.create_split(&row.id)?)?;
    }
    for variant in store.index().variants(&diff_id)? {
        for origin in store.index().origins(&variant.blob)? {
            scratch.index().put_origins(&origin, &[variant.blob], unix_now())?;
        }
        scratch.index().put_variant(&diff_id, &variant)?;
    }
    scratch.index().put_layer_with_diff_id(row, &diff_id)?;
    Ok(scratch.index().put_diff_id(&row.id, None, &diff_id, size)?)
}
