//! A stream of parts that each can be decompressed by itself, made side by side: blocks of many small parts, so that a
//! file of a few bytes costs no thread a wake-up.

use std::io::{self, Write};

use crate::frames::Compress;
use crate::gzip::{self, Deflate};
use crate::ordered::{Block, Ordered, Work};

/// The longest part: what the readers of our members take, and what a file's chunk is.
pub(super) const PART: usize = gzip::BLOCK;
/// A block is given to a thread when it has this much.
const BLOCK: usize = gzip::BLOCK;

/// Makes members of parts.
pub(super) struct DeflateParts(Deflate);

impl DeflateParts {
    pub(super) fn new(level: i32) -> DeflateParts {
        DeflateParts(Deflate::new(level))
    }
}

impl Work for DeflateParts {
    fn work(&mut self, block: &mut Block) -> io::Result<()> {
        let Block { input, output, ends } = block;
        output.clear();
        let mut start = 0;
        for end in ends {
            self.0.member(&input[start..*end], output);
            start = std::mem::replace(end, output.len());
        }
        Ok(())
    }
}

/// Makes frames of parts.
pub(super) struct FrameParts {
    compress: Compress,
    frame: Vec<u8>,
}

impl FrameParts {
    pub(super) fn new(level: i32) -> FrameParts {
        FrameParts { compress: Compress::new(level), frame: Vec::new() }
    }
}

impl Work for FrameParts {
    fn work(&mut self, block: &mut Block) -> io::Result<()> {
        let Block { input, output, ends } = block;
        output.clear();
        let mut start = 0;
        for end in ends {
            self.compress.frame(&input[start..*end], &mut self.frame)?;
            output.extend_from_slice(&self.frame);
            start = std::mem::replace(end, output.len());
        }
        Ok(())
    }
}

/// The stream.
pub(super) struct Parts<W: Write, K: Work> {
    inner: W,
    ordered: Ordered<K>,
    filling: Block,
    /// How many parts were begun before the one being written.
    begun: usize,
    /// Where each part ends in what was written.
    ends: Vec<u64>,
    failed: bool,
}

impl<W: Write, K: Work> std::fmt::Debug for Parts<W, K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("begun", &self.begun).finish_non_exhaustive()
    }
}

impl<W: Write, K: Work> Parts<W, K> {
    pub(super) fn new(inner: W, threads: usize, level: i32, make: fn(i32) -> K) -> Parts<W, K> {
        let ordered = Ordered::new(threads.max(1), level, make);
        Parts { inner, ordered, filling: Block::default(), begun: 0, ends: Vec::new(), failed: false }
    }

    /// Adds to the current part; where that is full, to the next.
    pub(super) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = PART - self.current();
            if room == 0 {
                self.cut()?;
                continue;
            }
            let (now, later) = bytes.split_at(bytes.len().min(room));
            self.filling.input.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    /// Ends the current part, if it has anything, and gives the number of the next one.
    pub(super) fn cut(&mut self) -> io::Result<usize> {
        if self.current() > 0 {
            self.filling.ends.push(self.filling.input.len());
            self.begun += 1;
            if self.filling.input.len() >= BLOCK {
                self.hand_over()?;
            }
        }
        Ok(self.begun)
    }

    /// How long the current part is.
    fn current(&self) -> usize {
        self.filling.input.len() - self.filling.ends.last().copied().unwrap_or(0)
    }

    fn hand_over(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.failed, true) {
            return Err(io::Error::other("the stream failed before"));
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
        let start = self.position();
        self.ends.extend(block.ends.iter().map(|end| start + *end as u64));
        self.inner.write_all(&block.output)?;
        self.ordered.reuse(block);
        Ok(true)
    }

    fn position(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Writes what is left; gives the writer and where each part ends.
    pub(super) fn finish(mut self) -> io::Result<(W, Vec<u64>)> {
        self.cut()?;
        if self.failed {
            return Err(io::Error::other("the stream failed before"));
        }
        if !self.filling.input.is_empty() {
            let last = std::mem::take(&mut self.filling);
            match self.ordered.is_unused() {
                // Of one block, no thread.
                true => {
                    let block = self.ordered.here(last)?;
                    self.ends.extend(block.ends.iter().map(|end| *end as u64));
                    self.inner.write_all(&block.output)?;
                }
                false => self.ordered.give(last)?,
            }
        }
        while self.pass_on()? {}
        Ok((self.inner, self.ends))
    }
}

/// Where part `number` begins.
pub(super) fn begin(ends: &[u64], number: usize) -> u64 {
    number.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or(0)
}
