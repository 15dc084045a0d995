//! A repository as a target.

use oci::{Digest, Reference};
use remote::{Accept, How, Reference as Named, Repository, UploadOptions};

use super::{Presence, Told, Way};
use crate::transfer::Step;
use crate::transfer::copy::document::Document;
use crate::transfer::copy::{CopyError, Hands, fallback};

/// A repository, and the name that the copy gets there.
pub(crate) struct Registry {
    reference: Reference,
    repository: Repository,
}

impl Registry {
    pub(super) fn new(hands: &Hands<'_>, reference: Reference) -> Result<Self, CopyError> {
        let repository = hands.target.route(&reference)?.target().clone();
        Ok(Self { reference, repository })
    }

    /// Whether a manifest is there, and by its name.
    pub(super) async fn presence(&self, digest: &Digest, is_top: bool) -> Result<Presence, CopyError> {
        let accept = Accept::default();
        if let Some(tag) = self.reference.tag().filter(|_| is_top) {
            match self.repository.head_manifest(tag, &accept).await {
                Ok(known) if known.digest == Some(*digest) => return Ok(Presence::Named),
                Err(error) if !error.is_not_found() => return Err(error.into()),
                _ => {}
            }
        }
        match self.repository.head_manifest_by_digest(digest, &accept).await {
            Ok(_) if is_top && self.reference.tag().is_none() => Ok(Presence::Named),
            Ok(_) => Ok(Presence::There),
            Err(error) if error.is_not_found() => Ok(Presence::Absent),
            Err(error) => Err(error.into()),
        }
    }

    /// Brings a blob: asked for, mounted where both are one registry, or sent. Gives the bytes that moved.
    pub(super) async fn blob(&self, way: Way<'_>, told: Told<'_>) -> Result<u64, CopyError> {
        let same = way.from.filter(|from| from.registry().name() == self.repository.registry().name());
        let own = same.map(Repository::name).filter(|name| *name != self.repository.name()).cloned();
        let mounts = own.into_iter().collect();
        let options = UploadOptions { mounts, ..UploadOptions::default() };
        let size = remote::Source::known(&way.source).map(|(_, size)| size);
        let say = |what: remote::Told| match what {
            remote::Told::Resumed(at) => told(Step::Resumed { at }),
            remote::Told::Moved(done) => told(Step::Moved { done, total: size }),
            remote::Told::Retried(why) => told(Step::Retried { why }),
        };
        let uploaded = self.repository.upload(&way.source, &options, &say).await?;
        match uploaded.how {
            How::Existed => told(Step::Exists),
            How::Mounted(from) => told(Step::Mounted { from: from.map(|name| name.to_string()) }),
            How::Sent => told(Step::Done { moved: uploaded.sent, digest: uploaded.digest }),
        }
        Ok(uploaded.sent)
    }

    /// Brings a document by its digest, or under the name if it is the top one.
    pub(super) async fn document(
        &self,
        document: &Document,
        subject: Option<&Digest>,
        is_top: bool,
    ) -> Result<(), CopyError> {
        let tag = self.reference.tag().filter(|_| is_top);
        let named = tag.map_or(Named::Digest(&document.digest), Named::Tag);
        let put = self.repository.put_manifest(&named, &document.media_type, document.bytes.clone()).await?;
        let other = |found: &Digest| found.algorithm() == document.digest.algorithm() && *found != document.digest;
        if let Some(found) = put.digest.filter(other) {
            return Err(CopyError::Changed { place: self.reference.to_string(), expected: document.digest, found });
        }
        if let (Some(subject), false) = (subject, put.subject) {
            fallback::add(&self.repository, subject, document).await?;
        }
        Ok(())
    }
}
