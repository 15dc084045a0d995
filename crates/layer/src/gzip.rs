//! gzip that several threads write and read: a stream of short members, RFC 1952, 2.2.
//!
//! Each member holds 1 MiB of input (the last one less), by itself. Any gzip reads them one after another; ours reads
//! them side by side, as each says in its extra field how long it is:
//!
//! ```text
//! 1f 8b 08 04  00000000  00 ff   no name, no time, no machine
//! 08 00                          the extra field's length
//! 'E' 'S' 04 00  u32             one subfield: the member's length, header and trailer included, little endian
//! … deflate …  CRC-32  length
//! ```
//!
//! What does not shrink is stored. The bytes depend on the input and the level alone.

use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;
use libdeflater::{CompressionLvl, Compressor, Crc, Decompressor};

use crate::blocks::Pieces;
use crate::ordered::{Block, Work};

/// Input of one member: large enough that beginning anew costs less than a hundredth of the size, small enough that a
/// few of them are no memory.
pub(crate) const BLOCK: usize = 1 << 20;
/// As fast as zlib's fastest, and as small as its default to within a hundredth. (libdeflate's level 1 is larger, and of
/// text no faster.)
pub(crate) const LEVEL: i32 = 2;
/// libdeflate's.
pub(crate) const BEST: i32 = 12;

/// More threads would be more memory than a stream is worth: each has a block and what becomes of it.
pub(crate) const THREADS: usize = 4;

/// A member's header, up to its length.
const START: [u8; 16] = [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, 8, 0, b'E', b'S', 4, 0];
const HEADER: usize = START.len() + 4;
/// CRC-32 and length.
const TRAILER: usize = 8;
/// The most that a stored block of deflate holds, and what it takes besides.
const STORED: usize = 0xffff;
const STORED_HEADER: usize = 5;
/// The longest member that we write.
const LONGEST: usize = HEADER + BLOCK + BLOCK.div_ceil(STORED) * STORED_HEADER + TRAILER;

/// How much is looked at, and tried, to see whether a block will shrink.
const LOOK: usize = 16 * 1024;
const TRY: usize = 64 * 1024;
/// Bytes that are all equally frequent (to within chance) have a sum of squares of their counts near this for [`LOOK`]
/// bytes, and a twentieth more is far from chance.
const EVEN: u64 = (LOOK * LOOK / 256 + LOOK) as u64;

/// Makes members.
pub(crate) struct Deflate {
    /// `None`: stored.
    compressor: Option<Compressor>,
}

impl Deflate {
    pub(crate) fn new(level: i32) -> Deflate {
        let level = CompressionLvl::new(level).ok().filter(|_| level > 0);
        Deflate { compressor: level.map(Compressor::new) }
    }

    /// Writes the compressed form behind what `output` has; says whether it is shorter than the stored one would be.
    fn compress(&mut self, input: &[u8], output: &mut Vec<u8>) -> bool {
        let Some(compressor) = &mut self.compressor else { return false };
        if !may_shrink(compressor, input) {
            return false;
        }
        let start = output.len();
        // With no more room than this, what doesn't shrink fails.
        output.resize(start + input.len(), 0);
        match compressor.deflate_compress(input, &mut output[start..]) {
            Ok(count) => {
                output.truncate(start + count);
                true
            }
            Err(_) => {
                output.truncate(start);
                false
            }
        }
    }
}

impl Deflate {
    /// Writes a member behind what `output` has.
    pub(crate) fn member(&mut self, input: &[u8], output: &mut Vec<u8>) {
        let start = output.len();
        output.extend_from_slice(&START);
        output.extend_from_slice(&[0; 4]);
        if !self.compress(input, output) {
            store(input, output);
        }
        output.extend_from_slice(&crc(input).to_le_bytes());
        output.extend_from_slice(&(input.len() as u32).to_le_bytes());
        let length = (output.len() - start) as u32;
        output[start + START.len()..start + HEADER].copy_from_slice(&length.to_le_bytes());
    }
}

impl Work for Deflate {
    fn work(&mut self, block: &mut Block) -> io::Result<()> {
        block.output.clear();
        self.member(&block.input, &mut block.output);
        Ok(())
    }
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// A quick guess: bytes that are uneven shrink; of even ones, a piece is tried.
fn may_shrink(compressor: &mut Compressor, input: &[u8]) -> bool {
    if input.len() <= TRY {
        return true;
    }
    let middle = (input.len() - TRY) / 2;
    let piece = &input[middle..middle + TRY];
    let mut counts = [0_u64; 256];
    piece[..LOOK].iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    let squares: u64 = counts.iter().map(|count| count * count).sum();
    if squares > EVEN + EVEN / 20 {
        return true;
    }
    let mut tried = vec![0; TRY - TRY / 50];
    compressor.deflate_compress(piece, &mut tried).is_ok()
}

/// Stored blocks: RFC 1951, 3.2.4.
fn store(input: &[u8], output: &mut Vec<u8>) {
    output.reserve(input.len() + (input.len() / STORED + 1) * STORED_HEADER + TRAILER);
    let last = input.len().div_ceil(STORED).max(1) - 1;
    for number in 0..=last {
        let chunk = &input[number * STORED..input.len().min((number + 1) * STORED)];
        let length = chunk.len() as u16;
        output.push(u8::from(number == last));
        output.extend_from_slice(&length.to_le_bytes());
        output.extend_from_slice(&(!length).to_le_bytes());
        output.extend_from_slice(chunk);
    }
}

/// Inflates members.
pub(crate) struct Inflate(Decompressor);

impl Work for Inflate {
    fn work(&mut self, block: &mut Block) -> io::Result<()> {
        let damaged = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what);
        let Some((rest, trailer)) = block.input.split_last_chunk::<TRAILER>() else {
            return Err(damaged("a member without an end"));
        };
        let deflated = rest.get(HEADER..).unwrap_or_default();
        let [c0, c1, c2, c3, l0, l1, l2, l3] = *trailer;
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        if length > BLOCK {
            return Err(damaged("a member with more content than it may have"));
        }
        // If these bytes stood earlier too, a reader that trusts no length could take them for the end there, and what
        // follows for another member.
        if holds(deflated, trailer) {
            return Err(damaged("a member with two ends"));
        }
        block.output.resize(length, 0);
        match self.0.deflate_decompress(deflated, &mut block.output) {
            Ok(count) if count == length => {}
            Ok(_) => return Err(damaged("a member with less content than it claims")),
            Err(error) => return Err(damaged(&error.to_string())),
        }
        if crc(&block.output) != u32::from_le_bytes([c0, c1, c2, c3]) {
            return Err(damaged("a member whose checksum does not match"));
        }
        Ok(())
    }
}

/// Whether `bytes` hold `wanted` somewhere. Of three bytes, all places are looked at without a branch, many at a time.
fn holds(bytes: &[u8], wanted: &[u8; TRAILER]) -> bool {
    const STEP: usize = 4096;
    let [a, b, c, ..] = *wanted;
    (0..bytes.len()).step_by(STEP).any(|start| {
        let piece = &bytes[start..bytes.len().min(start + STEP + TRAILER - 1)];
        let (second, third) = (piece.get(1..).unwrap_or_default(), piece.get(2..).unwrap_or_default());
        let places = piece.iter().zip(second).zip(third);
        let maybe = places.fold(false, |found, ((x, y), z)| found | ((*x == a) & (*y == b) & (*z == c)));
        maybe && piece.windows(TRAILER).any(|window| window == wanted)
    })
}

/// Our members, one after another; anything else is left to the streaming decoder.
#[derive(Debug)]
pub(crate) struct Members;

impl Pieces for Members {
    type Work = Inflate;
    const THREADS: usize = THREADS;

    fn work(_: i32) -> Inflate {
        Inflate(Decompressor::new())
    }

    fn next(inner: &mut dyn Read, piece: &mut Vec<u8>) -> io::Result<bool> {
        inner.take(HEADER as u64).read_to_end(piece)?;
        let Some((start, length)) = piece.split_last_chunk::<4>().filter(|_| piece.len() == HEADER) else {
            return Ok(false);
        };
        let length = u32::from_le_bytes(*length) as usize;
        if start != START || !(HEADER + TRAILER..=LONGEST).contains(&length) {
            return Ok(false);
        }
        let left = length - HEADER;
        piece.reserve(left);
        if inner.take(left as u64).read_to_end(piece)? < left {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a member is cut off"));
        }
        Ok(true)
    }

    fn streaming<'a>(inner: Box<dyn BufRead + Send + 'a>) -> io::Result<Box<dyn Read + Send + 'a>> {
        Ok(Box::new(MultiGzDecoder::new(inner)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trailer_is_found_wherever_it_is() {
        let wanted = b"\x01\x02\x03\x04\0\0\x10\0";
        let mut bytes = vec![1; 10_000];
        assert!(!holds(&bytes, wanted) && !holds(b"", wanted) && !holds(&wanted[1..], wanted));
        for at in (0..20).chain(4080..4110).chain(8180..8200).chain([9992]) {
            let before = bytes.clone();
            bytes[at..at + TRAILER].copy_from_slice(wanted);
            assert!(holds(&bytes, wanted), "{at}");
            bytes = before;
        }
    }
}
