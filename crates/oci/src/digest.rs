//! Content digests and the hashers that make them.
//!
//! A [`Digest`] exists only by parsing one or by hashing bytes, so holding one means that its
//! text is well formed. This is the only file of the project that names the `sha2` crate.
//! Specification: OCI image-spec, descriptor.md, "Digests".

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest as _;
use sha2::digest::common::hazmat::SerializableState;

/// A digest algorithm that the specification registers and that we accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// SHA-256, the default everywhere.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// The name used before the colon.
    pub const fn name(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        }
    }

    /// Length of the digest in bytes.
    pub const fn size(self) -> usize {
        match self {
            Algorithm::Sha256 => 32,
            Algorithm::Sha512 => 64,
        }
    }
}

/// The digest of some bytes, such as `sha256:e3b0…`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    algorithm: Algorithm,
    /// The first `algorithm.size()` bytes count; the rest are zero.
    bytes: [u8; 64],
}

/// Why a text is not a digest that we accept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// No colon, or empty parts.
    #[error("`{}` is not a digest: expected `sha256:` and 64 hexadecimal digits", .0.escape_debug())]
    Malformed(String),
    /// A well-formed digest of an algorithm that we do not have.
    #[error("`{}` uses an unsupported digest algorithm: use sha256 or sha512", .0.escape_debug())]
    Unsupported(String),
}

impl Digest {
    /// The SHA-256 of `bytes`.
    pub fn sha256(bytes: &[u8]) -> Digest {
        let mut hasher = Hasher::sha256();
        hasher.update(bytes);
        hasher.finish()
    }

    /// Which algorithm made it.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The raw digest, 32 or 64 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.algorithm.size()]
    }

    /// The digits after the colon, lower case.
    pub fn hex(&self) -> String {
        let mut text = String::with_capacity(self.algorithm.size() * 2);
        push_hex(&mut text, self.as_bytes());
        text
    }

    /// The first twelve digits, as tools show them to people.
    pub fn short(&self) -> String {
        let mut text = String::with_capacity(12);
        push_hex(&mut text, &self.bytes[..6]);
        text
    }

    /// A SHA-256 digest from its 32 raw bytes, as binary caches store it.
    pub fn from_sha256_bytes(raw: [u8; 32]) -> Digest {
        Digest::from_raw(Algorithm::Sha256, &raw)
    }

    /// A digest from its raw bytes, as databases store it: `None` unless there are as many as the algorithm makes.
    pub fn from_bytes(algorithm: Algorithm, raw: &[u8]) -> Option<Digest> {
        (raw.len() == algorithm.size()).then(|| Digest::from_raw(algorithm, raw))
    }

    fn from_raw(algorithm: Algorithm, raw: &[u8]) -> Digest {
        let mut bytes = [0; 64];
        bytes[..raw.len()].copy_from_slice(raw);
        Digest { algorithm, bytes }
    }
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)] as char);
        text.push(DIGITS[usize::from(byte & 15)] as char);
    }
}

fn nibble(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

/// Whether `name` has the shape of an algorithm in the specification's grammar.
fn is_algorithm_name(name: &str) -> bool {
    name.split(['+', '.', '_', '-'])
        .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()))
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Digest, DigestError> {
        let malformed = || DigestError::Malformed(text.chars().take(200).collect());
        let (name, hex) = text.split_once(':').ok_or_else(malformed)?;
        let algorithm = match name {
            "sha256" => Algorithm::Sha256,
            "sha512" => Algorithm::Sha512,
            _ if is_algorithm_name(name) && !hex.is_empty() => {
                return Err(DigestError::Unsupported(text.chars().take(200).collect()));
            }
            _ => return Err(malformed()),
        };
        if hex.len() != algorithm.size() * 2 {
            return Err(malformed());
        }
        let mut bytes = [0; 64];
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            let high = nibble(pair[0]).ok_or_else(malformed)?;
            let low = nibble(pair[1]).ok_or_else(malformed)?;
            *byte = high << 4 | low;
        }
        Ok(Digest { algorithm, bytes })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Hashes bytes into a [`Digest`], counting them.
#[derive(Clone)]
pub struct Hasher {
    state: State,
    size: u64,
}

#[derive(Clone)]
enum State {
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
}

impl Hasher {
    /// A hasher that has seen nothing.
    pub fn new(algorithm: Algorithm) -> Hasher {
        let state = match algorithm {
            Algorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
            Algorithm::Sha512 => State::Sha512(sha2::Sha512::new()),
        };
        Hasher { state, size: 0 }
    }

    /// A SHA-256 hasher.
    pub fn sha256() -> Hasher {
        Hasher::new(Algorithm::Sha256)
    }

    /// Adds `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        match &mut self.state {
            State::Sha256(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
        }
    }

    /// How many bytes were added.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// What the hasher has come to, so that [`Hasher::restore`] goes on from there, in another process too.
    pub fn save(&self) -> Vec<u8> {
        let mut saved = vec![SAVED_FORMAT];
        match &self.state {
            State::Sha256(state) => saved.extend_from_slice(state.serialize().as_slice()),
            State::Sha512(state) => saved.extend_from_slice(state.serialize().as_slice()),
        }
        saved
    }

    /// A hasher that goes on where [`Hasher::save`] was called, after `size` bytes. `None` where `saved` is not such
    /// a state. It may come from a damaged file: what is accepted never panics later, but only a digest tells whether it is true.
    pub fn restore(algorithm: Algorithm, size: u64, saved: &[u8]) -> Option<Hasher> {
        let (&SAVED_FORMAT, saved) = saved.split_first()? else { return None };
        if size > SAVED_SIZE_LIMIT {
            return None;
        }
        let state = match algorithm {
            Algorithm::Sha256 => {
                counts_agree(saved, 32..40, 64, size)?;
                State::Sha256(sha2::Sha256::deserialize(saved.try_into().ok()?).ok()?)
            }
            Algorithm::Sha512 => {
                counts_agree(saved, 64..80, 128, size)?;
                State::Sha512(sha2::Sha512::deserialize(saved.try_into().ok()?).ok()?)
            }
        };
        Some(Hasher { state, size })
    }

    /// The digest of everything that was added.
    pub fn finish(self) -> Digest {
        match self.state {
            State::Sha256(state) => Digest::from_raw(Algorithm::Sha256, state.finalize().as_slice()),
            State::Sha512(state) => Digest::from_raw(Algorithm::Sha512, state.finalize().as_slice()),
        }
    }
}

/// The first byte of a saved state: the layout that `sha2` 0.11 gives, which is
/// chaining words, the count of whole blocks (little-endian), the length of the unfinished block, that block.
const SAVED_FORMAT: u8 = 1;

/// More than any file holds, and little enough that no count of bits overflows.
const SAVED_SIZE_LIMIT: u64 = 1 << 60;

/// Whether the counts inside a saved state are those of `size` bytes.
fn counts_agree(saved: &[u8], blocks: std::ops::Range<usize>, block: u64, size: u64) -> Option<()> {
    let unfinished = u64::from(*saved.get(blocks.end)?);
    let count = saved.get(blocks)?;
    let (low, high) = count.split_at(8);
    let whole = u64::from_le_bytes(low.try_into().ok()?);
    (high.iter().all(|byte| *byte == 0) && whole == size / block && unfinished == size % block).then_some(())
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hasher({} bytes)", self.size)
    }
}

/// A writer that hashes what passes through it.
#[derive(Debug)]
pub struct HashingWriter<W> {
    inner: W,
    hasher: Hasher,
}

impl<W: Write> HashingWriter<W> {
    /// Hashes with SHA-256 what is written to `inner`.
    pub fn new(inner: W) -> HashingWriter<W> {
        HashingWriter { inner, hasher: Hasher::sha256() }
    }

    /// The inner writer, and the digest and count of the bytes it took.
    pub fn finish(self) -> (W, Digest, u64) {
        let size = self.hasher.size();
        (self.inner, self.hasher.finish(), size)
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// A reader that hashes what passes through it.
#[derive(Debug)]
pub struct HashingReader<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> HashingReader<R> {
    /// Hashes with SHA-256 what is read from `inner`.
    pub fn new(inner: R) -> HashingReader<R> {
        HashingReader { inner, hasher: Hasher::sha256() }
    }

    /// The inner reader, and the digest and count of the bytes that were read.
    pub fn finish(self) -> (R, Digest, u64) {
        let size = self.hasher.size();
        (self.inner, self.hasher.finish(), size)
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

/// A reader whose end is an error unless the bytes were those of a descriptor.
///
/// Fails with [`io::ErrorKind::InvalidData`] as soon as there are too many bytes, and at the end
/// when there were too few or their digest differs.
#[derive(Debug)]
pub struct Verifier<R> {
    inner: R,
    hasher: Option<Hasher>,
    digest: Digest,
    size: u64,
}

impl<R: Read> Verifier<R> {
    /// Expects `inner` to hold exactly `size` bytes with `digest`.
    pub fn new(inner: R, digest: Digest, size: u64) -> Verifier<R> {
        Verifier { inner, hasher: Some(Hasher::new(digest.algorithm())), digest, size }
    }

    fn check_end(&mut self) -> io::Result<()> {
        let Some(hasher) = self.hasher.take() else {
            return Ok(());
        };
        let invalid = |message| Err(io::Error::new(io::ErrorKind::InvalidData, message));
        if hasher.size() != self.size {
            return invalid(format!("{}: {} bytes instead of {}", self.digest, hasher.size(), self.size));
        }
        let found = hasher.finish();
        if found != self.digest {
            return invalid(format!("{}: the content has digest {found}", self.digest));
        }
        Ok(())
    }
}

impl<R: Read> Read for Verifier<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = self.inner.read(buffer)?;
        if count == 0 {
            self.check_end()?;
            return Ok(0);
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..count]);
            if hasher.size() > self.size {
                let message = format!("{}: more than the {} bytes announced", self.digest, self.size);
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn parses_only_what_the_grammar_allows() {
        assert_eq!(Digest::sha256(b"").to_string(), EMPTY);
        assert_eq!(EMPTY.parse::<Digest>().unwrap(), Digest::sha256(b""));
        let upper = EMPTY.to_uppercase();
        let longer = format!("{EMPTY}0");
        for bad in ["", "sha256:", "sha256", &upper, &longer, "sha256:../../../etc/passwd", "Sha256:00", ":00"] {
            assert!(matches!(bad.parse::<Digest>(), Err(DigestError::Malformed(_))), "{bad}");
        }
        assert!(matches!("blake3:00".parse::<Digest>(), Err(DigestError::Unsupported(_))));
        assert!(matches!("md5+b64u:00".parse::<Digest>(), Err(DigestError::Unsupported(_))));
    }

    #[test]
    fn sha512_round_trips() {
        let mut hasher = Hasher::new(Algorithm::Sha512);
        hasher.update(b"abc");
        let digest = hasher.finish();
        assert!(digest.to_string().starts_with("sha512:ddaf35a193617abacc417349ae204131"));
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
    }

    #[test]
    fn a_saved_hasher_goes_on_at_every_offset() {
        let bytes: Vec<u8> = (0..700_u32).map(|n| (n * 31 % 251) as u8).collect();
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let mut whole = Hasher::new(algorithm);
            whole.update(&bytes);
            let whole = whole.finish();
            for cut in 0..bytes.len() {
                let mut first = Hasher::new(algorithm);
                first.update(&bytes[..cut]);
                let mut second = Hasher::restore(algorithm, cut as u64, &first.save()).unwrap();
                assert_eq!(second.size(), cut as u64);
                second.update(&bytes[cut..]);
                assert_eq!(second.finish(), whole, "{algorithm:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn a_damaged_state_is_refused_or_harmless() {
        let mut hasher = Hasher::sha256();
        hasher.update(&[7; 100]);
        let saved = hasher.save();
        assert!(Hasher::restore(Algorithm::Sha256, 100, &saved).is_some());
        assert!(Hasher::restore(Algorithm::Sha512, 100, &saved).is_none());
        for size in [0, 99, 101, 164, u64::MAX, u64::MAX - 27] {
            assert!(Hasher::restore(Algorithm::Sha256, size, &saved).is_none(), "{size}");
        }
        for length in 0..saved.len() {
            assert!(Hasher::restore(Algorithm::Sha256, 100, &saved[..length]).is_none());
        }
        for at in 0..saved.len() {
            for value in [0, 1, 63, 64, 127, 255] {
                let mut bad = saved.clone();
                bad[at] = value;
                if let Some(mut hasher) = Hasher::restore(Algorithm::Sha256, 100, &bad) {
                    hasher.update(&[1; 300]);
                    hasher.finish();
                }
            }
        }
    }

    #[test]
    fn the_verifier_refuses_longer_shorter_and_other_bytes() {
        let digest = Digest::sha256(b"cargo");
        let read = |bytes: &'static [u8], size| {
            let mut out = Vec::new();
            Verifier::new(bytes, digest, size).read_to_end(&mut out).map(|_| out)
        };
        assert_eq!(read(b"cargo", 5).unwrap(), b"cargo");
        assert!(read(b"cargo!", 5).is_err());
        assert!(read(b"carg", 5).is_err());
        assert!(read(b"cargO", 5).is_err());
        assert!(read(b"cargo", 6).is_err());
    }
}
