//! In how many calls a blob is sent. Pure.

use crate::quirk::Quirk;

/// Blobs up to this size are sent with the call that ends their upload: one call less, and little is lost if it breaks.
pub(super) const SMALL: u64 = 1 << 20;
/// The size of chunks where something asks for chunks and nothing for their size.
pub(super) const CHUNK: u64 = 4 << 20;
/// No chunk is larger: each is held in memory.
const LARGEST_CHUNK: u64 = 16 << 20;

/// How the rest of a blob is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// With the call that ends the upload.
    AtOnce,
    /// As one stream, then the end.
    Stream,
    /// In chunks of so many bytes, then the end.
    Chunks(u64),
}

/// What chooses a [`Way`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Needs {
    /// The blob's size, where it is known.
    pub(super) size: Option<u64>,
    /// What the registry has of it.
    pub(super) offset: u64,
    /// Chunks that the user asked for, or that the registry turned out to want.
    pub(super) chunk: Option<u64>,
    /// The least that the registry takes as a chunk.
    pub(super) least: u64,
}

impl Needs {
    pub(super) fn way(self, quirk: Quirk) -> Way {
        let wanted = match (self.chunk, quirk.largest_chunk) {
            (Some(chunk), Some(largest)) => Some(chunk.min(largest)),
            (chunk, largest) => chunk.or(largest),
        };
        if let Some(size) = self.size
            && size.saturating_sub(self.offset) <= wanted.unwrap_or(SMALL).min(SMALL)
        {
            return Way::AtOnce;
        }
        match wanted {
            Some(chunk) => Way::Chunks(chunk.max(self.least).clamp(1, LARGEST_CHUNK)),
            // Of a stream without a length the registry is not told where it belongs: after a break, what is left
            // of an earlier one may still come, and only a chunk says at which byte it begins.
            None if self.offset > 0 && self.size.is_none() => Way::Chunks(CHUNK.max(self.least).min(LARGEST_CHUNK)),
            None => Way::Stream,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways() {
        const MIB: u64 = 1 << 20;
        let none = Quirk::of("registry.example");
        let ghcr = Quirk::of("ghcr.io");
        for (size, offset, chunk, least, quirk, expected) in [
            (Some(10), 0, None, 0, none, Way::AtOnce),
            (Some(0), 0, None, 0, none, Way::AtOnce),
            (Some(100 * MIB), 0, None, 65_536, none, Way::Stream),
            (Some(100 * MIB), 50 * MIB, None, 65_536, none, Way::Stream),
            (Some(100 * MIB), 100 * MIB, None, 0, none, Way::AtOnce),
            (None, 0, None, 0, none, Way::Stream),
            (None, 5, None, 0, none, Way::Chunks(4 * MIB)),
            (None, 5, None, 5 * MIB, none, Way::Chunks(5 * MIB)),
            (None, 0, None, 0, ghcr, Way::Chunks(4 * MIB)),
            (Some(100 * MIB), 0, Some(8 * MIB), 0, ghcr, Way::Chunks(4 * MIB)),
            (Some(100 * MIB), 0, Some(2 * MIB), 0, ghcr, Way::Chunks(2 * MIB)),
            (Some(100 * MIB), 0, Some(1), 65_536, none, Way::Chunks(65_536)),
            (Some(MIB), 0, Some(1000), 0, none, Way::Chunks(1000)),
            (None, 0, Some(1 << 40), 0, none, Way::Chunks(16 * MIB)),
        ] {
            assert_eq!(
                Needs { size, offset, chunk, least }.way(quirk),
                expected,
                "{size:?} {offset} {chunk:?} {least}"
            );
        }
    }
}
