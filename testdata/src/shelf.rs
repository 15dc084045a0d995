//! A registry in memory that behaves: tests add their faults in front of it.
//!
//! ```text
//! let shelf = Arc::new(fixtures::Shelf::default());
//! shelf.publish("latest", &image.made()?)?;
//! let host = fixtures::Host::start(move |asked| match asked.path() {
//!     "/v2/app/manifests/latest" => fixtures::Answer::new(500, ""),
//!     _ => shelf.answer(asked),
//! })?;
//! ```
//!
//! All repositories see the same blobs and manifests; only what is pushed is told apart, by the requests that came.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::http::{Answer, Asked};
use crate::image::{Made, sha256};

/// What a registry holds.
#[derive(Debug, Default)]
pub struct Shelf {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By digest.
    blobs: HashMap<String, Vec<u8>>,
    /// By tag and by digest: bytes and media type.
    manifests: HashMap<String, (Vec<u8>, String)>,
    /// By number; what came so far.
    uploads: HashMap<u64, Vec<u8>>,
    begun: u64,
}

impl Shelf {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lays a blob; gives its digest.
    ///
    /// # Errors
    /// There is no `sha256sum`.
    pub fn blob(&self, bytes: impl Into<Vec<u8>>) -> io::Result<String> {
        let bytes = bytes.into();
        let digest = format!("sha256:{}", sha256(&bytes)?);
        self.state().blobs.insert(digest.clone(), bytes);
        Ok(digest)
    }

    /// Lays bytes under a digest that is not theirs.
    pub fn lie(&self, digest: &str, bytes: impl Into<Vec<u8>>) {
        self.state().blobs.insert(digest.to_owned(), bytes.into());
    }

    /// Lays a document as a manifest under a tag and its digest; gives the digest.
    ///
    /// # Errors
    /// There is no `sha256sum`.
    pub fn manifest(&self, tag: &str, media_type: &str, bytes: impl Into<Vec<u8>>) -> io::Result<String> {
        let bytes = bytes.into();
        let digest = format!("sha256:{}", sha256(&bytes)?);
        let mut state = self.state();
        for name in [tag, &digest] {
            state.manifests.insert(name.to_owned(), (bytes.clone(), media_type.to_owned()));
        }
        Ok(digest)
    }

    /// Lays a whole image; gives its manifest's digest.
    ///
    /// # Errors
    /// There is no `sha256sum`.
    pub fn publish(&self, tag: &str, made: &Made) -> io::Result<String> {
        self.publish_as(tag, made, |_| {})
    }

    /// Lays a whole image under a manifest that a test has changed.
    ///
    /// # Errors
    /// There is no `sha256sum`.
    pub fn publish_as(&self, tag: &str, made: &Made, change: impl FnOnce(&mut Value)) -> io::Result<String> {
        for (_, bytes) in &made.layers {
            self.blob(bytes.clone())?;
        }
        self.blob(made.config.to_string())?;
        let mut manifest = made.manifest()?;
        change(&mut manifest);
        let kind = manifest["mediaType"].as_str().unwrap_or("application/vnd.oci.image.manifest.v1+json").to_owned();
        self.manifest(tag, &kind, manifest.to_string())
    }

    /// The bytes of a manifest by its tag or digest.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<Vec<u8>> {
        self.state().manifests.get(name).map(|(bytes, _)| bytes.clone())
    }

    /// The bytes of a blob.
    #[must_use]
    pub fn held(&self, digest: &str) -> Option<Vec<u8>> {
        self.state().blobs.get(digest).cloned()
    }

    /// What a good registry answers.
    #[must_use]
    pub fn answer(&self, asked: &Asked) -> Answer {
        let path = asked.path();
        if path == "/v2/" {
            return Answer::new(200, "{}");
        }
        if let Some((_, name)) = path.split_once("/manifests/") {
            return self.manifests(asked, name);
        }
        if let Some((repository, upload)) = path.split_once("/blobs/uploads/") {
            return self.uploads(asked, repository, upload);
        }
        if let Some((_, digest)) = path.split_once("/blobs/") {
            return match self.held(digest) {
                Some(bytes) => ranged(&bytes, asked.header("range")).header("Docker-Content-Digest", digest),
                None => unknown("BLOB_UNKNOWN"),
            };
        }
        unknown("UNSUPPORTED")
    }

    fn manifests(&self, asked: &Asked, name: &str) -> Answer {
        if asked.method == "PUT" {
            let kind = asked.header("content-type");
            return match self.manifest(name, kind, asked.body.clone()) {
                Ok(digest) => {
                    Answer::new(201, "").header("Docker-Content-Digest", &digest).header("Location", asked.path())
                }
                Err(error) => Answer::new(500, error.to_string()),
            };
        }
        match self.state().manifests.get(name) {
            Some((bytes, kind)) => Answer::new(200, bytes.clone()).header("Content-Type", kind),
            None => unknown("MANIFEST_UNKNOWN"),
        }
    }

    fn uploads(&self, asked: &Asked, repository: &str, upload: &str) -> Answer {
        let digest = asked.query("digest").map(|digest| digest.replace("%3A", ":").replace("%3a", ":"));
        let mut state = self.state();
        if asked.method == "POST" {
            state.begun += 1;
            let number = state.begun;
            state.uploads.insert(number, Vec::new());
            let answer = Answer::new(202, "").header("Location", format!("{repository}/blobs/uploads/{number}"));
            return answer.header("Range", "0-0");
        }
        let Some(number) = upload.parse().ok().filter(|number| state.uploads.contains_key(number)) else {
            return unknown("BLOB_UPLOAD_UNKNOWN");
        };
        let held = state.uploads.entry(number).or_default();
        let start = asked.header("content-range").split('-').next().and_then(|start| start.parse().ok());
        if start.is_some_and(|start: usize| start != held.len()) {
            return place(416, repository, number, held.len());
        }
        held.extend_from_slice(&asked.body);
        match (asked.method.as_str(), digest) {
            ("GET", _) => place(204, repository, number, held.len()),
            ("PATCH", _) => place(202, repository, number, held.len()),
            ("DELETE", _) => {
                state.uploads.remove(&number);
                Answer::new(204, "")
            }
            ("PUT", Some(digest)) => {
                let bytes = std::mem::take(held);
                state.uploads.remove(&number);
                if sha256(&bytes).is_ok_and(|hex| digest == format!("sha256:{hex}")) {
                    state.blobs.insert(digest.clone(), bytes);
                    Answer::new(201, "").header("Location", format!("{repository}/blobs/{digest}"))
                } else {
                    Answer::new(400, r#"{"errors":[{"code":"DIGEST_INVALID"}]}"#)
                }
            }
            _ => unknown("UNSUPPORTED"),
        }
    }
}

fn place(status: u16, repository: &str, number: u64, length: usize) -> Answer {
    Answer::new(status, "")
        .header("Location", format!("{repository}/blobs/uploads/{number}"))
        .header("Range", format!("0-{}", length.saturating_sub(1)))
}

/// The specification's "no such thing".
#[must_use]
pub fn unknown(code: &str) -> Answer {
    Answer::new(404, format!(r#"{{"errors":[{{"code":"{code}","message":"no such thing"}}]}}"#))
}

/// Bytes, or the range of them that is asked for.
fn ranged(bytes: &[u8], range: &str) -> Answer {
    let Some((start, end)) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Answer::new(200, bytes);
    };
    let start: usize = start.parse().unwrap_or(0);
    let end = end.parse().map_or(bytes.len(), |end: usize| bytes.len().min(end + 1));
    if start >= end {
        return Answer::new(416, "").header("Content-Range", format!("bytes */{}", bytes.len()));
    }
    let range = format!("bytes {start}-{}/{}", end - 1, bytes.len());
    Answer::new(206, &bytes[start..end]).header("Content-Range", range)
}
