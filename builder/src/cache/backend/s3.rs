//! A bucket: blobs and manifests under names of BuildKit's form, `PREFIX BLOBS sha256:…` and `PREFIX MANIFESTS NAME`.

use std::io::Write;

use bytes::Bytes;
use oci::Digest;
use remote::s3::{Body, Bucket, Keys, Object, Place};
use tokio::runtime::{Handle, Runtime};

use super::{Backend, BackendError, Blob, Compared, Content, MAX_MANIFEST};
use crate::request::{S3Keys, S3Place};

/// A cache in a bucket.
pub(crate) struct S3 {
    place: S3Place,
    bucket: Bucket,
    /// Where its connections live: its own, since a build that finds all in the store needs none.
    runtime: Option<Runtime>,
}

impl Drop for S3 {
    fn drop(&mut self) {
        // A runtime may not be waited for where another one runs.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl S3 {
    /// The cache at a place. Nothing is asked yet.
    pub(crate) fn new(place: &S3Place, keys: Option<&S3Keys>) -> Result<Self, BackendError> {
        let named = Place {
            bucket: &place.bucket,
            region: &place.region,
            endpoint: place.endpoint.as_deref(),
            path_style: place.path_style,
        };
        let keys =
            keys.map(|keys| Keys { id: keys.id.clone(), secret: keys.secret.clone(), token: keys.token.clone() });
        let bucket = Bucket::new(&named, keys)?;
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("s3").enable_all().build();
        let problem = |error: std::io::Error| BackendError::Malformed {
            place: format!("s3 {}", place.bucket),
            problem: format!("start a thread: {error}"),
        };
        Ok(Self { place: place.clone(), bucket, runtime: Some(runtime.map_err(problem)?) })
    }

    fn handle(&self) -> Result<&Handle, BackendError> {
        self.runtime
            .as_ref()
            .map(Runtime::handle)
            .ok_or_else(|| BackendError::Malformed { place: self.place(), problem: "it was closed".to_owned() })
    }

    fn blob(&self, digest: &Digest) -> String {
        format!("{}{}{digest}", self.place.prefix, self.place.blobs)
    }

    fn manifest(&self, part: Option<&str>) -> String {
        let part = part.map_or_else(String::new, |part| format!(".{part}"));
        format!("{}{}{}{part}", self.place.prefix, self.place.manifests, self.place.name)
    }

    fn next(&self, object: &mut Object) -> Result<Option<Bytes>, BackendError> {
        Ok(self.handle()?.block_on(object.next())?)
    }
}

impl Backend for S3 {
    fn place(&self) -> String {
        format!("s3 {}/{}", self.place.bucket, self.manifest(None))
    }

    fn get_manifest(&self, part: Option<&str>) -> Result<Option<Vec<u8>>, BackendError> {
        let Some(mut object) = self.handle()?.block_on(self.bucket.get(&self.manifest(part)))? else { return Ok(None) };
        let mut bytes = Vec::new();
        while let Some(piece) = self.next(&mut object)? {
            bytes.extend_from_slice(&piece);
            if bytes.len() as u64 > MAX_MANIFEST {
                let problem = format!("its manifest is larger than {MAX_MANIFEST} bytes");
                return Err(BackendError::Malformed { place: self.place(), problem });
            }
        }
        Ok(Some(bytes))
    }

    fn put_manifest(&self, part: Option<&str>, _media_type: &str, bytes: &[u8]) -> Result<Digest, BackendError> {
        let digest = Digest::sha256(bytes);
        let (name, body) = (self.manifest(part), Body::Bytes(Bytes::copy_from_slice(bytes)));
        self.handle()?.block_on(self.bucket.put(&name, &body, &digest, bytes.len() as u64))?;
        Ok(digest)
    }

    fn has_blob(&self, blob: &Blob) -> Result<bool, BackendError> {
        Ok(self.handle()?.block_on(self.bucket.size(&self.blob(&blob.digest)))? == Some(blob.size))
    }

    fn get_blob(&self, blob: &Blob, into: &mut dyn Write) -> Result<(), BackendError> {
        let place = self.place();
        let Some(mut object) = self.handle()?.block_on(self.bucket.get(&self.blob(&blob.digest)))? else {
            return Err(BackendError::Absent { place, what: format!("blob {}", blob.digest) });
        };
        let mut compared = Compared::new(&place, blob, into);
        while let Some(bytes) = self.next(&mut object)? {
            compared.push(&bytes)?;
        }
        compared.finish()
    }

    fn put_blob(&self, blob: &Blob, content: Content<'_>) -> Result<u64, BackendError> {
        if self.has_blob(blob)? {
            return Ok(0);
        }
        let body = match content {
            Content::Bytes(bytes) => Body::Bytes(Bytes::copy_from_slice(bytes)),
            Content::File(path) => Body::File(path.to_path_buf()),
        };
        self.handle()?.block_on(self.bucket.put(&self.blob(&blob.digest), &body, &blob.digest, blob.size))?;
        Ok(blob.size)
    }
}
