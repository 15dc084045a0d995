//! The lines of the journal.

use oci::Digest;
use serde::{Deserialize, Serialize};

use crate::time::Instant;

/// One change of names. Fields are only ever added, as options.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
pub(in super::super) enum Line {
    /// The first line of a journal that was written anew: how long it was then.
    Whole { length: u64 },
    /// A repository shows a blob.
    Blob { repository: String, digest: Digest, at: Instant },
    /// It shows it no more.
    BlobGone { repository: String, digest: Digest },
    /// A repository holds a manifest.
    Manifest { repository: String, digest: Digest, media_type: String, at: Instant },
    /// It holds it no more.
    ManifestGone { repository: String, digest: Digest },
    /// A tag names a manifest.
    Tag { repository: String, tag: String, digest: Digest, actor: String, at: Instant },
    /// A tag was removed.
    TagGone { repository: String, tag: String, actor: String, at: Instant },
}

impl Line {
    /// Appends the line and its end to `text`.
    pub(super) fn write(&self, text: &mut Vec<u8>) -> serde_json::Result<()> {
        serde_json::to_writer(&mut *text, self)?;
        text.push(b'\n');
        Ok(())
    }
}
