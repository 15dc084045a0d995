//! The tar split: every byte of a tar that is not a file's content, and where in a tree the content is.
//!
//! With the tree that the tar became, it gives back the tar, byte for byte, whoever wrote it: names of users, the
//! padding behind the end, and all that [`crate::TarWriter`] would write otherwise.
//!
//! `ESTIBA-SPLIT\x01`, then one zstd stream of pieces. A piece is its tag and its fields; numbers are LEB128.
//!
//! | tag | piece | fields |
//! |---|---|---|
//! | 0 | end | whether the tree holds all contents (1) or a file that another took the place of is lost (0) |
//! | 1 | bytes | length, the bytes |
//! | 2 | zeros | how many |
//! | 3 | file, whole | length of the path, path, size |
//! | 4 | runs of a file | length of the path, path, number of runs, offset and length of each |
//! | 5 | header block | which of its 64 words differ from the header block before (8 bytes, little endian, lowest bit first), and those |

use std::io::{self, BufRead, BufReader, Read, Write};

use crate::header::{BLOCK, is_zero};
use crate::plan::{LONGEST_PATH, is_normal};
use crate::sparse::MAX_RUNS;
use crate::toc_codec::number;
use crate::{Extent, Kind};

const MAGIC: &[u8] = b"ESTIBA-SPLIT\x01";
/// Headers of tars shrink twenty-fold at any level, so the fastest one.
const LEVEL: i32 = 1;
/// Windows that are read: what [`LEVEL`] makes, with room for other levels.
const WINDOW: u32 = 23;
/// Bytes are gathered to pieces of this size at most.
const PIECE: usize = 64 * 1024;
/// Shorter runs of zeros are not worth a piece of their own.
const ZEROS: usize = 32;

const END: u8 = 0;
const BYTES: u8 = 1;
const ZERO: u8 = 2;
const FILE: u8 = 3;
const RUNS: u8 = 4;
const HEADER: u8 = 5;

/// A header block is compared word by word.
const WORD: usize = 8;

/// Why a split cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    /// Reading failed, or what was read isn't zstd.
    #[error("tar split: {0}")]
    Io(#[from] io::Error),
    /// It was written by another version, or is no split at all.
    #[error("tar split: not of this version")]
    Version,
    /// It is cut off, or says what no split can.
    #[error("tar split: damaged piece {0}")]
    Damaged(u64),
    /// The tar names a path twice, so that the tree doesn't hold all that the tar did.
    #[error("tar split: the tree lacks a file that the tar held")]
    Unfit,
}

/// What sees the bytes of a tar as [`crate::TarReader`] passes over them.
pub trait Recorder {
    /// Bytes that are no content of a file, or of one that the tree will not have.
    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Here stands the content of the file that the tree will have at `path`, all of it or, of a sparse member, those
    /// runs.
    fn content(&mut self, path: &[u8], size: u64, extents: &[Extent]) -> io::Result<()>;

    /// Content that was announced was passed over unread, so that no tree has it.
    fn lost(&mut self);
}

/// Records nothing.
impl Recorder for () {
    fn bytes(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn content(&mut self, _: &[u8], _: u64, _: &[Extent]) -> io::Result<()> {
        Ok(())
    }

    fn lost(&mut self) {}
}

/// Writes a split.
pub struct SplitWriter<W: Write> {
    encoder: zstd::stream::write::Encoder<'static, W>,
    /// Bytes not written yet.
    gathered: Vec<u8>,
    /// Zeros after them.
    zeros: u64,
    /// The header block before; zeros at first.
    before: [u8; BLOCK],
    fits: bool,
}

impl<W: Write> std::fmt::Debug for SplitWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SplitWriter").field("fits", &self.fits).finish_non_exhaustive()
    }
}

impl<W: Write> SplitWriter<W> {
    /// Begins a split.
    pub fn new(mut inner: W) -> io::Result<SplitWriter<W>> {
        inner.write_all(MAGIC)?;
        let encoder = zstd::stream::write::Encoder::new(inner, LEVEL)?;
        Ok(SplitWriter { encoder, gathered: Vec::with_capacity(PIECE), zeros: 0, before: [0; BLOCK], fits: true })
    }

    /// Ends it; without, it cannot be read. `fits` says whether the tree has all contents that were announced.
    pub fn finish(mut self, fits: bool) -> io::Result<W> {
        self.settle()?;
        self.encoder.write_all(&[END, u8::from(self.fits && fits)])?;
        self.encoder.finish()
    }

    /// Writes what was gathered.
    fn settle(&mut self) -> io::Result<()> {
        if !self.gathered.is_empty() {
            let mut head = vec![BYTES];
            number(&mut head, self.gathered.len() as u64);
            self.encoder.write_all(&head)?;
            self.encoder.write_all(&self.gathered)?;
            self.gathered.clear();
        }
        if self.zeros > 0 {
            let mut head = vec![ZERO];
            number(&mut head, self.zeros);
            self.encoder.write_all(&head)?;
            self.zeros = 0;
        }
        Ok(())
    }

    /// A header differs from the one before in a name, a size and a sum.
    fn header(&mut self, block: &[u8; BLOCK]) -> io::Result<()> {
        self.settle()?;
        let mut piece = [0; 1 + WORD + BLOCK];
        let (mut mask, mut end) = (0_u64, 1 + WORD);
        let (words, before) = (block.as_chunks::<WORD>().0, self.before.as_chunks::<WORD>().0);
        for (bit, (word, before)) in words.iter().zip(before).enumerate() {
            if word != before {
                mask |= 1 << bit;
                piece[end..end + WORD].copy_from_slice(word);
                end += WORD;
            }
        }
        piece[0] = HEADER;
        piece[1..=WORD].copy_from_slice(&mask.to_le_bytes());
        self.before = *block;
        self.encoder.write_all(&piece[..end])
    }

    fn gather(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        if self.zeros > 0 {
            if self.zeros >= ZEROS as u64 || self.gathered.len() + ZEROS > PIECE {
                self.settle()?;
            }
            self.gathered.resize(self.gathered.len() + self.zeros as usize, 0);
            self.zeros = 0;
        }
        for part in bytes.chunks(PIECE) {
            if self.gathered.len() + part.len() > PIECE {
                self.settle()?;
            }
            self.gathered.extend_from_slice(part);
        }
        Ok(())
    }
}

impl<W: Write> Recorder for SplitWriter<W> {
    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Ok(block) = bytes.try_into()
            && !is_zero(bytes)
        {
            return self.header(block);
        }
        let zeros = bytes.iter().rev().take_while(|byte| **byte == 0).count();
        self.gather(&bytes[..bytes.len() - zeros])?;
        self.zeros += zeros as u64;
        Ok(())
    }

    fn content(&mut self, path: &[u8], size: u64, extents: &[Extent]) -> io::Result<()> {
        self.settle()?;
        let mut piece = vec![if extents.is_empty() { FILE } else { RUNS }];
        number(&mut piece, path.len() as u64);
        piece.extend_from_slice(path);
        if extents.is_empty() {
            number(&mut piece, size);
        } else {
            number(&mut piece, extents.len() as u64);
            for extent in extents {
                number(&mut piece, extent.offset);
                number(&mut piece, extent.length);
            }
        }
        self.encoder.write_all(&piece)
    }

    fn lost(&mut self) {
        self.fits = false;
    }
}

/// What a tar is put together from.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// So many zeros.
    Zeros(u64),
    /// The content of the file at `path` of the tree, which must have exactly `size` bytes.
    File {
        /// Where it lies: a path as [`crate::Entry::path`] is.
        path: &'a [u8],
        /// Its length.
        size: u64,
    },
    /// Runs of the file at `path` of the tree, in order.
    Runs {
        /// Where it lies.
        path: &'a [u8],
        /// Which parts of it.
        extents: &'a [Extent],
    },
}

/// Reads a split piece by piece. Memory is bounded, whatever it says.
pub struct SplitReader<R: Read> {
    decoder: BufReader<zstd::stream::read::Decoder<'static, BufReader<R>>>,
    buffer: Vec<u8>,
    extents: Vec<Extent>,
    header: [u8; BLOCK],
    pieces: u64,
}

impl<R: Read> std::fmt::Debug for SplitReader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SplitReader").field("pieces", &self.pieces).finish_non_exhaustive()
    }
}

impl<R: Read> SplitReader<R> {
    /// Begins to read.
    pub fn new(mut inner: R) -> Result<SplitReader<R>, SplitError> {
        let mut magic = [0; MAGIC.len()];
        match inner.read_exact(&mut magic) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(SplitError::Version),
            read => read?,
        }
        if magic != MAGIC {
            return Err(SplitError::Version);
        }
        let mut decoder = zstd::stream::read::Decoder::new(inner)?;
        decoder.window_log_max(WINDOW)?;
        let decoder = BufReader::with_capacity(PIECE, decoder);
        Ok(SplitReader { decoder, buffer: Vec::new(), extents: Vec::new(), header: [0; BLOCK], pieces: 0 })
    }

    /// The next piece; `None` at the end of a split that fits its tree.
    pub fn next_piece(&mut self) -> Result<Option<Piece<'_>>, SplitError> {
        self.pieces += 1;
        let damaged = SplitError::Damaged(self.pieces);
        let [tag] = self.take()?;
        match tag {
            END => return self.end().map(|()| None),
            BYTES => {
                let length = self.number()?;
                let length = usize::try_from(length).ok().filter(|length| *length <= PIECE).ok_or(damaged)?;
                self.fill(length)?;
                return Ok(Some(Piece::Bytes(&self.buffer)));
            }
            HEADER => {
                let mask = u64::from_le_bytes(self.take()?);
                for bit in (0..64).filter(|bit| mask >> bit & 1 != 0) {
                    let word: [u8; WORD] = self.take()?;
                    self.header[bit * WORD..][..WORD].copy_from_slice(&word);
                }
                return Ok(Some(Piece::Bytes(&self.header)));
            }
            ZERO => return Ok(Some(Piece::Zeros(self.number()?))),
            FILE | RUNS => {}
            _ => return Err(damaged),
        }
        let length = self.number()?;
        let length = usize::try_from(length).ok().filter(|length| *length <= LONGEST_PATH);
        self.fill(length.ok_or(SplitError::Damaged(self.pieces))?)?;
        // The path is used to open a file, so it is judged again, whoever wrote it.
        if !is_normal(&self.buffer) {
            return Err(damaged);
        }
        let count = self.number()?;
        if tag == FILE {
            return Ok(Some(Piece::File { path: &self.buffer, size: count }));
        }
        self.runs(count)?;
        Ok(Some(Piece::Runs { path: &self.buffer, extents: &self.extents }))
    }

    fn runs(&mut self, count: u64) -> Result<(), SplitError> {
        if count > MAX_RUNS as u64 {
            return Err(SplitError::Damaged(self.pieces));
        }
        self.extents.clear();
        for _ in 0..count {
            let extent = Extent { offset: self.number()?, length: self.number()? };
            if extent.offset.checked_add(extent.length).is_none() {
                return Err(SplitError::Damaged(self.pieces));
            }
            self.extents.push(extent);
        }
        Ok(())
    }

    /// After the last piece nothing comes.
    fn end(&mut self) -> Result<(), SplitError> {
        let [fits] = self.take()?;
        if !self.decoder.fill_buf()?.is_empty() {
            return Err(SplitError::Damaged(self.pieces));
        }
        match fits {
            1 => Ok(()),
            0 => Err(SplitError::Unfit),
            _ => Err(SplitError::Damaged(self.pieces)),
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], SplitError> {
        let mut bytes = [0; N];
        let read = self.decoder.read_exact(&mut bytes);
        read.map(|()| bytes).map_err(|error| self.failed(error))
    }

    fn fill(&mut self, length: usize) -> Result<(), SplitError> {
        self.buffer.resize(length, 0);
        let read = self.decoder.read_exact(&mut self.buffer);
        read.map_err(|error| self.failed(error))
    }

    fn number(&mut self) -> Result<u64, SplitError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.take()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(SplitError::Damaged(self.pieces))
    }

    fn failed(&self, error: io::Error) -> SplitError {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => SplitError::Damaged(self.pieces),
            _ => SplitError::Io(error),
        }
    }
}

/// Whether the content of what an archive calls this kind is taken from the tree.
pub(crate) fn is_content(kind: Kind, size: u64) -> bool {
    kind == Kind::File && size > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes and zeros of all lengths around those at which pieces end.
    #[test]
    fn bytes_are_the_same_however_they_come() {
        let mut bytes = Vec::new();
        for number in 0..400_u32 {
            bytes.resize(bytes.len() + (number * 7 % 41) as usize, 0);
            bytes.extend(std::iter::repeat_n(number as u8 | 1, (number * 11 % 500) as usize));
        }
        bytes.extend(std::iter::repeat_n(9, PIECE - 3));
        bytes.extend([0; 20]);
        bytes.extend(std::iter::repeat_n(9, 2 * PIECE + 1));
        for step in [1, 10, 511, 512, 513, 4096, PIECE, bytes.len()] {
            let mut writer = SplitWriter::new(Vec::new()).unwrap();
            bytes.chunks(step).for_each(|part| writer.bytes(part).unwrap());
            let split = writer.finish(true).unwrap();
            let mut reader = SplitReader::new(&split[..]).unwrap();
            let mut found = Vec::new();
            while let Some(piece) = reader.next_piece().unwrap() {
                match piece {
                    Piece::Bytes(bytes) => found.extend_from_slice(bytes),
                    Piece::Zeros(count) => found.resize(found.len() + count as usize, 0),
                    piece => panic!("{piece:?}"),
                }
            }
            assert!(found == bytes, "{step}");
        }
    }

    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        for path in [&b"../a"[..], b"/a", b"a//b", b"", b"a/.", b"a\0b"] {
            let mut writer = SplitWriter::new(Vec::new()).unwrap();
            writer.content(path, 1, &[]).unwrap();
            let split = writer.finish(true).unwrap();
            let found = SplitReader::new(&split[..]).unwrap().next_piece().map(|_| ());
            assert!(matches!(found, Err(SplitError::Damaged(1))), "{path:?}");
        }
    }
}
