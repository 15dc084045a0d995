//! The two ends of a stream whose parts stand for themselves: cut into blocks and compressed side by side, and found
//! again and decompressed side by side.

use std::io::{self, BufRead, BufReader, Read, Write};

use crate::ordered::{Block, Ordered, Work};

/// How much compressed input is held: less would mean many small reads, more nothing.
const INPUT: usize = 128 * 1024;

/// Compresses what is written in blocks of one size.
#[derive(Debug)]
pub(crate) struct Blocks<W: Write, K: Work> {
    inner: W,
    ordered: Ordered<K>,
    filling: Block,
    size: usize,
    /// Whether a block was finished yet.
    begun: bool,
    /// Whether one was lost, so that the stream can have no right end.
    failed: bool,
}

impl<W: Write, K: Work> Blocks<W, K> {
    /// Blocks of `size`, each thread with its own `make(level)`.
    pub(crate) fn new(inner: W, threads: usize, size: usize, level: i32, make: fn(i32) -> K) -> Blocks<W, K> {
        let ordered = Ordered::new(threads.max(1), level, make);
        Blocks { inner, ordered, filling: Block::default(), size, begun: false, failed: false }
    }

    /// Gives the full block away, and passes on what is done.
    fn hand_over(&mut self) -> io::Result<()> {
        self.begun = true;
        if std::mem::replace(&mut self.failed, true) {
            return Err(failed_before());
        }
        self.ordered.give(std::mem::take(&mut self.filling))?;
        while self.ordered.is_full() {
            self.pass_on()?;
        }
        self.filling = self.ordered.empty();
        self.failed = false;
        Ok(())
    }

    /// Writes the oldest block; `false` if there is none.
    fn pass_on(&mut self) -> io::Result<bool> {
        let Some(done) = self.ordered.take() else { return Ok(false) };
        let block = done?;
        self.inner.write_all(&block.output)?;
        self.ordered.reuse(block);
        Ok(true)
    }

    /// Compresses what is left, and gives the writer back. A stream of nothing is one empty block.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        if self.failed {
            return Err(failed_before());
        }
        let last = std::mem::take(&mut self.filling);
        if !self.begun {
            let last = self.ordered.here(last)?;
            self.inner.write_all(&last.output)?;
            return Ok(self.inner);
        }
        if !last.input.is_empty() {
            self.ordered.give(last)?;
        }
        while self.pass_on()? {}
        Ok(self.inner)
    }
}

impl<W: Write, K: Work> Write for Blocks<W, K> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full block waits for the next byte, so that the last one is known when it ends.
        if self.filling.input.len() == self.size {
            self.hand_over()?;
        }
        let input = &mut self.filling.input;
        let count = bytes.len().min(self.size - input.len());
        if input.capacity() < self.size && input.len() + count > input.capacity() {
            // Small streams take little; large ones grow to the full size in few steps.
            input.reserve_exact(if input.is_empty() { count } else { self.size - input.len() });
        }
        input.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    /// What is not a block yet stays: where blocks end depends on the content alone.
    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn failed_before() -> io::Error {
    io::Error::other("the stream failed before")
}

/// How the parts of a format are found.
pub(crate) trait Pieces {
    /// What decodes them.
    type Work: Work;
    /// The most threads that a stream is worth.
    const THREADS: usize;

    /// Makes a decoder of parts.
    fn work(level: i32) -> Self::Work;

    /// Reads the next part to the end of `piece`, which is empty. If there is none of the kind that can be decoded by
    /// itself, `false`, and `piece` has what was read.
    fn next(inner: &mut dyn Read, piece: &mut Vec<u8>) -> io::Result<bool>;

    /// Decodes any stream of the format.
    fn streaming<'a>(inner: Box<dyn BufRead + Send + 'a>) -> io::Result<Box<dyn Read + Send + 'a>>;
}

/// Decodes parts side by side as long as they come, and the rest as a stream.
pub(crate) struct Pieced<'a, P: Pieces> {
    source: Source<'a>,
    ordered: Ordered<P::Work>,
    current: Block,
    position: usize,
}

enum Source<'a> {
    /// Parts may follow.
    Parts(BufReader<Box<dyn Read + Send + 'a>>),
    /// Something else follows those that are on their way.
    Rest(Box<dyn Read + Send + 'a>),
    /// Reading failed.
    Failed,
}

impl<'a, P: Pieces> Pieced<'a, P> {
    pub(crate) fn new(inner: Box<dyn Read + Send + 'a>) -> Pieced<'a, P> {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Pieced {
            source: Source::Parts(BufReader::with_capacity(INPUT, inner)),
            ordered: Ordered::new(threads.min(P::THREADS), 0, P::work),
            current: Block::default(),
            position: 0,
        }
    }

    /// Gives as many parts to the threads as they can take.
    fn top_up(&mut self) -> io::Result<()> {
        while !self.ordered.is_full() {
            let Source::Parts(inner) = &mut self.source else { return Ok(()) };
            let mut block = self.ordered.empty();
            match P::next(inner, &mut block.input) {
                Ok(true) => self.ordered.give(block)?,
                Ok(false) => {
                    let Source::Parts(inner) = std::mem::replace(&mut self.source, Source::Failed) else {
                        return Ok(());
                    };
                    self.source = match block.input.is_empty() && !self.ordered.is_unused() {
                        // A clean end.
                        true => Source::Rest(Box::new(io::empty())),
                        false => Source::Rest(P::streaming(Box::new(io::Cursor::new(block.input).chain(inner)))?),
                    };
                }
                Err(error) => {
                    self.source = Source::Failed;
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

impl<P: Pieces> Read for Pieced<'_, P> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.position == self.current.output.len() {
            if buffer.is_empty() {
                return Ok(0);
            }
            self.position = 0;
            self.current.output.clear();
            let spent = std::mem::take(&mut self.current);
            if spent.input.capacity() > 0 {
                self.ordered.reuse(spent);
            }
            self.top_up()?;
            match self.ordered.take() {
                Some(Ok(done)) => self.current = done,
                Some(Err(error)) => {
                    // What comes after it is worth nothing.
                    self.source = Source::Failed;
                    self.ordered.forget();
                    return Err(error);
                }
                None => {
                    return match &mut self.source {
                        Source::Rest(rest) => rest.read(buffer),
                        Source::Parts(_) | Source::Failed => Err(failed_before()),
                    };
                }
            }
        }
        let count = buffer.len().min(self.current.output.len() - self.position);
        buffer[..count].copy_from_slice(&self.current.output[self.position..self.position + count]);
        self.position += count;
        Ok(count)
    }
}
