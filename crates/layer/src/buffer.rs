//! The reader's input: one large buffer, from which blocks and content are handed out without copying.

use std::io::{self, Read};

use crate::header::BLOCK;

/// Large enough that a small file is one slice and a large one few reads, small enough to stay in a second-level cache.
const CAPACITY: usize = 256 * 1024;

/// Buffered input that counts what was taken from it.
#[derive(Debug)]
pub(crate) struct Input<R> {
    inner: R,
    data: Box<[u8]>,
    start: usize,
    end: usize,
    taken: u64,
}

impl<R: Read> Input<R> {
    pub(crate) fn new(inner: R) -> Input<R> {
        Input { inner, data: vec![0; CAPACITY].into_boxed_slice(), start: 0, end: 0, taken: 0 }
    }

    /// How many bytes were handed out: the offset in the archive.
    pub(crate) fn position(&self) -> u64 {
        self.taken
    }

    pub(crate) fn into_inner(self) -> R {
        self.inner
    }

    /// Reads until at least `wanted` bytes are buffered (which must fit), or the end. Says how many are.
    fn ensure(&mut self, wanted: usize) -> io::Result<usize> {
        while self.end - self.start < wanted {
            if self.start == self.end {
                (self.start, self.end) = (0, 0);
            } else if self.data.len() - self.start < wanted {
                self.data.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
            }
            match self.inner.read(&mut self.data[self.end..]) {
                Ok(0) => break,
                Ok(count) => self.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.end - self.start)
    }

    fn advance(&mut self, count: usize) {
        self.start += count;
        self.taken += count as u64;
    }

    /// The next block; `None` at a clean end, an error of kind `UnexpectedEof` within one.
    pub(crate) fn block(&mut self) -> io::Result<Option<[u8; BLOCK]>> {
        match self.ensure(BLOCK)? {
            0 => Ok(None),
            have if have < BLOCK => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => {
                let mut block = [0; BLOCK];
                block.copy_from_slice(&self.data[self.start..self.start + BLOCK]);
                self.advance(BLOCK);
                Ok(Some(block))
            }
        }
    }

    /// The next bytes, at least one and at most `most`; an error of kind `UnexpectedEof` at the end.
    pub(crate) fn slice(&mut self, most: u64) -> io::Result<&[u8]> {
        let have = self.ensure(1)?;
        if have == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let count = usize::try_from(most).unwrap_or(usize::MAX).min(have);
        self.advance(count);
        Ok(&self.data[self.start - count..self.start])
    }

    /// What comes next, as much as is at hand; empty at the end.
    pub(crate) fn rest(&mut self) -> io::Result<&[u8]> {
        let have = self.ensure(1)?;
        self.advance(have);
        Ok(&self.data[self.start - have..self.start])
    }
}
