//! One member of a layer.

use std::cmp::Ordering;
use std::collections::BTreeMap;

/// What an [`Entry`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A regular file of [`Entry::size`] bytes.
    File,
    /// A directory.
    Dir,
    /// A symbolic link to [`Entry::link`].
    Symlink,
    /// Another name of the file at [`Entry::link`], a path in the same layer.
    Hardlink,
    /// A character device, [`Entry::rdev`].
    Char,
    /// A block device, [`Entry::rdev`].
    Block,
    /// A named pipe.
    Fifo,
    /// The path of a lower layer that this layer deletes; in a tar, `.wh.<name>`.
    Whiteout,
    /// A directory of which this layer hides all that lower layers hold; in a tar, `.wh..wh..opq` inside it.
    Opaque,
}

impl Kind {
    /// Whether it stands for a deletion instead of something that exists.
    pub fn is_deletion(self) -> bool {
        matches!(self, Kind::Whiteout | Kind::Opaque)
    }
}

/// One member of a layer, its content aside.
///
/// The path is relative, without a leading or trailing slash, and has no empty, `.` or `..` part. The root directory
/// itself is never an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it lies; of a whiteout, the path that it deletes; of an opaque mark, the directory.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permissions with setuid, setgid and sticky: `0o7777` at most.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time, whole seconds since 1970, negative before.
    pub mtime: i64,
    /// Bytes of content; zero for all but files.
    pub size: u64,
    /// Target of a symbolic link (any bytes) or of a hard link (a path as above); empty for the others.
    pub link: Vec<u8>,
    /// Major and minor number of a device.
    pub rdev: (u32, u32),
    /// Extended attributes by name.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Entry {
    /// An entry that root owns, with mode 0755 for a directory, 0777 for a link and 0644 for the others.
    pub fn new(path: impl Into<Vec<u8>>, kind: Kind) -> Entry {
        let mode = match kind {
            Kind::Dir => 0o755,
            Kind::Symlink => 0o777,
            Kind::File | Kind::Hardlink | Kind::Char | Kind::Block | Kind::Fifo => 0o644,
            Kind::Whiteout | Kind::Opaque => 0,
        };
        Entry {
            path: path.into(),
            kind,
            mode,
            uid: 0,
            gid: 0,
            mtime: 0,
            size: 0,
            link: Vec::new(),
            rdev: (0, 0),
            xattrs: BTreeMap::new(),
        }
    }

    /// The last part of the path.
    pub fn name(&self) -> &[u8] {
        split_path(&self.path).1
    }

    /// The path of the directory that holds it; empty for the root.
    pub fn parent(&self) -> &[u8] {
        split_path(&self.path).0
    }

    /// The order of a canonical layer: by path, an opaque mark right after its directory.
    pub fn order(&self, other: &Entry) -> Ordering {
        let opaque = |entry: &Entry| entry.kind == Kind::Opaque;
        compare_paths(&self.path, &other.path).then_with(|| opaque(self).cmp(&opaque(other)))
    }
}

/// Splits a path into its directory (empty for the root) and its last part.
pub(crate) fn split_path(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}

/// The order of paths in a layer: bytes, with `/` before all others, so that a directory's content follows it at once.
pub fn compare_paths(a: &[u8], b: &[u8]) -> Ordering {
    let common = a.iter().zip(b).position(|(x, y)| x != y);
    let Some(at) = common else {
        return a.len().cmp(&b.len());
    };
    let rank = |byte: u8| if byte == b'/' { 0 } else { u16::from(byte) + 1 };
    rank(a[at]).cmp(&rank(b[at]))
}

/// Whether an extended attribute is bookkeeping of a machine (ours, overlayfs', another rootless tool's), which never
/// enters a layer and is never taken from one.
pub fn is_private_xattr(name: &[u8]) -> bool {
    const PREFIXES: [&[u8]; 3] = [b"user.overlay.", b"trusted.overlay.", b"user.estiba."];
    name == b"user.rootlesscontainers" || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_comes_before_its_content_and_that_before_its_neighbours() {
        let mut paths = ["a-b", "a/x/y", "a.b", "a", "b", "a/x", "a/x-y", ""];
        paths.sort_by(|a, b| compare_paths(a.as_bytes(), b.as_bytes()));
        assert_eq!(paths, ["", "a", "a/x", "a/x/y", "a/x-y", "a-b", "a.b", "b"]);
    }

    #[test]
    fn an_opaque_mark_follows_its_directory() {
        let mut entries = [Entry::new("d/a", Kind::File), Entry::new("d", Kind::Opaque), Entry::new("d", Kind::Dir)];
        entries.sort_by(Entry::order);
        assert_eq!(entries.map(|entry| entry.kind), [Kind::Dir, Kind::Opaque, Kind::File]);
    }

    #[test]
    fn bookkeeping_attributes_are_known() {
        for name in ["user.overlay.opaque", "trusted.overlay.origin", "user.estiba.owner", "user.rootlesscontainers"] {
            assert!(is_private_xattr(name.as_bytes()), "{name}");
        }
        for name in ["user.overlays", "security.capability", "user.rootlesscontainers2", "trusted.md5"] {
            assert!(!is_private_xattr(name.as_bytes()), "{name}");
        }
    }
}
