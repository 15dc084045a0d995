//! Between the network and the tree: bytes are hashed, kept for the next try, and unpacked, each in a thread of its own.
//!
//! ```text
//! fetch ─channel→ hash, append to the download ─channel→ decompress, hash ─channel→ tree
//! ```

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use bytes::Bytes;
use oci::{Digest, Hasher};
use runtime::tree::{ApplyError, ApplyOptions, Unpacked, unpack_recorded};
use rustix::io::Errno;
use store::Download;
use sys::Root;

use super::feed;

/// What is read of a download at a time.
const CHUNK: usize = 256 * 1024;
/// Chunks that wait for the unpacker.
const WAITING: usize = 2;

/// What came in the end.
pub(super) struct Arrived {
    /// The digest and the size of all bytes; `None` where not all of them were looked at, since unpacking failed.
    pub(super) blob: Option<(Digest, u64)>,
    /// What was unpacked.
    pub(super) unpacked: Result<Unpacked, ApplyError>,
    /// The download, which has all bytes that came.
    pub(super) download: Option<Download>,
}

/// Takes a layer's bytes to their end: those of the download first, then those of `incoming`. Blocks.
pub(super) fn arrive(
    algorithm: oci::Algorithm,
    mut download: Option<Download>,
    mut incoming: feed::Receiver,
    tree: &Root,
    options: &ApplyOptions,
    split: std::fs::File,
) -> Result<Arrived, store::Error> {
    let (sender, receiver) = sync_channel(WAITING);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let inlet = Inlet { hasher: Hasher::new(algorithm), sender: Some(sender), stop: &stop };
        let download = &mut download;
        let hashing = scope.spawn(move || inlet.run(download, &mut incoming));
        let unpacked = unpack_recorded(Chunks { receiver, current: Bytes::new() }, tree, options, split);
        // A damaged archive may be damaged on the way: then the digest says so. A full disk ends it here.
        stop.store(unpacked.as_ref().is_err_and(is_of_the_disk), Ordering::Relaxed);
        let blob = hashing.join().unwrap_or(Ok(None))?;
        Ok((blob, unpacked.map(|(unpacked, _)| unpacked)))
    })
    .map(|(blob, unpacked)| Arrived { blob, unpacked, download })
}

/// Whether other bytes would not have helped.
pub(super) fn is_of_the_disk(error: &ApplyError) -> bool {
    match error {
        ApplyError::Split(_) | ApplyError::Room(_) => true,
        ApplyError::Write { source, .. } => {
            matches!(source.errno(), Errno::NOSPC | Errno::DQUOT | Errno::IO | Errno::ROFS)
        }
        ApplyError::Read(_) | ApplyError::Compression(_) => false,
    }
}

struct Inlet<'a> {
    hasher: Hasher,
    /// `None` once nobody unpacks any more.
    sender: Option<SyncSender<Bytes>>,
    stop: &'a AtomicBool,
}

impl Inlet<'_> {
    fn run(
        mut self,
        download: &mut Option<Download>,
        incoming: &mut feed::Receiver,
    ) -> Result<Option<(Digest, u64)>, store::Error> {
        if let Some(download) = download {
            self.replay(download)?;
        }
        while let Some(bytes) = incoming.take() {
            if let Some(kept) = download
                && kept.append(&bytes).is_err()
            {
                // A disk that is too full for it is enough for the tree, perhaps.
                drop(kept.cut(0));
                if let Some(useless) = download.take() {
                    drop(useless.remove());
                }
            }
            if !self.pass(bytes) {
                return Ok(None);
            }
        }
        let size = self.hasher.size();
        Ok(Some((self.hasher.finish(), size)))
    }

    /// What came in an earlier try.
    fn replay(&mut self, download: &Download) -> Result<(), store::Error> {
        let mut at = 0;
        while at < download.len() {
            let mut buffer = vec![0; CHUNK];
            let count = download.read_at(&mut buffer, at)?;
            if count == 0 {
                break;
            }
            buffer.truncate(count);
            at += count as u64;
            if !self.pass(Bytes::from(buffer)) {
                break;
            }
        }
        Ok(())
    }

    /// Hashes and hands on; whether to go on.
    fn pass(&mut self, bytes: Bytes) -> bool {
        self.hasher.update(&bytes);
        if let Some(sender) = &self.sender
            && sender.send(bytes).is_err()
        {
            self.sender = None;
        }
        !(self.sender.is_none() && self.stop.load(Ordering::Relaxed))
    }
}

/// The unpacker's end, as a reader.
struct Chunks {
    receiver: Receiver<Bytes>,
    current: Bytes,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.current.is_empty() {
            let Ok(next) = self.receiver.recv() else { return Ok(0) };
            self.current = next;
        }
        let count = buffer.len().min(self.current.len());
        buffer[..count].copy_from_slice(&self.current.split_to(count));
        Ok(count)
    }
}
