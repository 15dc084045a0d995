//! A hasher's state as the metadata keeps it: the boot under which it was made, a colon, [`Hasher::save`].
//!
//! Within one boot a file holds what was written to it, whoever dies. After a lost machine it may not, and then the state
//! must not be believed: its digest would vouch for bytes that are not there.

use oci::Hasher;

use crate::metadata::UploadRow;

/// The bytes to keep.
pub(super) fn save(boot: &str, hasher: &Hasher) -> Vec<u8> {
    let mut saved = boot.as_bytes().to_vec();
    saved.push(b':');
    saved.extend_from_slice(&hasher.save());
    saved
}

/// The hasher of a row; `None` where its bytes have to be hashed again.
pub(super) fn restore(boot: &str, row: &UploadRow) -> Option<Hasher> {
    if row.offset == 0 {
        return Some(Hasher::new(row.algorithm));
    }
    if boot.is_empty() {
        return None;
    }
    let saved = row.hash_state.strip_prefix(boot.as_bytes())?.strip_prefix(b":")?;
    Hasher::restore(row.algorithm, row.offset, saved)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::UploadId;
    use crate::time::Instant;
    use oci::Algorithm;

    #[test]
    fn believed_within_one_boot_only() {
        let mut hasher = Hasher::sha256();
        hasher.update(b"some bytes");
        let mut row = UploadRow {
            id: UploadId::random().unwrap(),
            repository: "a".parse().unwrap(),
            owner: String::new(),
            algorithm: Algorithm::Sha256,
            offset: 10,
            hash_state: save("boot", &hasher),
            started: Instant(0),
            touched: Instant(0),
        };
        assert_eq!(restore("boot", &row).unwrap().finish(), hasher.finish());
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
}
