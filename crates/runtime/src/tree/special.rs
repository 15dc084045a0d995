//! What a layer tree holds instead of what cannot stand in a plain directory: deletions, device nodes that the kernel
//! refuses, attributes that it refuses.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use layer::Kind;

/// On a directory: `y` hides what lies below it; `x` says that it holds whiteouts in the form of [`WHITEOUT`].
pub(super) const OPAQUE: &[u8] = b"user.overlay.opaque";
/// The same of overlays mounted without `userxattr`, as other tools leave them.
pub(super) const TRUSTED_OPAQUE: &[u8] = b"trusted.overlay.opaque";
/// On an empty file: it is a deletion.
pub(super) const WHITEOUT: &[u8] = b"user.overlay.whiteout";
/// Marks that overlayfs sets only with options that we never mount with; a tree that has them isn't what it seems.
pub(super) const UNSUPPORTED: [&[u8]; 4] =
    [b"user.overlay.redirect", b"user.overlay.metacopy", b"trusted.overlay.redirect", b"trusted.overlay.metacopy"];
/// On an empty file: it stands for the device node that this describes.
pub(super) const NODE: &[u8] = b"user.estiba.node";
/// The prefix under which an attribute is kept that the kernel refused.
pub(super) const REFUSED: &[u8] = b"user.estiba.x.";

/// An attribute's name as the kernel's interfaces want it.
pub(super) fn name(bytes: &[u8]) -> &OsStr {
    OsStr::from_bytes(bytes)
}

/// A device node as [`NODE`] holds it: `c 1 3`.
pub(super) fn encode_node(kind: Kind, rdev: (u32, u32)) -> String {
    let letter = if kind == Kind::Block { 'b' } else { 'c' };
    format!("{letter} {} {}", rdev.0, rdev.1)
}

/// The reverse of [`encode_node`]; `None` for anything else.
pub(super) fn decode_node(value: &[u8]) -> Option<(Kind, (u32, u32))> {
    let mut parts = std::str::from_utf8(value).ok()?.split(' ');
    let kind = match parts.next()? {
        "c" => Kind::Char,
        "b" => Kind::Block,
        _ => return None,
    };
    let mut number = || parts.next()?.parse().ok();
    Some((kind, (number()?, number()?)))
}

/// `security.capability` as every machine understands it. Set within a user namespace, the kernel stores the namespace's
/// root with it (version 3, 24 bytes), which means nothing elsewhere: version 2 is the same without. See
/// linux/capability.h, `vfs_ns_cap_data`.
pub(super) fn portable_capability(value: Vec<u8>) -> Vec<u8> {
    const REVISION_2: u8 = 2;
    const REVISION_3: u8 = 3;
    match value[..] {
        [_, _, _, REVISION_3, ..] if value.len() == 24 => {
            let mut value = value;
            value[3] = REVISION_2;
            value.truncate(20);
            value
        }
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_survive() {
        for (kind, rdev) in [(Kind::Char, (1, 3)), (Kind::Block, (8, 1_048_575))] {
            assert_eq!(decode_node(encode_node(kind, rdev).as_bytes()), Some((kind, rdev)));
        }
        assert_eq!(decode_node(b"x 1 3"), None);
        assert_eq!(decode_node(b"c 1"), None);
    }

    #[test]
    fn capabilities_lose_the_namespace() {
        let mut v3 = vec![1, 0, 0, 3];
        v3.extend([7; 16]);
        let v2 = {
            let mut v2 = v3.clone();
            v2[3] = 2;
            v2
        };
        v3.extend(1000_u32.to_le_bytes());
        assert_eq!(portable_capability(v3), v2);
        assert_eq!(portable_capability(v2.clone()), v2);
    }
}
