//! The manifest that statements stand in, and its place in an index.

use std::collections::BTreeMap;

use oci::{Descriptor, Digest, Manifest, Platform, Raw, media_type};
use serde_json::json;
use store::{Blobs, Lease, Store};

use crate::build::Failure;

/// A statement as a layer.
pub(super) const STATEMENT: &str = "application/vnd.in-toto+json";
/// The annotation of a layer: what its statement says.
pub(super) const KIND: &str = "in-toto.io/predicate-type";
/// The annotations of a manifest in an index: that it is statements, and of what.
pub(super) const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
pub(super) use crate::export::images::SUBJECT as REFERENCE_DIGEST;
pub(super) const ATTESTATION: &str = "attestation-manifest";

/// Statements of one image, in their manifest.
pub(crate) struct Attested {
    /// Of which image.
    subject: Digest,
    manifest: Raw<Manifest>,
    /// Statements and the manifest's config.
    blobs: Vec<(Digest, Vec<u8>)>,
}

impl Attested {
    /// Puts statements, each with the type of its predicate, into a manifest.
    pub(crate) fn new(subject: Digest, statements: Vec<(String, Vec<u8>)>) -> Result<Self, Failure> {
        let layers = statements.iter().map(|(kind, bytes)| {
            let mut layer = Descriptor::new(STATEMENT, Digest::sha256(bytes), bytes.len() as u64);
            layer.annotations = BTreeMap::from([(KIND.to_owned(), kind.clone())]);
            layer
        });
        let layers: Vec<Descriptor> = layers.collect();
        let diff_ids: Vec<Digest> = layers.iter().map(|layer| layer.digest).collect();
        let config = serde_json::to_vec(&json!({
            "architecture": "unknown",
            "os": "unknown",
            "config": {},
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        }))?;
        let described = Descriptor::new(media_type::OCI_CONFIG, Digest::sha256(&config), config.len() as u64);
        let mut blobs: Vec<(Digest, Vec<u8>)> =
            statements.into_iter().map(|(_, bytes)| (Digest::sha256(&bytes), bytes)).collect();
        blobs.push((described.digest, config));
        Ok(Self { subject, manifest: Raw::encode(Manifest::new(described, layers))?, blobs })
    }

    /// Describes it for an index.
    pub(crate) fn descriptor(&self) -> Descriptor {
        let size = self.manifest.bytes().len() as u64;
        let mut descriptor = Descriptor::new(media_type::OCI_MANIFEST, self.manifest.digest(), size);
        descriptor.annotations = BTreeMap::from([
            (REFERENCE_DIGEST.to_owned(), self.subject.to_string()),
            (REFERENCE_TYPE.to_owned(), ATTESTATION.to_owned()),
        ]);
        descriptor.platform = "unknown/unknown".parse::<Platform>().ok();
        descriptor
    }

    /// Whether the store holds it.
    pub(crate) fn is_kept(&self, store: &Store) -> Result<bool, Failure> {
        Ok(store.blobs().size(&self.manifest.digest())?.is_some())
    }

    /// Puts it into the store, durably, its manifest last.
    pub(crate) fn commit(&self, store: &Store, lease: &Lease) -> Result<(), Failure> {
        let children: Vec<Digest> = self.blobs.iter().map(|(digest, _)| *digest).collect();
        lease.pin(&children)?;
        lease.pin(&[self.manifest.digest()])?;
        for (_, bytes) in &self.blobs {
            store.blobs().put_bytes(bytes)?;
        }
        store.index().put_edges(&self.manifest.digest(), &children)?;
        store.blobs().put_bytes(self.manifest.bytes())?;
        Ok(())
    }

    /// Its documents: statements and config, and the manifest last.
    pub(crate) fn documents(&self) -> impl Iterator<Item = (Digest, &[u8])> {
        let blobs = self.blobs.iter().map(|(digest, bytes)| (*digest, bytes.as_slice()));
        blobs.chain([(self.manifest.digest(), self.manifest.bytes())])
    }
}
