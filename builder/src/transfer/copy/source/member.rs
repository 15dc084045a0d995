//! A file, or a part of one, as a blob: the descriptor is open already, so no name can be changed under it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use oci::{Descriptor, Digest};
use remote::{Pieces, SourceError};

use crate::transfer::copy::CopyError;
use crate::transfer::copy::document::MAX_DOCUMENT;

/// One read.
const READ: usize = 256 << 10;

/// A member of a layout.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) file: Arc<File>,
    pub(super) path: PathBuf,
    pub(super) start: u64,
    pub(super) size: u64,
}

impl Member {
    /// All of a small member.
    pub(super) fn bytes(&self) -> Result<Bytes, CopyError> {
        if self.size > MAX_DOCUMENT {
            let problem = format!("{} has {} bytes: too many for a document", self.path.display(), self.size);
            return Err(CopyError::NoLayout { path: self.path.clone(), problem });
        }
        let mut bytes = vec![0; usize::try_from(self.size).unwrap_or(0)];
        let read = self.file.read_exact_at(&mut bytes, self.start);
        read.map_err(|error| CopyError::io("read", &self.path, error))?;
        Ok(Bytes::from(bytes))
    }

    /// The member as the blob that a descriptor names.
    pub(super) fn blob(self, descriptor: &Descriptor) -> Result<MemberBlob, CopyError> {
        if self.size != descriptor.size {
            return Err(CopyError::Length { digest: descriptor.digest, expected: descriptor.size, found: self.size });
        }
        Ok(MemberBlob { member: self, digest: descriptor.digest })
    }
}

/// A member by the digest that it should have.
#[derive(Debug, Clone)]
pub(crate) struct MemberBlob {
    member: Member,
    digest: Digest,
}

impl remote::Source for MemberBlob {
    fn known(&self) -> Option<(Digest, u64)> {
        Some((self.digest, self.member.size))
    }

    fn open(&self, offset: u64) -> BoxFuture<'_, Result<Pieces, SourceError>> {
        let member = self.member.clone();
        let pieces = futures_util::stream::try_unfold(offset, move |at| {
            let member = member.clone();
            async move {
                if at >= member.size {
                    return Ok(None);
                }
                let read = tokio::task::spawn_blocking(move || piece(&member, at)).await?;
                let bytes = read?;
                let next = at + bytes.len() as u64;
                Ok::<_, SourceError>(Some((bytes, next)))
            }
        });
        Box::pin(async move { Ok(Box::pin(pieces) as Pieces) })
    }
}

fn piece(member: &Member, at: u64) -> Result<Bytes, SourceError> {
    let length = usize::try_from(member.size - at).unwrap_or(READ).min(READ);
    let mut buffer = vec![0; length];
    loop {
        match member.file.read_at(&mut buffer, member.start + at) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) => return Err(format!("{} became shorter while it was read", member.path.display()).into()),
            Ok(count) => {
                buffer.truncate(count);
                return Ok(Bytes::from(buffer));
            }
            Err(error) => return Err(format!("read {}: {error}", member.path.display()).into()),
        }
    }
}
