//! A session's state as the metadata keeps it: `BOOT:TARGET`, a newline, [`Hasher::save`].
//!
//! BOOT is the boot under which it was made. Within one boot a file holds what was written to it, whoever dies. After a
//! lost machine it may not, and then the hasher must not be believed: its digest would vouch for bytes that are not there.
//!
//! TARGET is the digest under which the session's bytes are being committed; empty before. A process that is killed in the middle
//! of that may have left them under their key, with no row that names it.

use oci::{Digest, Hasher};

use crate::metadata::UploadRow;

/// The bytes to keep.
pub(super) fn save(boot: &str, target: Option<&Digest>, hasher: &Hasher) -> Vec<u8> {
    let target = target.map(ToString::to_string).unwrap_or_default();
    let mut saved = format!("{boot}:{target}\n").into_bytes();
    saved.extend_from_slice(&hasher.save());
    saved
}

fn parts(saved: &[u8]) -> Option<(&str, &str, &[u8])> {
    let end = saved.iter().position(|byte| *byte == b'\n')?;
    let (boot, target) = std::str::from_utf8(&saved[..end]).ok()?.split_once(':')?;
    Some((boot, target, &saved[end + 1..]))
}

/// The hasher of a row; `None` where its bytes have to be hashed again.
pub(super) fn restore(boot: &str, row: &UploadRow) -> Option<Hasher> {
    if row.offset == 0 {
        return Some(Hasher::new(row.algorithm));
    }
    let (made_under, _, hasher) = parts(&row.hash_state)?;
    if boot.is_empty() || made_under != boot {
        return None;
    }
    Hasher::restore(row.algorithm, row.offset, hasher)
}

/// The digest under which a row's bytes were being committed.
pub(super) fn target(row: &UploadRow) -> Option<Digest> {
    parts(&row.hash_state)?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::UploadId;
    use crate::time::Instant;
    use oci::Algorithm;

    fn row(hash_state: Vec<u8>) -> UploadRow {
        UploadRow {
            id: UploadId::random().unwrap(),
            repository: "a".parse().unwrap(),
            owner: String::new(),
            algorithm: Algorithm::Sha256,
            offset: 10,
            hash_state,
            started: Instant(0),
            touched: Instant(0),
        }
    }

    #[test]
    fn believed_within_one_boot_only() {
        let mut hasher = Hasher::sha256();
        hasher.update(b"some bytes");
        let mut row = row(save("boot", None, &hasher));
        assert_eq!(restore("boot", &row).unwrap().finish(), hasher.finish());
        assert_eq!(target(&row), None);
        for other in ["", "other", "boo", "boot:"] {
            assert!(restore(other, &row).is_none(), "{other}");
        }
        row.offset = 11;
        assert!(restore("boot", &row).is_none());
        row.hash_state.clear();
        assert!(restore("boot", &row).is_none());
        row.offset = 0;
        assert_eq!(restore("", &row).unwrap().size(), 0);
    }

    #[test]
    fn remembers_what_it_becomes() {
        let mut hasher = Hasher::sha256();
        hasher.update(b"some bytes");
        let digest = hasher.clone().finish();
        let row = row(save("boot", Some(&digest), &hasher));
        assert_eq!((target(&row), restore("boot", &row).unwrap().finish()), (Some(digest), digest));
    }

    #[test]
    fn garbage_is_nothing() {
        for garbage in [&b""[..], b"\n", b":\n", b"boot:\n", b"boot:sha256:00\n\x01", b"\xff:\n", b"boot", b"boot\n:"] {
            let row = row(garbage.to_vec());
            assert!(restore("boot", &row).is_none() && target(&row).is_none(), "{garbage:?}");
        }
    }
}
