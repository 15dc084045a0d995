//! Pushing: uploads of blobs, and manifests. Each method is one call of the protocol.
//! Specification: OCI distribution-spec, "Push".

use bytes::Bytes;
use http::{Method, StatusCode, header};
use oci::{Digest, RepositoryName, Tag};
use url::Url;

use crate::call::Payload;
use crate::client::Repository;
use crate::error::{Error, Result, printable};
use crate::hop;

/// An upload that the registry has opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Where the next call of it goes.
    location: Url,
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
    /// See [`Error`]; [`Repository::upload_status`] tells what the registry has.
    pub async fn patch_upload(&self, upload: &mut Upload, chunk: Bytes) -> Result<()> {
        let (length, first) = (chunk.len() as u64, upload.offset);
        if length == 0 {
            return Ok(());
        }
        let call = self
            .call_at(Method::PATCH, upload.location.clone(), "pull,push", "chunk".to_owned())
            .header(header::CONTENT_TYPE, OCTETS)
            .header(header::CONTENT_RANGE, &format!("{first}-{}", first + length - 1))
            .payload(Payload::Bytes(chunk));
        // 201 is ECR's way of saying 202.
        let response = self.ask(call, &[StatusCode::ACCEPTED, StatusCode::CREATED]).await?;
        let next = self.upload_of(&response)?;
        upload.location = next.location;
        upload.offset = first + length;
        Ok(())
    }

    /// Sends the rest of an upload as one stream whose length need not be known; it cannot be sent twice.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn stream_upload(&self, upload: &mut Upload, body: reqwest::Body) -> Result<()> {
        let call = self
            .call_at(Method::PATCH, upload.location.clone(), "pull,push", "stream".to_owned())
            .header(header::CONTENT_TYPE, OCTETS)
            .payload(Payload::Once(Some(body)));
        let response = self.ask(call, &[StatusCode::ACCEPTED, StatusCode::CREATED]).await?;
        *upload = self.upload_of(&response)?;
        Ok(())
    }

    /// Asks how far an upload came.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn upload_status(&self, upload: &Upload) -> Result<Upload> {
        let call = self.call_at(Method::GET, upload.location.clone(), "pull,push", "upload".to_owned());
        let response = self.ask(call, &[StatusCode::NO_CONTENT]).await?;
        let next = self.upload_of(&response);
        // Some registries leave the location out here.
        next.or_else(|_| {
            Ok(Upload {
                location: upload.location.clone(),
                offset: range_end(&response),
                least_chunk: upload.least_chunk,
            })
        })
    }

    /// Ends an upload with its last bytes, which may be none: the registry compares all with `digest`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn put_upload(&self, upload: Upload, digest: &Digest, last: Bytes) -> Result<()> {
        let mut url = upload.location;
        url.query_pairs_mut().append_pair("digest", &digest.to_string());
        let mut call =
            self.call_at(Method::PUT, url, "pull,push", format!("blob {digest}")).header(header::CONTENT_TYPE, OCTETS);
        if !last.is_empty() {
            call = call.payload(Payload::Bytes(last));
        }
        self.ask(call, &[StatusCode::CREATED]).await.map(drop)
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
        let call = call.header(header::CONTENT_TYPE, media_type).payload(Payload::Bytes(bytes));
        let response = self.ask(call, &[StatusCode::CREATED]).await?;
        let digest = crate::manifest::known(response.headers()).digest;
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
        Ok(Upload { location, offset: range_end(response), least_chunk })
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

/// `Range: 0-END`: how many bytes the registry has. `0-0` means none or one; none is the safe reading after `POST`.
fn range_end(response: &reqwest::Response) -> u64 {
    let value = response.headers().get(header::RANGE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let end = value.trim_start_matches("bytes=").split_once('-').and_then(|(_, end)| end.parse::<u64>().ok());
    end.filter(|end| *end > 0).map_or(0, |end| end.saturating_add(1))
}
