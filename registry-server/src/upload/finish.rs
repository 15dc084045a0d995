//! The end of a session: its bytes are verified, made durable, and made visible.

use bytes::Bytes;
use http::StatusCode;
use oci::{Digest, ErrorCode, Hasher};

use super::sink::Sink;
use super::{Target, Uploads};
use crate::auth::Push;
use crate::metadata::{BlobRow, Committed};
use crate::refusal::{Refusal, Result};
use crate::time::Instant;

impl Uploads {
    /// Makes a blob of what a session holds.
    pub(super) fn seal(&self, mut sink: Sink, push: &Push, target: &Target) -> Result<BlobRow> {
        let (size, digest) = (sink.offset(), target.digest);
        sink.writer = None;
        let hasher = if sink.algorithm == digest.algorithm() {
            sink.hasher.clone()
        } else {
            self.rehash(sink.claim.id(), digest.algorithm(), size)?
        };
        if hasher.finish() != digest {
            self.discard(sink)?;
            return Err(mismatch(&digest));
        }
        if size == 0 {
            return self.store_small(sink, push, &Bytes::new(), target);
        }
        sink.remember(Some(&digest))?;
        let key = match self.objects.commit(sink.claim.id(), &digest) {
            Ok(key) => key,
            Err(error) => {
                // Its bytes are in doubt: whoever comes back shall begin anew.
                self.discard(sink)?;
                return Err(error.into());
            }
        };
        self.link(sink, push, BlobRow { digest, size, key }, target)
    }

    /// Makes a blob of bytes in memory, which are all that a session has.
    pub(super) fn store_small(&self, sink: Sink, push: &Push, bytes: &Bytes, target: &Target) -> Result<BlobRow> {
        let digest = target.digest;
        let mut hasher = Hasher::new(digest.algorithm());
        hasher.update(bytes);
        if hasher.finish() != digest {
            self.discard(sink)?;
            return Err(mismatch(&digest));
        }
        let key = self.objects.put(&digest, bytes)?;
        self.link(sink, push, BlobRow { digest, size: bytes.len() as u64, key }, target)
    }

    /// Makes durable bytes visible, and ends the session whatever comes of it.
    fn link(&self, sink: Sink, push: &Push, row: BlobRow, target: &Target) -> Result<BlobRow> {
        let linked = self.metadata.link_blob(push.repository(), &row, &target.quotas, Instant::now());
        let kept = match linked {
            Ok(Committed::Stored) => Ok(row),
            Ok(Committed::Existed(key)) => {
                if key != row.key {
                    self.objects.remove(&row.key)?;
                }
                Ok(BlobRow { key, ..row })
            }
            Err(error) => {
                self.objects.remove(&row.key)?;
                Err((target.refuse)(error))
            }
        };
        if sink.metadata.is_some() {
            self.metadata.end_upload(sink.claim.id())?;
        }
        sink.claim.end();
        kept
    }
}

fn mismatch(digest: &Digest) -> Refusal {
    Refusal::new(
        StatusCode::BAD_REQUEST,
        ErrorCode::DigestInvalid,
        format!("the uploaded bytes are not those of {digest}"),
    )
}
