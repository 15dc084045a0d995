//! A tag of a repository.

use std::io::Write;

use bytes::Bytes;
use oci::{Digest, Reference, Tag};
use remote::{Accept, BytesSource, Client, FileSource, Repository, Route, UploadOptions};
use tokio::runtime::Handle;

use super::{Backend, BackendError, Blob, Compared, Content};

/// A tag that nobody named.
const DEFAULT_TAG: &str = "latest";
/// A tag has no more characters (distribution-spec, "Pulling manifests").
const MAX_TAG: usize = 128;

/// A cache in a registry. Its calls run on the reactor of `handle`, and wait for it.
pub(crate) struct Registry {
    reference: Reference,
    route: Route,
    handle: Handle,
}

impl Registry {
    /// The cache that `reference` names.
    pub(crate) fn new(client: &Client, reference: &Reference, handle: Handle) -> Result<Self, BackendError> {
        Ok(Self { reference: reference.clone(), route: client.route(reference)?, handle })
    }

    fn tag(&self, part: Option<&str>) -> Result<Tag, BackendError> {
        let own = self.reference.tag().map_or(DEFAULT_TAG, Tag::as_str);
        let name = part.map_or_else(|| own.to_owned(), |part| format!("{own}.{part}"));
        let problem = || BackendError::Malformed {
            place: self.place(),
            problem: format!("{name:?} cannot be a tag; a shorter name can (at most {MAX_TAG} characters)"),
        };
        name.parse().map_err(|_| problem())
    }

    fn target(&self) -> &Repository {
        self.route.target()
    }
}

impl Backend for Registry {
    fn place(&self) -> String {
        format!("registry {}", self.reference)
    }

    fn get_manifest(&self, part: Option<&str>) -> Result<Option<Vec<u8>>, BackendError> {
        let accept = Accept::default();
        let by_digest = self.reference.digest().filter(|_| part.is_none());
        let tag = self.tag(part)?;
        let fetched = self.handle.block_on(async {
            let mut last = None;
            for source in self.route.sources() {
                let fetched = match by_digest {
                    Some(digest) => source.manifest_by_digest(digest, &accept).await,
                    None => source.manifest_by_tag(&tag, &accept).await,
                };
                match fetched {
                    Ok(fetched) => return Ok(Some(fetched)),
                    Err(error) => last = Some(error),
                }
            }
            match last {
                Some(error) if !error.is_not_found() => Err(error),
                _ => Ok(None),
            }
        })?;
        Ok(fetched.map(|fetched| fetched.bytes.to_vec()))
    }

    fn get_child(&self, child: &Blob) -> Result<Vec<u8>, BackendError> {
        let accept = Accept::default();
        let fetched = self.handle.block_on(async {
            let mut last = None;
            for source in self.route.content() {
                match source.manifest_by_digest(&child.digest, &accept).await {
                    Ok(fetched) => return Ok(fetched),
                    Err(error) => last = Some(error),
                }
            }
            let absent = || BackendError::Absent { place: self.place(), what: format!("manifest {}", child.digest) };
            Err(last.map_or_else(absent, BackendError::from))
        })?;
        Ok(fetched.bytes.to_vec())
    }

    fn put_manifest(&self, part: Option<&str>, media_type: &str, bytes: &[u8]) -> Result<Digest, BackendError> {
        let tag = self.tag(part)?;
        let name = remote::Reference::Tag(&tag);
        self.handle.block_on(self.target().put_manifest(&name, media_type, Bytes::copy_from_slice(bytes)))?;
        Ok(Digest::sha256(bytes))
    }

    fn has_blob(&self, blob: &Blob) -> Result<bool, BackendError> {
        match self.handle.block_on(self.target().head_blob(&blob.digest)) {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn get_blob(&self, blob: &Blob, into: &mut dyn Write) -> Result<(), BackendError> {
        let place = self.place();
        let mut last = None;
        for source in self.route.content() {
            let opened = match self.handle.block_on(source.blob(&blob.digest, None)) {
                Ok(opened) => opened,
                Err(error) => {
                    last = Some(error);
                    continue;
                }
            };
            let mut opened = opened;
            let mut compared = Compared::new(&place, blob, into);
            while let Some(bytes) = self.handle.block_on(opened.next())? {
                compared.push(&bytes)?;
            }
            return compared.finish();
        }
        Err(last.map_or_else(|| BackendError::Absent { place, what: format!("blob {}", blob.digest) }, Into::into))
    }

    fn put_blob(&self, blob: &Blob, content: Content<'_>) -> Result<u64, BackendError> {
        let (options, told) = (UploadOptions::default(), |_| {});
        let uploaded = match content {
            Content::Bytes(bytes) => {
                let source = BytesSource::new(blob.digest, Bytes::copy_from_slice(bytes));
                self.handle.block_on(self.target().upload(&source, &options, &told))?
            }
            Content::File(path) => {
                let source = FileSource::new(path.to_path_buf(), blob.digest, blob.size);
                self.handle.block_on(self.target().upload(&source, &options, &told))?
            }
        };
        Ok(uploaded.sent)
    }
}
