//! Packs in the making: pieces one after another, compressed when there are enough, and sent.

use std::collections::HashMap;

use oci::Digest;

use super::TravelError;
use super::index::{MAX_PACK, Pack, Piece};
use super::plan::PACK;
use crate::cache::backend::{Backend, Blob, Content};

/// Fills packs and sends each as it is full.
pub(super) struct Packer<'b> {
    to: &'b dyn Backend,
    /// How many packs there are before the first new one.
    base: u32,
    buffer: Vec<u8>,
    /// Pieces that were taken: where they lie.
    taken: HashMap<Digest, (u32, u64)>,
    pub(super) packs: Vec<Pack>,
    /// Compressed bytes that really moved.
    pub(super) moved: u64,
}

impl<'b> Packer<'b> {
    pub(super) fn new(to: &'b dyn Backend, base: usize) -> Self {
        let base = u32::try_from(base).unwrap_or(u32::MAX);
        Self { to, base, buffer: Vec::new(), taken: HashMap::new(), packs: Vec::new(), moved: 0 }
    }

    /// Where a piece lies that was taken before.
    pub(super) fn find(&self, digest: &Digest) -> Option<(u32, u64)> {
        self.taken.get(digest).copied()
    }

    /// Takes a piece.
    pub(super) fn add(&mut self, digest: Digest, bytes: &[u8]) -> Result<Piece, TravelError> {
        let size = bytes.len() as u64;
        if let Some((pack, offset)) = self.find(&digest) {
            return Ok(Piece(digest, size, pack, offset));
        }
        let number = self.base + u32::try_from(self.packs.len()).unwrap_or(u32::MAX);
        let offset = self.buffer.len() as u64;
        self.buffer.extend_from_slice(bytes);
        self.taken.insert(digest, (number, offset));
        if self.buffer.len() as u64 >= PACK {
            self.send()?;
        }
        Ok(Piece(digest, size, number, offset))
    }

    /// Sends what is left.
    pub(super) fn finish(mut self) -> Result<(Vec<Pack>, u64), TravelError> {
        if !self.buffer.is_empty() {
            self.send()?;
        }
        Ok((self.packs, self.moved))
    }

    fn send(&mut self) -> Result<(), TravelError> {
        let bytes =
            zstd::bulk::compress(&self.buffer, super::LEVEL).map_err(|source| TravelError::Compress { source })?;
        let blob = Blob { digest: Digest::sha256(&bytes), size: bytes.len() as u64 };
        self.moved += self.to.put_blob(&blob, Content::Bytes(&bytes))?;
        self.packs.push(Pack { digest: blob.digest, size: blob.size, raw: self.buffer.len() as u64 });
        self.buffer.clear();
        Ok(())
    }
}

/// Fetches a pack: exactly as many bytes as the index says.
pub(super) fn fetch(from: &dyn Backend, pack: &Pack) -> Result<Vec<u8>, TravelError> {
    if pack.raw > MAX_PACK || pack.size > MAX_PACK {
        return Err(TravelError::Index(format!("pack {} is larger than {MAX_PACK} bytes", pack.digest)));
    }
    let mut packed = Vec::with_capacity(usize::try_from(pack.size).unwrap_or(0));
    from.get_blob(&Blob { digest: pack.digest, size: pack.size }, &mut packed)?;
    let raw = usize::try_from(pack.raw).unwrap_or(0);
    let plain = zstd::bulk::decompress(&packed, raw).map_err(|source| TravelError::Compress { source })?;
    if plain.len() == raw {
        return Ok(plain);
    }
    Err(TravelError::Index(format!("pack {} has {} bytes instead of {raw}", pack.digest, plain.len())))
}
