//! A blob whose bytes are compared with their digest while they pass, also where an upload takes them up again.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use oci::{Digest, Hasher};
use remote::{Pieces, Source, SourceError};

/// Wraps a source.
pub(super) struct Checked {
    inner: Box<dyn Source>,
    digest: Digest,
    size: u64,
    seen: Arc<Mutex<Hasher>>,
}

impl Checked {
    /// The bytes of `inner` are to be these.
    pub(super) fn new(inner: Box<dyn Source>, digest: Digest, size: u64) -> Self {
        Self { inner, digest, size, seen: Arc::new(Mutex::new(Hasher::new(digest.algorithm()))) }
    }
}

impl Source for Checked {
    fn known(&self) -> Option<(Digest, u64)> {
        Some((self.digest, self.size))
    }

    fn open(&self, offset: u64) -> BoxFuture<'_, Result<Pieces, SourceError>> {
        Box::pin(async move {
            let (digest, size) = (self.digest, self.size);
            // A registry that has more than passed here has it from an earlier process: it compares by itself.
            if offset > self.seen.lock().unwrap_or_else(PoisonError::into_inner).size() {
                return self.inner.open(offset).await;
            }
            let pieces = self.inner.open(offset).await?;
            let state = (pieces, Arc::clone(&self.seen), offset);
            let checked = futures_util::stream::try_unfold(state, move |(mut pieces, seen, at)| async move {
                let piece = pieces.next().await.transpose()?;
                let next = compare(&seen, at, piece.as_ref(), &digest, size)?;
                Ok::<_, SourceError>(piece.map(|piece| (piece, (pieces, seen, next))))
            });
            Ok(checked.boxed())
        })
    }
}

/// Hashes what is new of a piece at `at`; at the end compares. Gives where the next piece begins.
fn compare(
    seen: &Mutex<Hasher>,
    at: u64,
    piece: Option<&Bytes>,
    digest: &Digest,
    size: u64,
) -> Result<u64, SourceError> {
    let mut hasher = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let next = at + piece.map_or(0, |piece| piece.len() as u64);
    if next > size {
        return Err(format!("{digest} is longer than the {size} bytes that were announced").into());
    }
    if let Some(piece) = piece
        && next > hasher.size()
    {
        let known = usize::try_from(hasher.size() - at).unwrap_or(piece.len());
        hasher.update(&piece[known..]);
    }
    let ends = next == size && hasher.size() == size;
    if piece.is_none() && next < size {
        return Err(format!("{digest} ends after {next} of {size} bytes").into());
    }
    if ends {
        let found = hasher.clone().finish();
        if found != *digest {
            return Err(format!("the content of {digest} has digest {found}").into());
        }
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use remote::BytesSource;

    async fn read(source: &Checked, offset: u64, most: usize) -> Result<Vec<u8>, SourceError> {
        let mut pieces = source.open(offset).await?;
        let mut all = Vec::new();
        while all.len() < most
            && let Some(piece) = pieces.next().await
        {
            all.extend_from_slice(&piece?);
        }
        Ok(all)
    }

    #[tokio::test]
    async fn whole_and_taken_up_again() {
        let bytes = Bytes::from_static(b"some bytes of a blob");
        let digest = Digest::sha256(&bytes);
        let of =
            |bytes: &Bytes, digest, size| Checked::new(Box::new(BytesSource::new(digest, bytes.clone())), digest, size);
        let good = of(&bytes, digest, 20);
        assert_eq!(read(&good, 0, usize::MAX).await.unwrap(), bytes);
        assert_eq!(read(&good, 5, usize::MAX).await.unwrap(), &bytes[5..]);
        let other = Digest::sha256(b"other");
        assert!(read(&of(&bytes, other, 20), 0, usize::MAX).await.unwrap_err().to_string().contains("has digest"));
        assert!(read(&of(&bytes, digest, 19), 0, usize::MAX).await.unwrap_err().to_string().contains("longer"));
        assert!(read(&of(&bytes, digest, 21), 0, usize::MAX).await.unwrap_err().to_string().contains("ends after 20"));
    }
}
