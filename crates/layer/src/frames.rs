//! zstd that several threads write and read: a stream of frames, RFC 8878, 3.1.1, each of 2 MiB of input (the last one
//! less), with its content's size in the header and a checksum at its end.
//!
//! Where a frame ends its blocks say, so that frames of anyone who wrote the content's size, and didn't make them large,
//! are read side by side.

use std::io::{self, BufRead, Read};

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::CParameter;

use crate::blocks::Pieces;
use crate::ordered::{Block, Work};

/// Input of one frame: the window of the usual level.
pub(crate) const BLOCK: usize = 2 << 20;
/// zstd's own default.
pub(crate) const LEVEL: i32 = 3;

/// More threads would be more memory than a stream is worth: each has a block and what becomes of it.
pub(crate) const THREADS: usize = 3;

/// The largest window that is decoded, as a power of two: 128 MiB, what `zstd -d` takes without being told more.
const WINDOW: u32 = 27;
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The shortest header: magic, descriptor, and a window or a size.
const SHORTEST: usize = 6;
/// The most that a block holds: RFC 8878, 3.1.1.2.4.
const BLOCK_MAXIMUM: usize = 128 * 1024;
/// The longest frame that is gathered; one whose blocks are stored is longer than its content.
const LONGEST: usize = BLOCK + BLOCK / 16;

/// Makes frames.
pub(crate) struct Compress(io::Result<Compressor<'static>>);

impl Compress {
    pub(crate) fn new(level: i32) -> Compress {
        Compress(Compressor::new(level).and_then(|mut compressor| {
            compressor.set_parameter(CParameter::ChecksumFlag(true))?;
            compressor.set_parameter(CParameter::ContentSizeFlag(true))?;
            Ok(compressor)
        }))
    }
}

impl Compress {
    /// Makes one frame, in place of what `output` has.
    pub(crate) fn frame(&mut self, input: &[u8], output: &mut Vec<u8>) -> io::Result<()> {
        let compressor = self.0.as_mut().map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
        output.clear();
        output.reserve(zstd::zstd_safe::compress_bound(input.len()));
        compressor.compress_to_buffer(input, output).map(drop)
    }
}

impl Work for Compress {
    fn work(&mut self, block: &mut Block) -> io::Result<()> {
        self.frame(&block.input, &mut block.output)
    }
}

/// Decodes frames.
pub(crate) struct Decompress(io::Result<Decompressor<'static>>);

impl Work for Decompress {
    fn work(&mut self, block: &mut Block) -> io::Result<()> {
        let decompressor = self.0.as_mut().map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
        let size = header(&block.input).map_or(0, |header| header.content);
        block.output.clear();
        block.output.reserve_exact(size);
        decompressor.decompress_to_buffer(&block.input, &mut block.output).map(drop)
    }
}

/// What a frame's header says that we need.
#[derive(Debug, PartialEq, Eq)]
struct Header {
    /// The header's own length.
    length: usize,
    content: usize,
    checksum: bool,
}

/// Reads a header of a frame that says its content's size, and needs no dictionary; `None` for all others.
fn header(bytes: &[u8]) -> Option<Header> {
    let descriptor = *bytes.strip_prefix(&MAGIC)?.first()?;
    let single = descriptor & 0x20 != 0;
    let dictionary = descriptor & 0x03 != 0;
    let size_bytes = match descriptor >> 6 {
        0 if single => 1,
        0 => return None,
        flag => 1 << flag,
    };
    let at = MAGIC.len() + 1 + usize::from(!single);
    let field = bytes.get(at..at + size_bytes).filter(|_| !dictionary)?;
    let size = field.iter().rev().fold(0_u64, |size, byte| size << 8 | u64::from(*byte));
    let size = if size_bytes == 2 { size + 256 } else { size };
    let content = usize::try_from(size).ok().filter(|content| *content <= BLOCK)?;
    Some(Header { length: at + size_bytes, content, checksum: descriptor & 0x04 != 0 })
}

/// Frames as above; anything else is left to the streaming decoder.
#[derive(Debug)]
pub(crate) struct Frames;

impl Pieces for Frames {
    type Work = Decompress;
    const THREADS: usize = THREADS;

    fn work(_: i32) -> Decompress {
        Decompress(Decompressor::new())
    }

    fn next(inner: &mut dyn Read, piece: &mut Vec<u8>) -> io::Result<bool> {
        /// The longest header.
        const HEADER: usize = 14;
        let mut wanted = SHORTEST;
        let found = loop {
            if !more(inner, piece, wanted)? {
                return Ok(false);
            }
            match header(piece) {
                Some(header) => break header,
                None if wanted < HEADER && piece.starts_with(&MAGIC) => wanted += 1,
                None => return Ok(false),
            }
        };
        if !more(inner, piece, found.length)? {
            return Ok(false);
        }
        loop {
            let at = piece.len();
            if !more(inner, piece, at + 3)? {
                return Ok(false);
            }
            let head = u32::from_le_bytes([piece[at], piece[at + 1], piece[at + 2], 0]);
            let (last, kind, size) = (head & 1 != 0, head >> 1 & 3, (head >> 3) as usize);
            let size = if kind == 1 { 1 } else { size };
            let end = at + 3 + size;
            if kind == 3 || size > BLOCK_MAXIMUM || end > LONGEST || !more(inner, piece, end)? {
                return Ok(false);
            }
            if last {
                let end = end + if found.checksum { 4 } else { 0 };
                return more(inner, piece, end);
            }
        }
    }

    fn streaming<'a>(inner: Box<dyn BufRead + Send + 'a>) -> io::Result<Box<dyn Read + Send + 'a>> {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(inner)?;
        decoder.window_log_max(WINDOW)?;
        Ok(Box::new(Bounded(decoder)))
    }
}

/// Says in our words what the decoder says of windows.
struct Bounded<R>(R);

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| match error.to_string().contains("too much memory") {
            true => io::Error::new(error.kind(), format!("a window of more than {} MiB", 1 << (WINDOW - 20))),
            false => error,
        })
    }
}

/// Reads on until `piece` has `wanted` bytes; `false` if the stream ends before.
fn more(inner: &mut dyn Read, piece: &mut Vec<u8>, wanted: usize) -> io::Result<bool> {
    let left = wanted.saturating_sub(piece.len());
    Ok(inner.take(left as u64).read_to_end(piece)? == left)
}
