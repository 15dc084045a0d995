//! The compressions in which layers and archives come, told apart by their first bytes.
//!
//! Decoders take everything that their tool takes (several gzip members, several zstd frames, skippable ones, several
//! xz streams) and hold no more memory than a constant, whatever the stream claims.

use std::io::{self, BufReader, Read, Write};

use crate::blocks::{Blocks, Pieced};
use crate::frames::{self, Compress, Frames};
use crate::gzip::{self, Deflate, Members};

/// How much compressed input is held: less would mean many small reads, more nothing.
const INPUT: usize = 128 * 1024;
/// The largest xz dictionary: 128 MiB; `xz -9` makes 64 MiB.
const XZ_DICTIONARY: u64 = 128 << 20;
/// The longest magic number.
const MAGIC: usize = 6;

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, RFC 1952.
    Gzip,
    /// Zstandard, RFC 8878.
    Zstd,
    /// bzip2.
    Bzip2,
    /// xz.
    Xz,
}

/// Why a stream cannot be compressed or decompressed.
#[derive(Debug, thiserror::Error)]
pub enum CompressionError {
    /// We only read this one.
    #[error("cannot compress with {0}: use gzip or zstd")]
    NoEncoder(&'static str),
    /// An xz stream that wants more memory than we give it.
    #[error("xz: a dictionary of {0} bytes is more than the {XZ_DICTIONARY} allowed")]
    Dictionary(u64),
    /// The coder could not be set up, or the first bytes could not be read.
    #[error("{name}: {source}")]
    Io {
        /// The compression.
        name: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl Compression {
    /// What the first bytes of a stream say (six suffice). Anything unknown is taken for uncompressed.
    pub fn detect(start: &[u8]) -> Compression {
        // A skippable frame can begin a zstd stream: 0x184D2A50 to 5F, little endian.
        let skippable = matches!(start, [first, 0x2a, 0x4d, 0x18, ..] if first & 0xf0 == 0x50);
        match start {
            [0x1f, 0x8b, 0x08, ..] => Compression::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
            _ if skippable => Compression::Zstd,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Compression::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Compression::Xz,
            _ => Compression::None,
        }
    }

    /// Its name: `none`, `gzip`, `zstd`, `bzip2`, `xz`.
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
            Compression::Bzip2 => "bzip2",
            Compression::Xz => "xz",
        }
    }

    /// Reads the decompressed bytes of `inner`.
    pub fn decoder<'a>(self, inner: Box<dyn Read + Send + 'a>) -> Result<Box<dyn Read + Send + 'a>, CompressionError> {
        let buffered = |inner| BufReader::with_capacity(INPUT, inner);
        let decoder: Box<dyn Read + Send + 'a> = match self {
            Compression::None => return Ok(inner),
            Compression::Gzip => Box::new(Pieced::<Members>::new(inner)),
            Compression::Zstd => Box::new(Pieced::<Frames>::new(inner)),
            Compression::Bzip2 => Box::new(bzip2::read::MultiBzDecoder::new(buffered(inner))),
            Compression::Xz => xz(buffered(inner))?,
        };
        Ok(Box::new(Named { name: self.name(), inner: decoder }))
    }

    /// Looks at the first bytes of `inner` and decompresses accordingly.
    pub fn detecting<'a>(
        mut inner: Box<dyn Read + Send + 'a>,
    ) -> Result<(Compression, Box<dyn Read + Send + 'a>), CompressionError> {
        let mut start = Vec::with_capacity(MAGIC);
        let read = inner.by_ref().take(MAGIC as u64).read_to_end(&mut start);
        read.map_err(|source| CompressionError::Io { name: "read", source })?;
        let compression = Compression::detect(&start);
        let whole = Box::new(io::Cursor::new(start).chain(inner));
        Ok((compression, compression.decoder(whole)?))
    }

    /// Compresses into `inner`, at `level` as the format counts them, or its usual one, on all cores. The bytes depend on
    /// content and level alone.
    pub fn encoder<W: Write>(self, inner: W, level: Option<i32>) -> Result<Encoder<W>, CompressionError> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        self.encoder_on(cores, inner, level)
    }

    /// As [`Compression::encoder`], in so many threads (a few at most).
    pub fn encoder_on<W: Write>(
        self,
        threads: usize,
        inner: W,
        level: Option<i32>,
    ) -> Result<Encoder<W>, CompressionError> {
        match self {
            Compression::None => Ok(Encoder(Coder::None(inner))),
            Compression::Gzip => {
                let level = level.unwrap_or(gzip::LEVEL).clamp(0, gzip::BEST);
                Ok(Encoder(Coder::Gzip(Blocks::new(
                    inner,
                    threads.min(gzip::THREADS),
                    gzip::BLOCK,
                    level,
                    Deflate::new,
                ))))
            }
            Compression::Zstd => {
                let level = level.unwrap_or(frames::LEVEL);
                Ok(Encoder(Coder::Zstd(Blocks::new(
                    inner,
                    threads.min(frames::THREADS),
                    frames::BLOCK,
                    level,
                    Compress::new,
                ))))
            }
            Compression::Bzip2 | Compression::Xz => Err(CompressionError::NoEncoder(self.name())),
        }
    }
}

/// An xz decoder, unless the first block asks for a dictionary beyond the limit: the crate would allocate it unasked.
fn xz<'a>(mut inner: impl Read + Send + 'a) -> Result<Box<dyn Read + Send + 'a>, CompressionError> {
    // The stream header, then a block header of at most 1,024 bytes.
    const HEAD: u64 = 12 + 1024;
    let mut head = Vec::new();
    let read = inner.by_ref().take(HEAD).read_to_end(&mut head);
    read.map_err(|source| CompressionError::Io { name: "xz", source })?;
    match xz_dictionary(&head) {
        Some(size) if size > XZ_DICTIONARY => Err(CompressionError::Dictionary(size)),
        _ => Ok(Box::new(lzma_rust2::XzReader::new(io::Cursor::new(head).chain(inner), true))),
    }
}

/// The dictionary size in the first block header of an xz stream, if there is one: .xz format, 3.1 and 5.3.1.
fn xz_dictionary(head: &[u8]) -> Option<u64> {
    const LZMA2: u64 = 0x21;
    let block = head.get(12..)?;
    let flags = *block.get(1)?;
    let mut rest = block.get(2..)?;
    for present in [flags & 0x40 != 0, flags & 0x80 != 0] {
        if present {
            multibyte(&mut rest)?;
        }
    }
    for _ in 0..=(flags & 3) {
        let id = multibyte(&mut rest)?;
        let length = usize::try_from(multibyte(&mut rest)?).ok()?;
        let properties = rest.get(..length)?;
        rest = &rest[length..];
        if let (LZMA2, [bits]) = (id, properties) {
            let bits = u32::from(*bits & 0x3f);
            return Some(if bits >= 40 { u64::from(u32::MAX) } else { u64::from(2 | (bits & 1)) << (bits / 2 + 11) });
        }
    }
    None
}

/// xz's variable-length integers: seven bits a byte, low ones first.
fn multibyte(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in 0..9 {
        let (byte, tail) = rest.split_first()?;
        *rest = tail;
        value |= u64::from(byte & 0x7f) << (7 * shift);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Puts the format's name before what a decoder says; without it "unexpected end" could be anything.
struct Named<R> {
    name: &'static str,
    inner: R,
}

impl<R: Read> Read for Named<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            kind => io::Error::new(kind, format!("{}: {error}", self.name)),
        })
    }
}

/// A compressing writer. Without [`Encoder::finish`] the stream has no end.
pub struct Encoder<W: Write>(Coder<W>);

enum Coder<W: Write> {
    None(W),
    Gzip(Blocks<W, Deflate>),
    Zstd(Blocks<W, Compress>),
}

impl<W: Write> std::fmt::Debug for Encoder<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Coder::None(_) => "Encoder(none)",
            Coder::Gzip(_) => "Encoder(gzip)",
            Coder::Zstd(_) => "Encoder(zstd)",
        })
    }
}

impl<W: Write> Encoder<W> {
    /// Writes the end of the stream, and gives the writer back.
    pub fn finish(self) -> io::Result<W> {
        match self.0 {
            Coder::None(inner) => Ok(inner),
            Coder::Gzip(encoder) => encoder.finish(),
            Coder::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Coder::None(inner) => inner.write(bytes),
            Coder::Gzip(encoder) => encoder.write(bytes),
            Coder::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Coder::None(inner) => inner.flush(),
            Coder::Gzip(encoder) => encoder.flush(),
            Coder::Zstd(encoder) => encoder.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compress(compression: Compression, bytes: &[u8]) -> Vec<u8> {
        let mut encoder = compression.encoder(Vec::new(), None).unwrap();
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn decompress(bytes: &[u8]) -> Result<(Compression, Vec<u8>), String> {
        let (compression, mut reader) = Compression::detecting(Box::new(bytes)).map_err(|error| error.to_string())?;
        let mut out = Vec::new();
        reader.read_to_end(&mut out).map_err(|error| error.to_string())?;
        Ok((compression, out))
    }

    fn text() -> Vec<u8> {
        (0..100_000_u32).flat_map(|n| n.to_string().into_bytes()).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            assert_eq!(decompress(&compress(compression, &text())).unwrap(), (compression, text()));
            assert_eq!(decompress(&compress(compression, b"")).unwrap().1, b"");
        }
        assert!(Compression::Xz.encoder(Vec::new(), None).is_err());
        assert_eq!(decompress(b"").unwrap(), (Compression::None, vec![]));
    }

    #[test]
    fn several_members_and_frames_are_one_stream() {
        for compression in [Compression::Gzip, Compression::Zstd] {
            let twice = [compress(compression, b"one "), compress(compression, b"two")].concat();
            assert_eq!(decompress(&twice).unwrap().1, b"one two");
        }
        let skippable =
            [&[0x5f, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3][..], &compress(Compression::Zstd, b"x")].concat();
        assert_eq!(decompress(&skippable).unwrap(), (Compression::Zstd, b"x".to_vec()));
    }

    #[test]
    fn equal_input_gives_equal_output() {
        let gzip = compress(Compression::Gzip, b"x");
        assert_eq!(gzip[4..8], [0; 4], "a time in the header");
        assert_eq!(gzip, compress(Compression::Gzip, b"x"));
    }

    #[test]
    fn truncated_and_damaged_streams_say_so_by_name() {
        for compression in [Compression::Gzip, Compression::Zstd] {
            let whole = compress(compression, &text());
            let cut = decompress(&whole[..whole.len() / 2]).unwrap_err();
            assert!(cut.starts_with(compression.name()), "{cut}");
            let mut damaged = whole.clone();
            let middle = damaged.len() / 2;
            damaged[middle..middle + 8].fill(0xff);
            assert!(decompress(&damaged).is_err());
        }
    }

    #[test]
    fn xz_and_bzip2_of_their_own_tools() {
        // `printf estiba | xz` and `| bzip2`.
        let xz = b"\xfd\x37\x7a\x58\x5a\x00\x00\x04\xe6\xd6\xb4\x46";
        assert_eq!(Compression::detect(xz), Compression::Xz);
        for tool in ["xz", "bzip2"] {
            let Some(bytes) = piped(tool, &text()) else { continue };
            assert_eq!(decompress(&bytes).unwrap().1, text(), "{tool}");
            assert_eq!(decompress(&[bytes.clone(), bytes.clone()].concat()).unwrap().1.len(), 2 * text().len());
            assert!(decompress(&bytes[..bytes.len() - 20]).is_err());
        }
    }

    /// What a tool makes of `input`; `None` where it isn't installed.
    fn piped(tool: &str, input: &[u8]) -> Option<Vec<u8>> {
        use std::process::{Command, Stdio};
        let mut child = Command::new(tool).arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
        let mut stdin = child.stdin.take()?;
        let input = input.to_vec();
        let feeder = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().ok()?;
        feeder.join().unwrap().unwrap();
        Some(output.stdout)
    }

    #[test]
    fn memory_that_a_stream_claims_is_bounded() {
        // A zstd frame header with a window of 2 GiB (windowLog 31), then a raw block.
        let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 0x09, 0x00, 0x00, b'x'];
        assert!(decompress(&frame).is_err());
        // An xz block header whose LZMA2 filter wants 4 GiB - 1.
        let mut head = b"\xfd7zXZ\0\0\x04\xe6\xd6\xb4\x46".to_vec();
        head.extend([2, 0, 0x21, 1, 40, 0, 0, 0]);
        assert!(decompress(&head).unwrap_err().contains("dictionary"));
        head[16] = 22;
        assert_eq!(xz_dictionary(&head), Some(8 << 20));
    }

    #[test]
    fn a_bomb_is_read_in_pieces() {
        let zeros = compress(Compression::Zstd, &vec![0; 64 << 20]);
        assert!(zeros.len() < 64 << 10);
        let (_, mut reader) = Compression::detecting(Box::new(&zeros[..])).unwrap();
        let mut buffer = [0; 4096];
        assert!(reader.read(&mut buffer).unwrap() <= 4096);
    }
}
