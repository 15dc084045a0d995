//! Objects read back and hashed: the one proof that bytes are what their digest says.

use std::io::Read as _;
use std::sync::atomic::{AtomicU64, Ordering};

use oci::{Digest, Hasher};
use rustix::fs::Advice;

use super::{Result, pool};
use crate::metadata::BlobRow;
use crate::storage::{self, Object, Objects};

/// What is read at a time: large enough that calls cost nothing beside hashing.
const PIECE: usize = 256 << 10;

/// What an object turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// What its row says.
    Good,
    /// Not there.
    Missing,
    /// Of another size.
    Size(u64),
    /// Of other content.
    Corrupt(Digest),
    /// The disk does not give it back.
    Unreadable(String),
}

/// Reads and hashes objects on all processors. `each` takes a verdict in any order, or `None` now and then, with the bytes
/// read so far; it ends everything by failing.
///
/// # Errors
/// What `rows` or `each` fail with.
pub fn verify(
    objects: &dyn Objects,
    rows: &mut (dyn Iterator<Item = Result<BlobRow>> + Send),
    each: &mut dyn FnMut(Option<(BlobRow, Verdict)>, u64) -> Result<()>,
) -> Result<()> {
    let read = AtomicU64::new(0);
    let work = |row: Result<BlobRow>| {
        row.map(|row| {
            let verdict = judge(objects, &row, &read);
            (row, verdict)
        })
    };
    let mut told = |judged: Option<Result<(BlobRow, Verdict)>>| each(judged.transpose()?, read.load(Ordering::Relaxed));
    pool::run(pool::processors(), rows, &work, &mut told)
}

fn judge(objects: &dyn Objects, row: &BlobRow, read: &AtomicU64) -> Verdict {
    let object = match objects.open(&row.key) {
        Ok(object) => object,
        Err(storage::Error::Missing(_)) => return Verdict::Missing,
        Err(error) => return Verdict::Unreadable(error.to_string()),
    };
    if object.size != row.size {
        return Verdict::Size(object.size);
    }
    match digest(&object, &row.digest, read) {
        Ok(found) if found == row.digest => Verdict::Good,
        Ok(found) => Verdict::Corrupt(found),
        Err(error) => Verdict::Unreadable(error.to_string()),
    }
}

/// Hashes an object; its bytes leave the page cache again, where what clients ask for is more welcome.
fn digest(object: &Object, expected: &Digest, read: &AtomicU64) -> std::io::Result<Digest> {
    let mut hasher = Hasher::new(expected.algorithm());
    let mut buffer = vec![0; PIECE];
    let mut file = &object.file;
    let _hint = rustix::fs::fadvise(file, 0, None, Advice::Sequential);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                hasher.update(&buffer[..count]);
                read.fetch_add(count as u64, Ordering::Relaxed);
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let _hint = rustix::fs::fadvise(file, 0, None, Advice::DontNeed);
    Ok(hasher.finish())
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Good => f.write_str("it is what it should be"),
            Self::Missing => f.write_str("its bytes are gone"),
            Self::Size(size) => write!(f, "it has {size} bytes, which is not its size"),
            Self::Corrupt(digest) => write!(f, "its content has the digest {digest}"),
            Self::Unreadable(why) => write!(f, "it cannot be read: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Error;
    use super::*;
    use crate::storage::{FsObjects, ObjectKey};

    #[test]
    fn every_kind_of_damage_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let objects = FsObjects::open(dir.path()).unwrap();
        let mut rows = Vec::new();
        for content in ["good", "longer", "other", "gone"] {
            let digest = Digest::sha256(content.as_bytes());
            let key = objects.put(&digest, content.as_bytes()).unwrap();
            rows.push(BlobRow { digest, size: content.len() as u64, key });
        }
        let path = |row: &BlobRow| dir.path().join("blobs").join(&row.key.0);
        std::fs::write(path(&rows[1]), "longest").unwrap();
        std::fs::write(path(&rows[2]), "othre").unwrap();
        objects.remove(&rows[3].key).unwrap();
        rows.push(BlobRow { key: ObjectKey("nonsense".to_owned()), ..rows[0].clone() });
        let mut found = Vec::new();
        let mut total = 0;
        verify(&objects, &mut rows.iter().cloned().map(Ok), &mut |judged, read| {
            total = read;
            found.extend(judged);
            Ok(())
        })
        .unwrap();
        found.sort_by_key(|(row, _)| rows.iter().position(|known| known.key == row.key));
        let verdicts: Vec<_> = found.into_iter().map(|(_, verdict)| verdict).collect();
        let corrupt = Verdict::Corrupt(Digest::sha256(b"othre"));
        assert_eq!(verdicts, [Verdict::Good, Verdict::Size(7), corrupt, Verdict::Missing, Verdict::Missing]);
        assert_eq!(total, 9);
    }

    #[test]
    fn a_failure_ends_it() {
        let dir = tempfile::tempdir().unwrap();
        let objects = FsObjects::open(dir.path()).unwrap();
        let key = objects.put(&Digest::sha256(b"x"), b"x").unwrap();
        let row = BlobRow { digest: Digest::sha256(b"x"), size: 1, key };
        let mut endless = std::iter::repeat_with(|| Ok(row.clone()));
        let mut left = 100;
        let outcome = verify(&objects, &mut endless, &mut |_, _| {
            left -= 1;
            if left == 0 { Err(Error::Interrupted) } else { Ok(()) }
        });
        assert!(matches!(outcome, Err(Error::Interrupted)));
    }
}
