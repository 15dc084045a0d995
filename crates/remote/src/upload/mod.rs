//! One blob's way into a repository: asked for, mounted, or sent; resumed where a connection broke.
//! Specification: OCI distribution-spec, "Pushing blobs", "Mounting a blob from another repository".

mod flow;
mod remedy;
mod send;
mod source;
mod way;

use http::{Method, StatusCode};
use oci::{Digest, RepositoryName};

use crate::client::Repository;
use crate::error::Result;
use crate::push::{Mounted, Upload};

pub use source::{BytesSource, FileSource, Pieces, RemoteSource, Source, SourceError};

/// How a blob is brought to a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadOptions {
    /// Ask first whether it is there. Only for blobs that are known before they are read.
    pub ask: bool,
    /// Repositories of the same registry that may have it, the likeliest first.
    pub mounts: Vec<RepositoryName>,
    /// Let the registry look for it by itself where none of them has it.
    pub mount_any: bool,
    /// Send chunks of so many bytes instead of one stream.
    pub chunk: Option<u64>,
}

impl Default for UploadOptions {
    fn default() -> Self {
        Self { ask: true, mounts: Vec::new(), mount_any: true, chunk: None }
    }
}

/// What is told while a blob is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// The registry has so many bytes of an earlier try.
    Resumed(u64),
    /// So many bytes are on their way or there; for displays, some ten times a second at most.
    Moved(u64),
    /// Something failed and is tried again.
    Retried(String),
}

/// How a blob came to be in the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// It was there.
    Existed,
    /// The registry took it from another repository: the named one, or one that it found itself.
    Mounted(Option<RepositoryName>),
    /// It was sent.
    Sent,
}

/// A blob that is in the repository now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploaded {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// How it came there.
    pub how: How,
    /// Bytes that went over the wire, those sent twice included.
    pub sent: u64,
}

/// Takes what is told.
type Tell<'a> = &'a (dyn Fn(Told) + Send + Sync);

/// Repositories that are asked for a mount of one blob: those that do not have it cost a call each.
const MOST_MOUNTS: usize = 2;

/// Answers to `HEAD` of a blob after which it is worth a try to send it.
const UNANSWERED: [StatusCode; 4] =
    [StatusCode::NOT_FOUND, StatusCode::BAD_REQUEST, StatusCode::METHOD_NOT_ALLOWED, StatusCode::NOT_IMPLEMENTED];

impl Repository {
    /// Brings a blob into this repository.
    ///
    /// # Errors
    /// When it could be neither found, mounted nor sent; [`crate::Error::is_digest_refused`] where the bytes were not
    /// those of their digest.
    pub async fn upload(&self, source: &dyn Source, options: &UploadOptions, told: Tell<'_>) -> Result<Uploaded> {
        let mut session = None;
        if let Some((digest, size)) = source.known() {
            let without_sending = |how| Uploaded { digest, size, how, sent: 0 };
            if options.ask && self.has_blob(&digest).await? {
                return Ok(without_sending(How::Existed));
            }
            match self.mounted(&digest, options).await {
                Try::Mounted(from) => return Ok(without_sending(How::Mounted(from))),
                Try::Session(upload) => session = upload,
            }
        }
        let sent = send::Sending::new(self, source, session, options.chunk, told).run().await?;
        let (digest, size) = source.known().ok_or_else(|| self.malformed("upload", &"its end has no digest"))?;
        Ok(Uploaded { digest, size, how: How::Sent, sent })
    }

    /// Asks whether a blob is here, with the token that a push takes anyway.
    async fn has_blob(&self, digest: &Digest) -> Result<bool> {
        let call = self.call(Method::HEAD, &format!("blobs/{digest}"), "pull,push", format!("blob {digest}")).await?;
        match self.ask(call, &[StatusCode::OK]).await {
            Ok(_) => Ok(true),
            // Whoever does not answer this question answers the next one.
            Err(error) if error.status().is_some_and(|status| UNANSWERED.contains(&status)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Tries to mount a blob. A registry that refuses is sent the bytes.
    async fn mounted(&self, digest: &Digest, options: &UploadOptions) -> Try {
        let named = options.mounts.iter().filter(|from| **from != self.name).take(MOST_MOUNTS).map(Some);
        let mut open = None;
        for from in named.chain(options.mount_any.then_some(None)) {
            match self.mount(digest, from).await {
                Ok(Mounted::Yes) => {
                    self.give_up(open).await;
                    return Try::Mounted(from.cloned());
                }
                Ok(Mounted::No(upload)) => self.give_up(open.replace(upload)).await,
                Err(error) => tracing::debug!(%error, %digest, "mount"),
            }
        }
        Try::Session(open)
    }

    /// Ends a session that is not needed; one that stays is the registry's to clear away.
    async fn give_up(&self, session: Option<Upload>) {
        if let Some(upload) = session
            && let Err(error) = self.cancel_upload(upload).await
        {
            tracing::debug!(%error, "cancel an upload");
        }
    }
}

/// What came of trying to mount.
enum Try {
    /// It is there, from here.
    Mounted(Option<RepositoryName>),
    /// It is not; a session may have been opened.
    Session(Option<Upload>),
}
