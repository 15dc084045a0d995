//! A repository as a source: mirrors first, the registry itself last.

use oci::{Descriptor, Digest, Reference};
use remote::{Accept, Client, RemoteSource, Repository, Route};

use crate::transfer::copy::CopyError;
use crate::transfer::copy::document::{Document, verify};

/// A reference at its registry.
pub(crate) struct Registry {
    reference: Reference,
    route: Route,
}

impl Registry {
    /// Nothing is asked yet.
    pub(crate) fn new(client: &Client, reference: Reference) -> Result<Self, CopyError> {
        let route = client.route(&reference)?;
        Ok(Self { reference, route })
    }

    /// The registry's own repository.
    pub(crate) fn itself(&self) -> &Repository {
        self.route.target()
    }

    /// What the reference names.
    pub(crate) async fn top(&self) -> Result<Document, CopyError> {
        let accept = Accept::default();
        let places = if self.reference.digest().is_some() { self.route.content() } else { self.route.sources() };
        let mut failed = None;
        for place in places {
            let fetched = match (self.reference.digest(), self.reference.tag()) {
                (Some(digest), _) => place.manifest_by_digest(digest, &accept).await,
                (None, Some(tag)) => place.manifest_by_tag(tag, &accept).await,
                (None, None) => continue,
            };
            match fetched {
                Ok(fetched) => {
                    return Ok(Document {
                        bytes: fetched.bytes,
                        media_type: fetched.media_type,
                        digest: fetched.digest,
                    });
                }
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.map_or_else(|| nowhere(&self.reference), CopyError::from))
    }

    /// A document by its descriptor.
    pub(crate) async fn document(&self, descriptor: &Descriptor) -> Result<Document, CopyError> {
        let accept = Accept::these([descriptor.media_type.as_str()]);
        let mut failed = None;
        for place in self.route.content() {
            match place.manifest_by_digest(&descriptor.digest, &accept).await {
                Ok(fetched) => {
                    verify(&fetched.bytes, &descriptor.digest, Some(descriptor.size))?;
                    // The type that the parent names is the one by which it was chosen.
                    let media_type = descriptor.media_type.clone();
                    return Ok(Document { bytes: fetched.bytes, media_type, digest: descriptor.digest });
                }
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.map_or_else(|| nowhere(&self.reference), CopyError::from))
    }

    /// A blob.
    pub(crate) fn blob(&self, descriptor: &Descriptor) -> RemoteSource {
        RemoteSource::new(self.route.content().to_vec(), descriptor.digest, descriptor.size)
    }

    /// What refers to a manifest: the registry itself is asked, since mirrors rarely have it.
    pub(crate) async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, CopyError> {
        Ok(self.itself().all_referrers(subject, None).await?)
    }
}

fn nowhere(reference: &Reference) -> CopyError {
    let (place, problem) = (reference.to_string(), "no registry is known for it".to_owned());
    CopyError::Choice { place, problem, there: Vec::new() }
}
