//! The record of a layer's headers: what stands in it, and where.

use std::cmp::Ordering;
use std::io::Read;

use oci::{Digest, Hasher};

use crate::entry::compare_paths;
use crate::{Chunk, Entry, Extent, Kind, ReadError, TarReader};

/// Holes that are hashed as the zeros they stand for; beyond, a file's content digest is left out, as an archive of a
/// few bytes could claim terabytes.
const MAX_HASHED_HOLE: u64 = 256 << 20;

/// One entry of a layer, and where its content lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TocEntry {
    /// The entry.
    pub entry: Entry,
    /// Where its content begins in the uncompressed tar.
    pub offset: u64,
    /// Of a sparse member, the runs of the file that the tar holds, one after another; else empty.
    pub extents: Vec<Extent>,
    /// SHA-256 of a file's content, where it is known.
    pub content: Option<Digest>,
}

/// The entries of a layer in the order of its tar, with look-ups by path.
///
/// It lets a layer be listed, and its files be found, without reading it; and, with the tree that holds its files, lets
/// the tar be written again, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Toc {
    entries: Vec<TocEntry>,
    /// Indices by [`Entry::order`]; of several entries for one path, the last of the tar only. Empty when the entries
    /// themselves are in that order, as those of a canonical layer are.
    sorted: Vec<u32>,
}

impl Toc {
    /// Takes entries in the order of the tar.
    pub fn new(entries: Vec<TocEntry>) -> Toc {
        let in_order = entries.is_sorted_by(|a, b| a.entry.order(&b.entry) == Ordering::Less);
        let mut sorted = Vec::new();
        if !in_order {
            let order = |a: u32, b: u32| entries[a as usize].entry.order(&entries[b as usize].entry);
            sorted = (0..entries.len() as u32).collect();
            sorted.sort_by(|a, b| order(*a, *b));
            // Equal ones stand in the order of the tar: of each such run, keep the last.
            sorted.reverse();
            sorted.dedup_by(|a, b| order(*a, *b) == Ordering::Equal);
            sorted.reverse();
        }
        Toc { entries, sorted }
    }

    /// In the order of the tar.
    pub fn entries(&self) -> &[TocEntry] {
        &self.entries
    }

    /// How many paths there are, duplicates counted once.
    fn len(&self) -> usize {
        if self.sorted.is_empty() { self.entries.len() } else { self.sorted.len() }
    }

    /// The entry of a rank in path order.
    fn ranked(&self, rank: usize) -> Option<&TocEntry> {
        match self.sorted.is_empty() {
            true => self.entries.get(rank),
            false => self.sorted.get(rank).map(|index| &self.entries[*index as usize]),
        }
    }

    /// The first rank whose path isn't before `path`.
    fn rank(&self, path: &[u8]) -> usize {
        self.first_rank(|found| compare_paths(found, path) == Ordering::Less)
    }

    fn first_rank(&self, before: impl Fn(&[u8]) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.ranked(middle) {
                Some(found) if before(&found.entry.path) => low = middle + 1,
                _ => high = middle,
            }
        }
        low
    }

    /// What stands at `path`: an entry, or a whiteout; of several in the tar, the last. Opaque marks are asked for by
    /// [`Toc::is_opaque`].
    pub fn lookup(&self, path: &[u8]) -> Option<&TocEntry> {
        let found = self.ranked(self.rank(path))?;
        (found.entry.path == path && found.entry.kind != Kind::Opaque).then_some(found)
    }

    /// Whether the layer hides what lower ones hold in the directory `path`.
    pub fn is_opaque(&self, path: &[u8]) -> bool {
        let rank = self.rank(path);
        [rank, rank + 1]
            .into_iter()
            .filter_map(|rank| self.ranked(rank))
            .any(|found| found.entry.kind == Kind::Opaque && found.entry.path == path)
    }

    /// Whether anything stands below `path`, so that a directory must be there even without an entry of its own.
    pub fn implies(&self, path: &[u8]) -> bool {
        let mut rank = self.rank(path);
        while let Some(found) = self.ranked(rank) {
            if found.entry.path != path {
                return is_below(&found.entry.path, path) && self.has_existing(rank, path);
            }
            rank += 1;
        }
        false
    }

    /// Whether one of the entries from `rank` on, below `path`, is more than a deletion.
    fn has_existing(&self, rank: usize, path: &[u8]) -> bool {
        (rank..self.len())
            .filter_map(|rank| self.ranked(rank))
            .take_while(|found| is_below(&found.entry.path, path))
            .any(|found| !found.entry.kind.is_deletion())
    }

    /// The names directly in the directory `path` (empty: the root), in order, each with its entry or whiteout; `None`
    /// for a directory that has no entry of its own but is implied by what lies in it.
    pub fn children<'a>(&'a self, path: &[u8]) -> Vec<(&'a [u8], Option<&'a TocEntry>)> {
        let mut children = Vec::new();
        let mut rank = self.rank(path);
        let skip = if path.is_empty() { 0 } else { path.len() + 1 };
        while let Some(found) = self.ranked(rank) {
            let full = &found.entry.path[..];
            if full == path {
                rank += 1;
                continue;
            }
            if !is_below(full, path) {
                break;
            }
            let rest = &full[skip..];
            let end = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
            let own = end == rest.len() && found.entry.kind != Kind::Opaque;
            let child = &full[..skip + end];
            children.push((&rest[..end], own.then_some(found)));
            // Past all that lies below that child, at one go.
            rank = self.first_rank(|other| compare_paths(other, child) != Ordering::Greater || is_below(other, child));
        }
        children
    }

    /// Reads a whole uncompressed tar and records it, digests of its files included.
    pub fn scan(tar: impl Read) -> Result<Toc, ReadError> {
        let mut reader = TarReader::new(tar);
        let mut entries = Vec::new();
        while let Some((entry, mut content)) = reader.next_entry()? {
            let (offset, extents) = (content.offset(), content.extents().to_vec());
            let mut hasher = (entry.kind == Kind::File).then(Hasher::sha256);
            let mut holes = 0;
            while let Some(chunk) = content.next_chunk()? {
                match (&mut hasher, chunk) {
                    (None, _) => {}
                    (Some(hasher), Chunk::Data(bytes)) => hasher.update(bytes),
                    (Some(state), Chunk::Hole(length)) => {
                        holes += length;
                        match holes <= MAX_HASHED_HOLE {
                            true => hash_zeros(state, length),
                            false => hasher = None,
                        }
                    }
                }
            }
            let content = hasher.map(Hasher::finish);
            entries.push(TocEntry { entry, offset, extents, content });
        }
        reader.finish()?;
        Ok(Toc::new(entries))
    }
}

/// Whether `path` lies somewhere inside the directory `dir` (empty: the root).
fn is_below(path: &[u8], dir: &[u8]) -> bool {
    match path.strip_prefix(dir) {
        Some(rest) => dir.is_empty() && !rest.is_empty() || rest.first() == Some(&b'/'),
        None => false,
    }
}

fn hash_zeros(hasher: &mut Hasher, count: u64) {
    const ZEROS: [u8; 16 * 1024] = [0; 16 * 1024];
    let mut left = count;
    while left > 0 {
        let step = left.min(ZEROS.len() as u64);
        hasher.update(&ZEROS[..step as usize]);
        left -= step;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toc(entries: &[(&str, Kind)]) -> Toc {
        let entry = |(index, (path, kind)): (usize, &(&str, Kind))| TocEntry {
            entry: Entry::new(*path, *kind),
            offset: index as u64,
            extents: Vec::new(),
            content: None,
        };
        Toc::new(entries.iter().enumerate().map(entry).collect())
    }

    fn names(toc: &Toc, path: &str) -> Vec<String> {
        let show = |(name, entry): (&[u8], Option<&TocEntry>)| {
            format!("{}{}", String::from_utf8_lossy(name), if entry.is_none() { "?" } else { "" })
        };
        toc.children(path.as_bytes()).into_iter().map(show).collect()
    }

    #[test]
    fn finds_and_lists_whatever_the_order() {
        use Kind::{Dir, File, Opaque, Whiteout};
        let sorted = [
            ("a", Dir),
            ("a", Opaque),
            ("a/b", Dir),
            ("a/b/c", File),
            ("a/d", Whiteout),
            ("a-b", File),
            ("e/f/g", File),
        ];
        let mut shuffled = sorted;
        shuffled.reverse();
        for toc in [toc(&sorted), toc(&shuffled)] {
            assert_eq!(names(&toc, ""), ["a", "a-b", "e?"]);
            assert_eq!(names(&toc, "a"), ["b", "d"]);
            assert_eq!(names(&toc, "e"), ["f?"]);
            assert_eq!(names(&toc, "e/f"), ["g"]);
            assert!(names(&toc, "a/b/c").is_empty() && names(&toc, "nowhere").is_empty());
            assert!(toc.is_opaque(b"a") && !toc.is_opaque(b"a/b") && !toc.is_opaque(b""));
            assert_eq!(toc.lookup(b"a").unwrap().entry.kind, Dir);
            assert_eq!(toc.lookup(b"a/d").unwrap().entry.kind, Whiteout);
            assert!(toc.lookup(b"e").is_none() && toc.implies(b"e") && toc.implies(b"e/f"));
            assert!(!toc.implies(b"a-b") && !toc.implies(b"x"));
        }
    }

    #[test]
    fn of_several_entries_for_a_path_the_last_counts() {
        let toc = toc(&[("b", Kind::Dir), ("a", Kind::File), ("a", Kind::Symlink), ("a", Kind::Fifo)]);
        assert_eq!(toc.lookup(b"a").unwrap().entry.kind, Kind::Fifo);
        assert_eq!(names(&toc, ""), ["a", "b"]);
        assert_eq!(toc.entries().len(), 4);
    }

    #[test]
    fn deletions_alone_imply_no_directory() {
        let toc = toc(&[("a", Kind::Opaque), ("b/c", Kind::Whiteout)]);
        assert!(!toc.implies(b"b"));
        assert!(toc.lookup(b"a").is_none() && toc.is_opaque(b"a"));
        assert_eq!(names(&toc, ""), ["a?", "b?"]);
    }
}
