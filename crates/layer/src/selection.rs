//! The content digest of a selection of files: all that a COPY can see of them, and never their times.

use oci::{Digest, Hasher};

use crate::{Entry, Kind, is_private_xattr};

/// What the digest begins with; another version of the encoding has another.
const VERSION: &[u8] = b"estiba.selection.v1\n";

/// Hashes mode, owner, group, size, kind, link target, device, attributes and content of entries, in the order added.
///
/// Every field is preceded by its length or has a fixed one, so that no two selections share an encoding.
#[derive(Debug)]
pub struct SelectionHasher {
    hasher: Hasher,
    record: Vec<u8>,
}

impl Default for SelectionHasher {
    fn default() -> SelectionHasher {
        SelectionHasher::new()
    }
}

impl SelectionHasher {
    /// A hasher that has seen nothing.
    pub fn new() -> SelectionHasher {
        let mut hasher = Hasher::sha256();
        hasher.update(VERSION);
        SelectionHasher { hasher, record: Vec::new() }
    }

    /// Adds an entry under the name `path` (which, in a selection, is rarely where it lies). Of a file, `content` is the
    /// digest of its bytes.
    pub fn add(&mut self, path: &[u8], entry: &Entry, content: Option<&Digest>) {
        let record = &mut self.record;
        record.clear();
        push(record, path);
        record.push(tag(entry.kind));
        for number in [entry.mode, entry.uid, entry.gid, entry.rdev.0, entry.rdev.1] {
            record.extend_from_slice(&number.to_be_bytes());
        }
        record.extend_from_slice(&entry.size.to_be_bytes());
        push(record, &entry.link);
        let xattrs = || entry.xattrs.iter().filter(|(name, _)| !is_private_xattr(name));
        record.extend_from_slice(&(xattrs().count() as u64).to_be_bytes());
        for (name, value) in xattrs() {
            push(record, name);
            push(record, value);
        }
        push(record, content.map_or(&[], |digest| digest.as_bytes()));
        self.hasher.update(record);
    }

    /// The digest of all that was added.
    pub fn finish(self) -> Digest {
        self.hasher.finish()
    }
}

fn push(record: &mut Vec<u8>, bytes: &[u8]) {
    record.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
    record.extend_from_slice(bytes);
}

/// One byte a kind, for this digest and for the binary record of a layer. Never renumbered.
pub(crate) fn tag(kind: Kind) -> u8 {
    match kind {
        Kind::File => 1,
        Kind::Dir => 2,
        Kind::Symlink => 3,
        Kind::Hardlink => 4,
        Kind::Char => 5,
        Kind::Block => 6,
        Kind::Fifo => 7,
        Kind::Whiteout => 8,
        Kind::Opaque => 9,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(path: &[u8], entry: &Entry, content: &[u8]) -> String {
        let mut hasher = SelectionHasher::new();
        hasher.add(path, entry, Some(&Digest::sha256(content)));
        hasher.finish().to_string()
    }

    #[test]
    fn everything_counts_but_times() {
        let mut entry = Entry::new("a", Kind::File);
        entry.size = 1;
        let base = digest(b"a", &entry, b"x");
        let mut later = entry.clone();
        later.mtime = 77;
        assert_eq!(digest(b"a", &later, b"x"), base);
        let changes: [fn(&mut Entry); 8] = [
            |e| e.mode = 0o600,
            |e| e.uid = 1,
            |e| e.gid = 1,
            |e| e.size = 2,
            |e| e.kind = Kind::Symlink,
            |e| e.link = b"b".to_vec(),
            |e| e.rdev = (0, 1),
            |e| drop(e.xattrs.insert(b"user.a".to_vec(), vec![])),
        ];
        for change in changes {
            let mut changed = entry.clone();
            change(&mut changed);
            assert_ne!(digest(b"a", &changed, b"x"), base, "{changed:?}");
        }
        assert_ne!(digest(b"b", &entry, b"x"), base);
        assert_ne!(digest(b"a", &entry, b"y"), base);
    }

    /// Pinned: a change of the encoding would make every cached COPY miss, and must be a new version.
    #[test]
    fn the_encoding_is_pinned() {
        let mut entry = Entry::new("bin/sh", Kind::File);
        (entry.mode, entry.uid, entry.size) = (0o4755, 7, 3);
        entry.xattrs.insert(b"security.capability".to_vec(), vec![1, 2]);
        entry.xattrs.insert(b"user.overlay.origin".to_vec(), vec![9]);
        assert_eq!(
            digest(b"sh", &entry, b"abc"),
            "sha256:df46deb4db86eec661589201f2d82481d4e3a469756cf6a120b9a1761400548d"
        );
    }
}
