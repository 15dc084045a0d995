//! A compressed layer into a tree, both cores at work.

use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use layer::{Compression, Recorder, SplitWriter};
use oci::{DiffId, Digest, Hasher};
use sys::Root;

use super::apply::apply_recorded;
use super::{Applied, ApplyError, ApplyOptions};

/// What is handed over at a time, and how many of those may wait.
const BUFFER: usize = 512 * 1024;
const WAITING: usize = 3;

/// What [`unpack`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    /// What was applied.
    pub applied: Applied,
    /// The layer's identity: the digest of the uncompressed tar.
    pub diff_id: DiffId,
    /// Bytes of the uncompressed tar.
    pub size: u64,
    /// How it was compressed.
    pub compression: Compression,
    /// Directories that the tar implied but did not hold, and that none of [`ApplyOptions::lowers`] has either: see
    /// [`super::settle_implied`].
    pub implied: Vec<Vec<u8>>,
    /// Whether the tree holds all that the tar did: no entry took the place of an earlier one. If not, a split of it can
    /// only be thrown away.
    pub whole: bool,
}

/// Applies a tar of any compression to `into`. Reading, decompressing and hashing run in a second thread.
///
/// `blob` is read to its end before this returns, so a reader that verifies a digest has judged it by then, and its
/// error is this function's.
pub fn unpack(blob: impl Read + Send, into: &Root, options: &ApplyOptions) -> Result<Unpacked, ApplyError> {
    unpack_with(blob, into, options, ()).map(|(unpacked, ())| unpacked)
}

/// As [`unpack`], and writes the tar split to `split`, with which [`super::assemble`] makes the exact tar again.
pub fn unpack_recorded<W: Write>(
    blob: impl Read + Send,
    into: &Root,
    options: &ApplyOptions,
    split: W,
) -> Result<(Unpacked, W), ApplyError> {
    let writer = SplitWriter::new(split).map_err(ApplyError::Split)?;
    let (unpacked, writer) = unpack_with(blob, into, options, writer)?;
    let split = writer.finish(unpacked.whole).map_err(ApplyError::Split)?;
    Ok((unpacked, split))
}

fn unpack_with<S: Recorder>(
    blob: impl Read + Send,
    into: &Root,
    options: &ApplyOptions,
    recorder: S,
) -> Result<(Unpacked, S), ApplyError> {
    let (compression, mut decoder) = Compression::detecting(Box::new(blob))?;
    let (full, incoming) = sync_channel(WAITING);
    let (outgoing, empty) = sync_channel(WAITING + 2);
    std::thread::scope(|scope| {
        let feeder = scope.spawn(move || feed(&mut decoder, &full, &empty));
        let mut reader = Chunks { incoming, outgoing, current: Vec::new(), position: 0 };
        let applied = apply_recorded(&mut reader, into, options, recorder);
        drop(reader);
        let (digest, size) = feeder.join().unwrap_or_else(|_| (Digest::sha256(b""), 0));
        let (applied, finished, recorder) = applied?;
        let (implied, whole) = (finished.implied, !finished.replaced);
        Ok((Unpacked { applied, diff_id: DiffId::new(digest), size, compression, implied, whole }, recorder))
    })
}

/// Hashes and sends all that `decoder` gives; an error goes the same way, as the last thing.
fn feed(decoder: &mut dyn Read, full: &SyncSender<io::Result<Vec<u8>>>, empty: &Receiver<Vec<u8>>) -> (Digest, u64) {
    let mut hasher = Hasher::sha256();
    loop {
        let mut buffer = empty.try_recv().unwrap_or_else(|_| Vec::with_capacity(BUFFER));
        let message = match fill(decoder, &mut buffer) {
            Ok(()) if buffer.is_empty() => break,
            Ok(()) => {
                hasher.update(&buffer);
                Ok(buffer)
            }
            Err(error) => Err(error),
        };
        let last = message.is_err();
        // Nobody listens any more when applying failed.
        if full.send(message).is_err() || last {
            break;
        }
    }
    let size = hasher.size();
    (hasher.finish(), size)
}

fn fill(decoder: &mut dyn Read, buffer: &mut Vec<u8>) -> io::Result<()> {
    buffer.clear();
    decoder.take(BUFFER as u64).read_to_end(buffer).map(drop)
}

/// The receiving end, as a reader.
struct Chunks {
    incoming: Receiver<io::Result<Vec<u8>>>,
    outgoing: SyncSender<Vec<u8>>,
    current: Vec<u8>,
    position: usize,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position == self.current.len() {
            let spent = match self.incoming.recv() {
                Ok(next) => std::mem::replace(&mut self.current, next?),
                Err(_) => return Ok(0),
            };
            self.position = 0;
            // Refused only when there are enough already.
            let _ = self.outgoing.try_send(spent);
        }
        let count = buffer.len().min(self.current.len() - self.position);
        buffer[..count].copy_from_slice(&self.current[self.position..self.position + count]);
        self.position += count;
        Ok(count)
    }
}
