//! Pushing: uploads of blobs, and manifests. Each method is one call of the protocol.
//! Specification: OCI distribution-spec, "Push".

use bytes::Bytes;
use http::{Method, StatusCode, header};
use oci::{Digest, Hasher, RepositoryName, Tag};
use url::Url;

use crate::call::{Payload, Wait};
use crate::client::Repository;
use crate::error::{Error, Result, printable};
use crate::hop;

/// An upload that the registry has opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Where the next call of it goes.
    pub(crate) location: Url,
    /// Bytes that the registry has.
    pub offset: u64,
    /// The least that a chunk other than the last should have; 0 where the registry does not care.
    pub least_chunk: u64,
}

/// What came of a mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mounted {
    /// The blob is in the repository.
    Yes,
    /// It is not: here is an upload for it.
    No(Upload),
}

/// What came of a manifest's push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutManifest {
    /// The digest as the registry names it.
    pub digest: Option<Digest>,
    /// Whether the registry lists referrers itself (`OCI-Subject`); without it the client keeps the tag that stands in.
    pub subject: bool,
}

/// Bytes for the end of an upload.
pub(crate) struct Piece {
    pub(crate) payload: Payload,
    /// How many, where that is known before they are read.
    pub(crate) length: Option<u64>,
    /// Whether the registry is told which bytes they are, so that it refuses them elsewhere.
    pub(crate) ranged: bool,
}

impl Piece {
    /// Whoever sends a stream watches it.
    fn wait(&self) -> Wait {
        if matches!(self.payload, Payload::Once(_)) { Wait::Watched } else { Wait::Chunk }
    }
}

/// The types of uploads' bodies.
const OCTETS: &str = "application/octet-stream";

impl Repository {
    /// Opens an upload.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn begin_upload(&self) -> Result<Upload> {
        let call = self.call(Method::POST, "blobs/uploads/", "pull,push", "upload".to_owned()).await?;
        let response = self.ask(call, &[StatusCode::ACCEPTED]).await?;
        self.upload_of(&response)
    }

    /// Makes a blob of another repository of the same registry visible here, or opens an upload for it.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn mount(&self, digest: &Digest, from: Option<&RepositoryName>) -> Result<Mounted> {
        let mut url = self.url("blobs/uploads/").await?;
        url.query_pairs_mut().append_pair("mount", &digest.to_string());
        if let Some(from) = from {
            url.query_pairs_mut().append_pair("from", from.as_str());
        }
        let mut call = self.call_at(Method::POST, url, "pull,push", format!("mount of {digest}"));
        if let Some(from) = from {
            call = call.also(format!("repository:{}:pull", from.as_str()));
        }
        let response = self.ask(call, &[StatusCode::CREATED, StatusCode::ACCEPTED]).await?;
        match response.status() {
            StatusCode::CREATED => Ok(Mounted::Yes),
            _ => self.upload_of(&response).map(Mounted::No),
        }
    }

    /// Sends a chunk, at the upload's offset.
    ///
    /// # Errors
    /// See [`Error`]; [`Repository::upload_status`] tells what the registry has. A chunk is not sent twice by itself: it
    /// may have come even where no answer did.
    pub async fn patch_upload(&self, upload: &mut Upload, chunk: Bytes) -> Result<()> {
        let length = chunk.len() as u64;
        if length == 0 {
            return Ok(());
        }
        let piece = Piece { payload: Payload::Bytes(chunk), length: Some(length), ranged: true };
        self.append(upload, piece).await?;
        upload.offset += length;
        Ok(())
    }

    /// Sends bytes to the end of an upload. Gives the bytes that the registry says it has now, where it does; the upload's
    /// offset is the caller's affair.
    pub(crate) async fn append(&self, upload: &mut Upload, piece: Piece) -> Result<Option<u64>> {
        let mut call = self
            .call_at(Method::PATCH, upload.location.clone(), "pull,push", "upload".to_owned())
            .header(header::CONTENT_TYPE, OCTETS)
            .sending(piece.wait());
        if let Some(length) = piece.length {
            call = call.header(header::CONTENT_LENGTH, &length.to_string());
            if piece.ranged {
                let first = upload.offset;
                call = call.header(header::CONTENT_RANGE, &format!("{first}-{}", first + length.max(1) - 1));
            }
        }
        // 201 is ECR's way of saying 202; others say 204.
        let fine = [StatusCode::ACCEPTED, StatusCode::CREATED, StatusCode::NO_CONTENT];
        let response = self.ask(call.payload(piece.payload), &fine).await?;
        // A location that is missing is the old one; a forbidden one is an error.
        if response.headers().contains_key(header::LOCATION) {
            upload.location = self.upload_of(&response)?.location;
        }
        Ok(range_end(&response))
    }

    /// Asks how far an upload came.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn upload_status(&self, upload: &Upload) -> Result<Upload> {
        let call = self.call_at(Method::GET, upload.location.clone(), "pull,push", "upload".to_owned());
        let response = self.ask(call, &[StatusCode::NO_CONTENT, StatusCode::OK, StatusCode::ACCEPTED]).await?;
        // Some registries leave the location out here.
        if !response.headers().contains_key(header::LOCATION) {
            return Ok(Upload { offset: range_end(&response).unwrap_or(0), ..upload.clone() });
        }
        Ok(Upload { least_chunk: upload.least_chunk, ..self.upload_of(&response)? })
    }

    /// Ends an upload with its last bytes, which may be none: the registry compares all with `digest`.
    ///
    /// # Errors
    /// See [`Error`]. Bytes are not sent twice by themselves.
    pub async fn put_upload(&self, upload: Upload, digest: &Digest, last: Bytes) -> Result<()> {
        let mut url = upload.location;
        url.query_pairs_mut().append_pair("digest", &digest.to_string());
        let mut call = self
            .call_at(Method::PUT, url, "pull,push", format!("blob {digest}"))
            .header(header::CONTENT_TYPE, OCTETS)
            .sending(Wait::Finish);
        if !last.is_empty() {
            if upload.offset > 0 {
                let end = upload.offset + last.len() as u64 - 1;
                call = call.header(header::CONTENT_RANGE, &format!("{}-{end}", upload.offset));
            }
            call = call.payload(Payload::Bytes(last));
        }
        self.ask(call, &[StatusCode::CREATED, StatusCode::NO_CONTENT, StatusCode::ACCEPTED]).await.map(drop)
    }

    /// Gives an upload up.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn cancel_upload(&self, upload: Upload) -> Result<()> {
        let call = self.call_at(Method::DELETE, upload.location, "pull,push", "upload".to_owned());
        self.ask(call, &[StatusCode::NO_CONTENT, StatusCode::ACCEPTED, StatusCode::OK]).await.map(drop)
    }

    /// Pushes a manifest: `reference` is a tag or the digest of `bytes`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn put_manifest(&self, reference: &Reference<'_>, media_type: &str, bytes: Bytes) -> Result<PutManifest> {
        let text = match reference {
            Reference::Tag(tag) => tag.as_str().to_owned(),
            Reference::Digest(digest) => digest.to_string(),
        };
        let call =
            self.call(Method::PUT, &format!("manifests/{text}"), "pull,push", format!("manifest {text}")).await?;
        let sent = bytes.clone();
        let call = call.header(header::CONTENT_TYPE, media_type).payload(Payload::Bytes(bytes));
        let response = self.ask(call, &[StatusCode::CREATED]).await?;
        let digest = crate::manifest::known(response.headers()).digest;
        // What stands there under this name must be what was sent, as far as the registry says so.
        if let Some(found) = digest {
            let mut hasher = Hasher::new(found.algorithm());
            hasher.update(&sent);
            let expected = hasher.finish();
            if expected != found {
                return Err(Error::Digest { place: self.place(), what: format!("manifest {text}"), expected, found });
            }
        }
        Ok(PutManifest { digest, subject: response.headers().contains_key("oci-subject") })
    }

    /// Deletes a tag, a manifest with all its tags, or a blob.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_manifest(&self, reference: &Reference<'_>) -> Result<()> {
        let text = match reference {
            Reference::Tag(tag) => tag.as_str().to_owned(),
            Reference::Digest(digest) => digest.to_string(),
        };
        let call =
            self.call(Method::DELETE, &format!("manifests/{text}"), "delete", format!("manifest {text}")).await?;
        self.ask(call, &[StatusCode::ACCEPTED, StatusCode::OK]).await.map(drop)
    }

    fn upload_of(&self, response: &reqwest::Response) -> Result<Upload> {
        let headers = response.headers();
        let text = headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
        let text = text.ok_or_else(|| self.malformed("upload", &"the registry named no location"))?;
        let refused =
            |target: String, rule| Error::Hop { place: self.place(), kind: "an upload location", target, rule };
        let location = response.url().join(text).map_err(|_| refused(printable(text), hop::Refused::Malformed))?;
        let insecure = |url: &Url| self.registry.is_insecure(url);
        hop::check(response.url(), &location, insecure).map_err(|rule| refused(hop::origin(&location), rule))?;
        let least = headers.get("oci-chunk-min-length").and_then(|value| value.to_str().ok());
        let least_chunk = least.and_then(|text| text.parse().ok()).unwrap_or(0);
        Ok(Upload { location, offset: range_end(response).unwrap_or(0), least_chunk })
    }
}

/// What a manifest is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reference<'a> {
    /// A tag.
    Tag(&'a Tag),
    /// A digest.
    Digest(&'a Digest),
}

/// `Range: 0-END`: how many bytes the registry has. `0-0` means none or one; none is the safe reading.
fn range_end(response: &reqwest::Response) -> Option<u64> {
    let value = response.headers().get(header::RANGE).and_then(|value| value.to_str().ok())?;
    let (_, end) = value.trim().trim_start_matches("bytes=").split_once('-')?;
    let end = end.trim().parse::<u64>().ok()?;
    Some(if end == 0 { 0 } else { end.saturating_add(1) })
}
