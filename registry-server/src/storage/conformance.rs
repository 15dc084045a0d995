//! What every place for bytes has to do. For whoever writes one: call [`run`] from a test.

use std::any::Any;
use std::io::Read;
use std::os::unix::fs::FileExt;

use oci::{Algorithm, Digest, Hasher};

use super::{Error, ObjectKey, Objects, UploadId};

/// Makes an empty backend, and what has to live as long as it does.
pub type Make<'a> = &'a dyn Fn() -> (Box<dyn Objects>, Box<dyn Any>);

/// Runs every case, each on a backend of its own.
///
/// # Panics
/// When the backend fails a case.
pub fn run(make: Make<'_>) {
    for case in [
        uploads_grow_and_become_objects,
        writers_cut_what_lies_beyond,
        what_is_not_there_is_missing,
        equal_bytes_get_keys_of_their_own,
        aborted_uploads_are_gone,
        commits_are_recalled,
        objects_are_walked,
        open_objects_survive_their_removal,
        concurrent_commits_are_all_kept,
        there_is_space,
    ] {
        let (objects, _kept) = make();
        case(objects.as_ref());
    }
}

fn upload(objects: &dyn Objects, bytes: &[u8]) -> UploadId {
    let id = UploadId::random().expect("an id");
    objects.begin(&id).expect("begin");
    objects.writer(&id, 0).expect("writer").append(bytes).expect("append");
    id
}

fn read(objects: &dyn Objects, key: &ObjectKey) -> Vec<u8> {
    let mut object = objects.open(key).expect("open");
    let mut bytes = Vec::new();
    object.file.read_to_end(&mut bytes).expect("read");
    assert_eq!(bytes.len() as u64, object.size);
    bytes
}

fn missing<T>(result: super::Result<T>) -> bool {
    matches!(result, Err(Error::Missing(_)))
}

fn uploads_grow_and_become_objects(objects: &dyn Objects) {
    let id = UploadId::random().expect("an id");
    assert_eq!(objects.length(&id).expect("length"), None);
    objects.begin(&id).expect("begin");
    assert_eq!(objects.length(&id).expect("length"), Some(0));
    let mut writer = objects.writer(&id, 0).expect("writer");
    writer.expect(9);
    writer.append(b"one ").expect("append");
    writer.append(b"").expect("append");
    drop(writer);
    assert_eq!(objects.length(&id).expect("length"), Some(4));
    let mut writer = objects.writer(&id, 4).expect("writer");
    writer.append(b"two").expect("append");
    assert_eq!(objects.uploads().expect("uploads"), std::slice::from_ref(&id));
    let partial = objects.partial(&id).expect("partial");
    let mut tail = [0; 3];
    partial.file.read_exact_at(&mut tail, 4).expect("read");
    assert_eq!((&tail, partial.size), (b"two", 7));
    drop(writer);
    let key = objects.commit(&id, &Digest::sha256(b"one two")).expect("commit");
    assert_eq!(read(objects, &key), b"one two");
    assert_eq!(objects.length(&id).expect("length"), None);
    assert!(objects.uploads().expect("uploads").is_empty());
    assert!(objects.remove(&key).expect("remove"));
    assert!(!objects.remove(&key).expect("remove"));
    assert!(missing(objects.open(&key)));
}

fn writers_cut_what_lies_beyond(objects: &dyn Objects) {
    let id = upload(objects, b"0123456789");
    assert!(missing(objects.writer(&id, 11)));
    objects.writer(&id, 4).expect("writer").append(b"x").expect("append");
    assert_eq!(objects.length(&id).expect("length"), Some(5));
    let key = objects.commit(&id, &Digest::sha256(b"0123x")).expect("commit");
    assert_eq!(read(objects, &key), b"0123x");
}

fn what_is_not_there_is_missing(objects: &dyn Objects) {
    let id = UploadId::random().expect("an id");
    assert!(missing(objects.writer(&id, 0)));
    assert!(missing(objects.partial(&id)));
    assert!(missing(objects.commit(&id, &Digest::sha256(b""))));
    objects.abort(&id).expect("abort");
    for key in ["", "..", "../x", "/etc/passwd", "sha256/x"] {
        let key = ObjectKey(key.to_owned());
        assert!(missing(objects.open(&key)), "{key:?}");
        assert!(!objects.remove(&key).expect("remove"));
    }
}

fn equal_bytes_get_keys_of_their_own(objects: &dyn Objects) {
    let digest = Digest::sha256(b"same");
    let first = objects.put(&digest, b"same").expect("put");
    let second = objects.put(&digest, b"same").expect("put");
    let third = objects.commit(&upload(objects, b"same"), &digest).expect("commit");
    assert!(first != second && second != third && first != third);
    assert!(objects.remove(&second).expect("remove"));
    assert_eq!(read(objects, &first), b"same");
    assert_eq!(read(objects, &third), b"same");
}

fn aborted_uploads_are_gone(objects: &dyn Objects) {
    let id = upload(objects, b"half");
    objects.abort(&id).expect("abort");
    assert_eq!(objects.length(&id).expect("length"), None);
    assert!(missing(objects.writer(&id, 0)));
    objects.abort(&id).expect("abort");
}

fn commits_are_recalled(objects: &dyn Objects) {
    let (id, digest) = (upload(objects, b"whole"), Digest::sha256(b"whole"));
    let key = objects.key(&id, &digest);
    assert!(!objects.recall(&id, &key).expect("recall"), "nothing was committed");
    assert_eq!(objects.commit(&id, &digest).expect("commit"), key);
    assert!(objects.recall(&id, &key).expect("recall"));
    assert!(missing(objects.open(&key)));
    assert_eq!(objects.length(&id).expect("length"), Some(5));
    assert_eq!(objects.commit(&id, &digest).expect("commit"), key);
    assert_eq!(read(objects, &key), b"whole");
    assert!(!objects.recall(&id, &ObjectKey("../x".to_owned())).expect("recall"));
}

fn objects_are_walked(objects: &dyn Objects) {
    let mut hasher = Hasher::new(Algorithm::Sha512);
    hasher.update(b"long");
    let mut expected = vec![
        (objects.put(&Digest::sha256(b""), b"").expect("put"), Digest::sha256(b""), 0),
        (objects.put(&Digest::sha256(b"abc"), b"abc").expect("put"), Digest::sha256(b"abc"), 3),
    ];
    let long = hasher.finish();
    expected.push((objects.put(&long, b"long").expect("put"), long, 4));
    upload(objects, b"not an object yet");
    let mut found = Vec::new();
    let mut each = |key, digest, size| {
        found.push((key, digest, size));
        Ok(())
    };
    objects.walk(&mut each).expect("walk");
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
    let stopped = objects.walk(&mut |key, _, _| Err(Error::Missing(key.0)));
    assert!(missing(stopped));
}

fn open_objects_survive_their_removal(objects: &dyn Objects) {
    let key = objects.put(&Digest::sha256(b"kept"), b"kept").expect("put");
    let mut object = objects.open(&key).expect("open");
    assert!(objects.remove(&key).expect("remove"));
    let mut text = String::new();
    object.file.read_to_string(&mut text).expect("read");
    assert_eq!(text, "kept");
}

fn concurrent_commits_are_all_kept(objects: &dyn Objects) {
    let keys: Vec<ObjectKey> = std::thread::scope(|scope| {
        let one = |n: usize| {
            let bytes = vec![n as u8; n + 1];
            let digest = Digest::sha256(&bytes);
            let key = objects.commit(&upload(objects, &bytes), &digest).expect("commit");
            assert_eq!(read(objects, &key), bytes);
            key
        };
        let threads: Vec<_> = (0..16).map(|n| scope.spawn(move || one(n))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert_eq!(keys.len(), 16);
}

fn there_is_space(objects: &dyn Objects) {
    let space = objects.space().expect("space");
    assert!(space.free > 0 && space.free <= space.total);
}
