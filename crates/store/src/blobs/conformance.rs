//! What every blob backend must do. A backend's own test calls [`run`] with a fresh place.

#![expect(clippy::unwrap_used, reason = "a suite for tests says what broke by panicking")]
use std::io::{Read, Seek, SeekFrom, Write};

use oci::{Algorithm, Digest, Hasher};

use super::{Blobs, Error, Expected};

/// Runs the whole suite against `blobs`, which must be empty.
///
/// # Panics
/// When the backend breaks a promise.
pub fn run(blobs: &dyn Blobs) {
    starts_empty(blobs);
    gives_back_what_was_put(blobs);
    refuses_wrong_bytes(blobs);
    shows_nothing_before_commit(blobs);
    accepts_the_same_twice(blobs);
    removes(blobs);
    knows_both_algorithms(blobs);
    takes_many_writers(blobs);
    bounds_reads(blobs);
}

fn starts_empty(blobs: &dyn Blobs) {
    assert_eq!(blobs.digests().unwrap(), []);
    let absent = Digest::sha256(b"absent");
    assert_eq!(blobs.size(&absent).unwrap(), None);
    assert!(matches!(blobs.reader(&absent), Err(Error::Missing { digest }) if digest == absent));
}

fn gives_back_what_was_put(blobs: &dyn Blobs) {
    for length in [0_usize, 1, 4096, 3 << 20] {
        let bytes: Vec<u8> = (0..length).map(|i| (i * 7 % 251) as u8).collect();
        let digest = blobs.put_bytes(&bytes).unwrap();
        assert_eq!(digest, Digest::sha256(&bytes));
        assert_eq!(blobs.size(&digest).unwrap(), Some(length as u64));
        let mut read = Vec::new();
        let mut reader = blobs.reader(&digest).unwrap();
        reader.read_to_end(&mut read).unwrap();
        assert!(read == bytes);
        reader.seek(SeekFrom::Start(length as u64 / 2)).unwrap();
        let mut half = Vec::new();
        reader.read_to_end(&mut half).unwrap();
        assert!(half == bytes[length / 2..]);
        assert!(blobs.digests().unwrap().contains(&digest));
    }
}

fn refuses_wrong_bytes(blobs: &dyn Blobs) {
    let before = blobs.digests().unwrap();
    let wanted = Digest::sha256(b"what was promised");
    let write = || {
        let mut writer = blobs.writer().unwrap();
        writer.write_all(b"something else").unwrap();
        assert_eq!(writer.written(), 14);
        writer
    };
    assert!(matches!(write().commit(wanted), Err(Error::Digest { .. })));
    let short = Expected { digest: None, size: Some(15) };
    assert!(matches!(write().commit(short), Err(Error::Size { expected: 15, actual: 14 })));
    assert_eq!(blobs.digests().unwrap(), before);
}

fn shows_nothing_before_commit(blobs: &dyn Blobs) {
    let digest = Digest::sha256(b"late");
    let mut writer = blobs.writer().unwrap();
    writer.write_all(b"late").unwrap();
    assert_eq!(blobs.size(&digest).unwrap(), None);
    drop(writer);
    assert_eq!(blobs.size(&digest).unwrap(), None);
}

fn accepts_the_same_twice(blobs: &dyn Blobs) {
    let first = blobs.put_bytes(b"twice").unwrap();
    let mut reader = blobs.reader(&first).unwrap();
    let mut writer = blobs.writer().unwrap();
    writer.write_all(b"twice").unwrap();
    assert_eq!(writer.commit(Expected::exactly(first, 5)).unwrap(), (first, 5));
    let mut read = String::new();
    reader.read_to_string(&mut read).unwrap();
    assert_eq!(read, "twice");
    blobs.keep(&first).unwrap();
}

fn removes(blobs: &dyn Blobs) {
    let digest = blobs.put_bytes(b"for the bin").unwrap();
    assert!(blobs.remove(&digest).unwrap());
    assert!(!blobs.remove(&digest).unwrap());
    assert_eq!(blobs.size(&digest).unwrap(), None);
}

fn knows_both_algorithms(blobs: &dyn Blobs) {
    let mut writer = blobs.writer_with(Algorithm::Sha512).unwrap();
    writer.write_all(b"long").unwrap();
    let (digest, _) = writer.commit(Expected::any()).unwrap();
    let mut hasher = Hasher::new(Algorithm::Sha512);
    hasher.update(b"long");
    assert_eq!(digest, hasher.finish());
    assert_eq!(blobs.read_bytes(&digest, 4).unwrap(), b"long");
}

fn takes_many_writers(blobs: &dyn Blobs) {
    std::thread::scope(|scope| {
        for thread in 0..8_u32 {
            scope.spawn(move || {
                for round in 0..8_u32 {
                    // Half of the contents collide between threads.
                    let bytes = format!("blob {} {round}", thread % 4).repeat(500);
                    let digest = blobs.put_bytes(bytes.as_bytes()).unwrap();
                    assert_eq!(blobs.read_bytes(&digest, 1 << 20).unwrap(), bytes.as_bytes());
                }
            });
        }
    });
}

fn bounds_reads(blobs: &dyn Blobs) {
    let digest = blobs.put_bytes(b"five!").unwrap();
    assert!(matches!(blobs.read_bytes(&digest, 4), Err(Error::TooLarge { size: 5, limit: 4, .. })));
    assert_eq!(blobs.read_bytes(&digest, 5).unwrap(), b"five!");
}
