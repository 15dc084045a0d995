//! Deletions, as names in a tar. Specification: OCI image-spec, layer.md, "Whiteouts".

use crate::entry::split_path;

/// The prefix that turns a name into its deletion.
pub(crate) const PREFIX: &[u8] = b".wh.";
/// The name that makes the directory it stands in opaque.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// What aufs kept for itself and old images still hold (`.wh..wh.plnk`, …): of no meaning, and skipped by every tool.
const AUFS: &[u8] = b".wh..wh.";

/// What a path in a layer's tar means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Meaning<'a> {
    /// Itself.
    Plain,
    /// The deletion of `name` in `dir`.
    Whiteout { dir: &'a [u8], name: &'a [u8] },
    /// `dir` hides what lies below it.
    Opaque { dir: &'a [u8] },
    /// Leftovers of aufs.
    Skip,
    /// A name with the prefix that deletes nothing that could exist, or one that is a directory of others.
    Invalid,
}

/// Reads the whiteout names in a normalised path.
pub(crate) fn meaning(path: &[u8]) -> Meaning<'_> {
    // Almost no path has the prefix at all, so this one search is all that most pay.
    if !path.windows(PREFIX.len()).any(|window| window == PREFIX) {
        return Meaning::Plain;
    }
    let (dir, name) = split_path(path);
    if name == OPAQUE && !is_reserved(dir) {
        return Meaning::Opaque { dir };
    }
    if path.split(|byte| *byte == b'/').any(|part| part.starts_with(AUFS)) {
        return Meaning::Skip;
    }
    if is_reserved(dir) {
        return Meaning::Invalid;
    }
    match name.strip_prefix(PREFIX) {
        None => Meaning::Plain,
        Some(b"" | b"." | b"..") => Meaning::Invalid,
        Some(name) => Meaning::Whiteout { dir, name },
    }
}

/// Whether a path has a part that a layer cannot hold, as it would be read as a deletion.
pub(crate) fn is_reserved(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').any(|part| part.starts_with(PREFIX))
}

/// The name in a tar that deletes `path`.
pub(crate) fn whiteout_path(path: &[u8]) -> Vec<u8> {
    let (dir, name) = split_path(path);
    join(dir, &[PREFIX, name].concat())
}

/// The name in a tar that makes `dir` opaque.
pub(crate) fn opaque_path(dir: &[u8]) -> Vec<u8> {
    join(dir, OPAQUE)
}

/// `dir/name`, or `name` alone in the root.
pub(crate) fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    if dir.is_empty() { name.to_vec() } else { [dir, b"/", name].concat() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_what_they_mean() {
        let whiteout = |dir, name| Meaning::Whiteout { dir, name };
        for (path, expected) in [
            (&b"a/b"[..], Meaning::Plain),
            (b"a/x.wh.b", Meaning::Plain),
            (b"a/.wh.b", whiteout(&b"a"[..], &b"b"[..])),
            (b".wh.b", whiteout(b"", b"b")),
            (b".wh..b", whiteout(b"", b".b")),
            (b"a/.wh..wh..opq", Meaning::Opaque { dir: b"a" }),
            (b".wh..wh..opq", Meaning::Opaque { dir: b"" }),
            (b".wh..wh.plnk", Meaning::Skip),
            (b".wh..wh.plnk/7.3", Meaning::Skip),
            (b"a/.wh.", Meaning::Invalid),
            (b"a/.wh..", Meaning::Invalid),
            (b"a/.wh...", Meaning::Invalid),
            (b".wh.a/b", Meaning::Invalid),
            (b".wh.a/.wh..wh..opq", Meaning::Skip),
        ] {
            assert_eq!(meaning(path), expected, "{}", String::from_utf8_lossy(path));
        }
    }
}
