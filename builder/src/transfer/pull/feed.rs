//! A channel from the network to a thread, bounded by bytes: connections give small pieces and large ones.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Bytes that may wait: enough to keep the thread busy while the network pauses.
const WAITING: u32 = 1 << 20;
/// What is taken at a time, at least where there is so much: less would be many small wakes.
const CHUNK: usize = 256 * 1024;

/// The network's end.
#[derive(Clone)]
pub(super) struct Sender {
    space: Arc<Semaphore>,
    pieces: mpsc::UnboundedSender<(Bytes, OwnedSemaphorePermit)>,
}

/// The network's end for who writes, in a thread that may wait.
pub(super) struct Feeding {
    pub(super) sender: Sender,
    pub(super) handle: tokio::runtime::Handle,
    /// So many bytes were had before.
    pub(super) skip: u64,
}

impl std::io::Write for Feeding {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
        self.skip -= skipped as u64;
        let rest = &bytes[skipped..];
        if rest.is_empty() || self.handle.block_on(self.sender.send(Bytes::copy_from_slice(rest))) {
            return Ok(bytes.len());
        }
        Err(std::io::Error::other("nobody takes it any more"))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The thread's end.
pub(super) struct Receiver {
    pieces: mpsc::UnboundedReceiver<(Bytes, OwnedSemaphorePermit)>,
}

/// A new channel.
pub(super) fn channel() -> (Sender, Receiver) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Sender { space: Arc::new(Semaphore::new(WAITING as usize)), pieces: sender }, Receiver { pieces: receiver })
}

impl Sender {
    /// Hands bytes over when there is space; whether anybody takes them.
    pub(super) async fn send(&self, bytes: Bytes) -> bool {
        let size = u32::try_from(bytes.len()).unwrap_or(WAITING).min(WAITING);
        tokio::select! {
            space = self.space.clone().acquire_many_owned(size) => match space {
                Ok(space) => self.pieces.send((bytes, space)).is_ok(),
                Err(_) => false,
            },
            () = self.pieces.closed() => false,
        }
    }
}

impl Receiver {
    /// The next bytes, and those that are there already; `None` at the end. Blocks.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        let (first, _space) = self.pieces.blocking_recv()?;
        if first.len() >= CHUNK {
            return Some(first);
        }
        let Ok((second, _)) = self.pieces.try_recv() else { return Some(first) };
        let mut bytes = Vec::with_capacity(2 * CHUNK);
        bytes.extend_from_slice(&first);
        bytes.extend_from_slice(&second);
        while bytes.len() < CHUNK
            && let Ok((more, _)) = self.pieces.try_recv()
        {
            bytes.extend_from_slice(&more);
        }
        Some(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn pieces_are_joined_and_bounded() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (sender, mut receiver) = channel();
        runtime.block_on(async {
            for piece in 0..4_u8 {
                assert!(sender.send(vec![piece; WAITING as usize / 4].into()).await);
            }
            assert!(sender.send(Bytes::from_static(b"more")).now_or_never().is_none());
            assert_eq!(sender.space.available_permits(), 0);
        });
        assert_eq!(receiver.take().unwrap().len(), WAITING as usize / 4);
        runtime.block_on(async {
            assert!(sender.send(Bytes::from_static(b"more")).await);
        });
        drop(sender);
        let mut rest = 0;
        while let Some(bytes) = receiver.take() {
            rest += bytes.len();
        }
        assert_eq!(rest, WAITING as usize / 4 * 3 + 4);
        let (sender, receiver) = channel();
        drop(receiver);
        assert!(!runtime.block_on(sender.send(Bytes::from_static(b"nobody"))));
    }
}
