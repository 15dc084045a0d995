//! The index of a cache mount: every path, and where the content of every file lies.
//!
//! It is JSON, compressed with zstd. Content is cut into *pieces* of [`PIECE`] bytes, known by digest; pieces lie one after
//! another in *packs*, which are compressed as a whole. What comes from elsewhere is checked by [`Index::decode`] before
//! anything is made of it: paths stay inside, whatever stands above a path is a directory, pieces lie within their packs.

use std::collections::BTreeMap;
use std::io::Read;

use oci::Digest;
use serde::{Deserialize, Serialize};

use super::{TravelError, text};

/// What this program writes; it reads no other.
const VERSION: u32 = 1;
/// Large files move by pieces of this size: an appended log costs its last piece.
pub(crate) const PIECE: u64 = 4 << 20;
/// No pack is larger, uncompressed: one is held in memory.
pub(crate) const MAX_PACK: u64 = 64 << 20;
/// An index larger than this, uncompressed, is neither written nor read: it is in memory as a whole.
pub(crate) const MAX_INDEX: usize = 128 << 20;
/// More paths are neither written nor read.
const MAX_ENTRIES: usize = 2_000_000;
/// The longest path, as the kernel has it.
const MAX_PATH: usize = 4096;

/// All of a mount at one time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Index {
    version: u32,
    /// When it was taken, in seconds since 1970.
    pub(crate) taken: i64,
    /// In the order of their paths, as bytes; the first is the mount itself, with no path.
    pub(crate) entries: Vec<Entry>,
    /// The packs, by number.
    pub(crate) packs: Vec<Pack>,
}

/// A pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pack {
    /// Of its compressed bytes.
    pub(crate) digest: Digest,
    /// Compressed bytes.
    pub(crate) size: u64,
    /// Uncompressed bytes.
    pub(crate) raw: u64,
}

/// A path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Relative, without `.` and `..`.
    #[serde(rename = "p", with = "text")]
    pub(crate) path: Vec<u8>,
    /// Permissions: the lowest 12 bits.
    #[serde(rename = "m")]
    pub(crate) mode: u32,
    /// Owner and group, as a RUN sees them.
    #[serde(rename = "o")]
    pub(crate) owner: (u32, u32),
    /// Seconds and nanoseconds.
    #[serde(rename = "t")]
    pub(crate) mtime: (i64, u32),
    /// What it is.
    #[serde(rename = "k")]
    pub(crate) kind: Kind,
}

/// What a path is. Devices, pipes and sockets do not travel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// A directory.
    #[serde(rename = "d")]
    Dir,
    /// A file, in pieces.
    #[serde(rename = "f")]
    File(Vec<Piece>),
    /// A symbolic link and its target.
    #[serde(rename = "l")]
    Symlink(#[serde(with = "text")] Vec<u8>),
    /// A further name of the file at this earlier path.
    #[serde(rename = "h")]
    Hardlink(#[serde(with = "text")] Vec<u8>),
}

/// A part of a file: its digest, its size, the number of its pack, and where it begins in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Piece(pub(crate) Digest, pub(crate) u64, pub(crate) u32, pub(crate) u64);

impl Index {
    /// An index of now.
    pub(crate) fn new(taken: i64, entries: Vec<Entry>, packs: Vec<Pack>) -> Self {
        Self { version: VERSION, taken, entries, packs }
    }

    /// An entry's path, for people.
    pub(crate) fn shown(&self, number: usize) -> std::path::PathBuf {
        use std::os::unix::ffi::OsStrExt;
        let path = self.entries.get(number).map_or(&b""[..], |entry| &entry.path);
        std::ffi::OsStr::from_bytes(path).into()
    }

    /// All pieces of all files.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &Piece> {
        self.entries
            .iter()
            .filter_map(|entry| match &entry.kind {
                Kind::File(pieces) => Some(pieces),
                _ => None,
            })
            .flatten()
    }

    /// Its bytes.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, TravelError> {
        let json = serde_json::to_vec(self).map_err(|error| TravelError::Index(error.to_string()))?;
        if json.len() > MAX_INDEX || self.entries.len() > MAX_ENTRIES {
            return Err(TravelError::Large);
        }
        zstd::bulk::compress(&json, super::LEVEL).map_err(|error| TravelError::Index(error.to_string()))
    }

    /// Reads and checks one.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, TravelError> {
        let bad = |what: String| TravelError::Index(what);
        let mut json = Vec::new();
        let mut plain = zstd::stream::read::Decoder::new(bytes).map_err(|error| bad(error.to_string()))?;
        plain.by_ref().take(MAX_INDEX as u64 + 1).read_to_end(&mut json).map_err(|error| bad(error.to_string()))?;
        if json.len() > MAX_INDEX {
            return Err(bad(format!("it has more than {MAX_INDEX} bytes")));
        }
        let index: Self = serde_json::from_slice(&json).map_err(|error| bad(error.to_string()))?;
        index.check().map_err(bad)?;
        Ok(index)
    }

    fn check(&self) -> Result<(), String> {
        if self.version != VERSION {
            return Err(format!("it has version {}, this program knows {VERSION}", self.version));
        }
        if self.entries.len() > MAX_ENTRIES {
            return Err(format!("it has more than {MAX_ENTRIES} paths"));
        }
        if let Some(pack) = self.packs.iter().find(|pack| pack.raw > MAX_PACK || pack.size > MAX_PACK) {
            return Err(format!("pack {} is larger than {MAX_PACK} bytes", pack.digest));
        }
        let mut known: BTreeMap<&[u8], &Kind> = BTreeMap::new();
        let mut last: Option<&[u8]> = None;
        for entry in &self.entries {
            let path = entry.path.as_slice();
            let fail = |what: &str| Err(format!("{}: {what}", String::from_utf8_lossy(path)));
            match last {
                None if !path.is_empty() || entry.kind != Kind::Dir => return fail("the mount itself must come first"),
                Some(last) if last >= path => return fail("paths must be in order, each once"),
                _ => {}
            }
            if last.is_some() {
                if !is_inside(path) {
                    return fail("no path inside of the mount");
                }
                let above = path.iter().rposition(|byte| *byte == b'/').map_or(&b""[..], |at| &path[..at]);
                if known.get(above) != Some(&&Kind::Dir) {
                    return fail("what is above it is no directory of the mount");
                }
            }
            match &entry.kind {
                Kind::Hardlink(target) if !matches!(known.get(target.as_slice()), Some(Kind::File(_))) => {
                    return fail("what it is linked to is no file before it");
                }
                Kind::Symlink(target) if target.is_empty() || target.len() > MAX_PATH || target.contains(&0) => {
                    return fail("no target of a link");
                }
                Kind::File(pieces) => self.check_pieces(pieces).or_else(|what| fail(&what))?,
                Kind::Dir | Kind::Hardlink(_) | Kind::Symlink(_) => {}
            }
            last = Some(path);
            known.insert(path, &entry.kind);
        }
        if last.is_none() { Err("it is empty".to_owned()) } else { Ok(()) }
    }

    fn check_pieces(&self, pieces: &[Piece]) -> Result<(), String> {
        for Piece(digest, size, pack, offset) in pieces {
            let raw = self.packs.get(*pack as usize).map_or(0, |pack| pack.raw);
            if offset.checked_add(*size).is_none_or(|end| end > raw) {
                return Err(format!("piece {digest} lies outside of its pack"));
            }
        }
        Ok(())
    }
}

/// Whether a path is relative, clean, and no longer than the kernel takes.
fn is_inside(path: &[u8]) -> bool {
    path.len() <= MAX_PATH
        && !path.contains(&0)
        && path.split(|byte| *byte == b'/').all(|name| !matches!(name, b"" | b"." | b"..") && name.len() <= 255)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, kind: Kind) -> Entry {
        Entry { path: path.into(), mode: 0o644, owner: (0, 0), mtime: (1, 2), kind }
    }

    fn with(more: Vec<Entry>) -> Index {
        let pack = Pack { digest: Digest::sha256(b"p"), size: 3, raw: 10 };
        Index::new(7, [vec![entry("", Kind::Dir)], more].concat(), vec![pack])
    }

    #[test]
    fn it_comes_back_as_it_was() {
        let piece = Piece(Digest::sha256(b"x"), 4, 0, 6);
        let mut odd = entry("odd", Kind::Symlink(vec![b'%', 0xff]));
        odd.path = vec![b'o', 0xff, b'%'];
        let index = with(vec![
            entry("a", Kind::Dir),
            entry("a/f", Kind::File(vec![piece])),
            entry("b", Kind::Hardlink("a/f".into())),
            entry("c", Kind::File(Vec::new())),
            odd,
        ]);
        assert_eq!(Index::decode(&index.encode().unwrap()).unwrap(), index);
    }

    #[test]
    fn what_lies_is_refused() {
        let piece = |pack, offset| Kind::File(vec![Piece(Digest::sha256(b"x"), 5, pack, offset)]);
        let cases = [
            (vec![entry("../x", Kind::Dir)], "no path inside"),
            (vec![entry("/x", Kind::Dir)], "no path inside"),
            (vec![entry("a", Kind::Dir), entry("a/./b", Kind::Dir)], "no path inside"),
            (vec![entry("a/b", Kind::Dir)], "no directory"),
            (vec![entry("a", Kind::Symlink("/etc".into())), entry("a/passwd", piece(0, 0))], "no directory"),
            (vec![entry("b", Kind::Dir), entry("a", Kind::Dir)], "in order"),
            (vec![entry("a", Kind::Dir), entry("a", Kind::Symlink("/".into()))], "in order"),
            (vec![entry("a", Kind::Hardlink("../../etc/shadow".into()))], "linked to"),
            (
                vec![entry("a", Kind::Symlink("/etc/shadow".into())), entry("b", Kind::Hardlink("a".into()))],
                "linked to",
            ),
            (vec![entry("a", piece(0, 6))], "outside of its pack"),
            (vec![entry("a", piece(1, 0))], "outside of its pack"),
            (vec![entry("a", piece(0, u64::MAX))], "outside of its pack"),
            (vec![entry("a", Kind::Symlink(Vec::new()))], "no target"),
        ];
        for (entries, expected) in cases {
            let said = Index::decode(&with(entries).encode().unwrap()).unwrap_err().to_string();
            assert!(said.contains(expected), "{said} <> {expected}");
        }
        let mut other = with(Vec::new());
        other.version = 2;
        assert!(Index::decode(&other.encode().unwrap()).is_err());
        assert!(Index::decode(&Index::new(0, Vec::new(), Vec::new()).encode().unwrap()).is_err());
        assert!(Index::decode(b"no zstd").is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = Index::decode(&bytes);
            let _ = Index::decode(&zstd::bulk::compress(&bytes, 1).unwrap());
        }
    }
}
