//! Hashing and storing a tar on one core while the other still makes it.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use oci::{Digest, Hasher};

/// What is handed over at a time.
const BUFFER: usize = 512 * 1024;
/// Buffers in existence, at most: one being filled, one being hashed, two on their way.
const BUFFERS: usize = 4;

/// A writer that hashes what it gets and passes it on to `W`. Once there is more than one buffer of it, both happen in a
/// thread of their own.
#[derive(Debug)]
pub(super) struct Pipeline<W> {
    filling: Vec<u8>,
    state: State<W>,
    told: Option<Told<W>>,
}

/// How a sink that hashes what it takes tells the digest of it: then nobody else hashes it too.
pub(super) type Told<W> = fn(&W) -> Digest;

#[derive(Debug)]
enum State<W> {
    /// Nothing was handed over yet.
    Idle(W),
    Running {
        full: SyncSender<Vec<u8>>,
        empty: Receiver<Vec<u8>>,
        made: usize,
        thread: JoinHandle<io::Result<End<W>>>,
    },
    /// The thread ended early; its error was reported.
    Failed,
}

/// What is left at the end.
#[derive(Debug)]
pub(super) struct End<W> {
    pub(super) sink: W,
    pub(super) digest: Digest,
    pub(super) size: u64,
}

impl<W: Write + Send + 'static> Pipeline<W> {
    pub(super) fn new(sink: W, told: Option<Told<W>>) -> Pipeline<W> {
        Pipeline { filling: Vec::new(), state: State::Idle(sink), told }
    }

    /// Waits until all is hashed and passed on.
    pub(super) fn finish(mut self) -> io::Result<End<W>> {
        match self.state {
            State::Idle(mut sink) => {
                sink.write_all(&self.filling)?;
                sink.flush()?;
                let digest = self.told.map_or_else(|| Digest::sha256(&self.filling), |told| told(&sink));
                Ok(End { sink, digest, size: self.filling.len() as u64 })
            }
            State::Running { full, thread, .. } => {
                let sent = full.send(std::mem::take(&mut self.filling));
                drop(full);
                let end = join(thread)?;
                sent.map_err(|_| stopped()).map(|()| end)
            }
            State::Failed => Err(stopped()),
        }
    }

    /// Hands the full buffer over, and takes an empty one.
    fn hand_over(&mut self) -> io::Result<()> {
        if let State::Idle(_) = self.state {
            self.start()?;
        }
        let State::Running { full, empty, made, .. } = &mut self.state else {
            return Err(stopped());
        };
        let next = match empty.try_recv() {
            Ok(buffer) => Some(buffer),
            Err(_) if *made < BUFFERS => {
                *made += 1;
                Some(Vec::with_capacity(BUFFER))
            }
            Err(_) => empty.recv().ok(),
        };
        let sent = full.send(std::mem::take(&mut self.filling));
        match (next, sent) {
            (Some(next), Ok(())) => {
                self.filling = next;
                Ok(())
            }
            _ => Err(self.reason()),
        }
    }

    fn start(&mut self) -> io::Result<()> {
        let State::Idle(sink) = std::mem::replace(&mut self.state, State::Failed) else {
            return Err(stopped());
        };
        let (full, incoming) = sync_channel(BUFFERS);
        let (outgoing, empty) = sync_channel(BUFFERS);
        let thread = std::thread::Builder::new().name("layer".into());
        let told = self.told;
        let thread = thread.spawn(move || consume(sink, told, &incoming, &outgoing))?;
        self.state = State::Running { full, empty, made: 1, thread };
        Ok(())
    }

    /// Why the thread ended before its time.
    fn reason(&mut self) -> io::Error {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Running { full, empty, thread, .. } => {
                drop((full, empty));
                join(thread).err().unwrap_or_else(stopped)
            }
            State::Idle(_) | State::Failed => stopped(),
        }
    }
}

impl<W: Write + Send + 'static> Write for Pipeline<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.filling.len() == BUFFER {
            self.hand_over()?;
        }
        let count = bytes.len().min(BUFFER - self.filling.len());
        self.filling.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn consume<W: Write>(
    mut sink: W,
    told: Option<Told<W>>,
    full: &Receiver<Vec<u8>>,
    empty: &SyncSender<Vec<u8>>,
) -> io::Result<End<W>> {
    let (mut hasher, mut size) = (Hasher::sha256(), 0);
    while let Ok(mut buffer) = full.recv() {
        if told.is_none() {
            hasher.update(&buffer);
        }
        size += buffer.len() as u64;
        sink.write_all(&buffer)?;
        buffer.clear();
        // Nobody waits for it any more at the end.
        let _ = empty.try_send(buffer);
    }
    sink.flush()?;
    let digest = told.map_or_else(|| hasher.finish(), |told| told(&sink));
    Ok(End { sink, digest, size })
}

fn join<T>(thread: JoinHandle<io::Result<T>>) -> io::Result<T> {
    thread.join().unwrap_or_else(|_| Err(stopped()))
}

fn stopped() -> io::Error {
    io::Error::other("the layer's writer stopped")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_arrives_once_and_in_order() {
        let content: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 251) as u8).collect();
        for length in [0, 1, BUFFER - 1, BUFFER, BUFFER + 1, content.len()] {
            let mut pipeline = Pipeline::new(Vec::new(), None);
            for chunk in content[..length].chunks(70_001) {
                pipeline.write_all(chunk).unwrap();
            }
            let end = pipeline.finish().unwrap();
            assert_eq!(end.digest, Digest::sha256(&content[..length]));
            assert_eq!((end.size, end.sink == content[..length]), (length as u64, true));
        }
    }

    #[test]
    fn a_full_disk_is_reported_as_such() {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut pipeline = Pipeline::new(full, None);
        let mut failed = None;
        for _ in 0..100 {
            if let Err(error) = pipeline.write_all(&[1; BUFFER]) {
                failed = Some(error);
                break;
            }
        }
        assert_eq!(failed.unwrap().kind(), io::ErrorKind::StorageFull);
    }
}
