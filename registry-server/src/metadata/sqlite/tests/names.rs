//! The journal of names, and copies.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

#[test]
fn the_journal_tells_the_names() {
    let root = TempDir::new().unwrap();
    drop(filled(&root));
    let state = journal::replay(&root.path().join(JOURNAL)).unwrap();
    let names = &state.repositories[&name("a/b")];
    assert_eq!((state.damaged, names.blobs.len(), names.manifests.len(), names.history.len()), (0, 1, 1, 3));
    assert_eq!(names.tags[&"v1".parse().unwrap()].digest, digest("image"));
    assert!(!names.tags.contains_key(&"v2".parse().unwrap()));
}

/// A repository, its blobs, its tags.
type Told = (RepositoryName, Vec<Digest>, Vec<(Tag, Digest)>);

/// What the journal says that each repository holds: blobs, and tags with their manifests.
fn told(root: &Path) -> Vec<Told> {
    let state = journal::replay(&root.join(JOURNAL)).unwrap();
    assert_eq!(state.damaged, 0);
    let repositories = state.repositories.into_iter().filter(|(_, names)| !names.blobs.is_empty());
    let lists = repositories.map(|(name, names)| {
        let tags = names.tags.into_iter().map(|(tag, named)| (tag, named.digest)).collect();
        (name, names.blobs.into_keys().collect(), tags)
    });
    lists.collect()
}

fn held(metadata: &SqliteMetadata) -> Vec<Told> {
    let all = Page { after: None, limit: usize::MAX };
    let list = |name: RepositoryName| {
        let objects = metadata.objects(all).unwrap().into_iter().map(|row| row.digest);
        let blobs = objects.filter(|digest| metadata.blob(&name, digest).unwrap().is_some()).collect();
        let tags = metadata.tags(&name, all).unwrap().into_iter().map(|row| (row.tag, row.digest)).collect();
        (name, blobs, tags)
    };
    metadata.repositories(all).unwrap().into_iter().map(list).collect()
}

/// Writes from three threads until `done`.
fn busy(metadata: &SqliteMetadata, done: &AtomicBool, meanwhile: impl FnOnce()) {
    std::thread::scope(|scope| {
        for number in 0..3 {
            scope.spawn(move || {
                let repository = format!("busy/{number}");
                for round in 0.. {
                    let layer = format!("layer {number} {round}");
                    metadata.link_blob(&name(&repository), &blob(&layer), &[], Instant(round)).unwrap();
                    let tag = format!("v{}", round % 7);
                    let image = image(&repository, &format!("image {number} {round}"), &[&layer], &[&tag], round);
                    metadata.put_manifest(&image).unwrap();
                    if round % 5 == 0 {
                        let tag: Tag = tag.parse().unwrap();
                        metadata.delete_tag(&name(&repository), &tag, "user:bob", Instant(round)).unwrap();
                        metadata.unlink_blob(&name(&repository), &digest(&layer)).unwrap();
                    }
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
        }
        meanwhile();
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn the_journal_is_written_anew_while_others_write() {
    let root = TempDir::new().unwrap();
    let metadata = filled(&root);
    busy(&metadata, &AtomicBool::new(false), || {
        for _ in 0..20 {
            metadata.upkeep.distrust();
            metadata.renew_journal().unwrap();
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    });
    metadata.renew_journal().unwrap();
    assert_eq!(told(root.path()), held(&metadata));
    let first = std::fs::read_to_string(root.path().join(JOURNAL)).unwrap();
    assert!(first.starts_with("{\"op\":\"whole\",\"length\":"));
}

#[test]
fn a_journal_that_lacks_lines_is_written_anew() {
    for damage in ["", "{\"op\":\"blob\",", "not json\n"] {
        let root = TempDir::new().unwrap();
        drop(filled(&root));
        std::fs::write(root.path().join(JOURNAL), damage).unwrap();
        let metadata = SqliteMetadata::open(root.path()).unwrap();
        metadata.renew_journal().unwrap();
        assert_eq!(told(root.path()), held(&metadata), "{damage}");
        // The next start finds nothing to do.
        drop(metadata);
        let before = std::fs::metadata(root.path().join(JOURNAL)).unwrap().modified().unwrap();
        SqliteMetadata::open(root.path()).unwrap().renew_journal().unwrap();
        assert_eq!(std::fs::metadata(root.path().join(JOURNAL)).unwrap().modified().unwrap(), before);
    }
}

#[test]
fn a_journal_without_its_database_is_kept_for_a_rebuild() {
    let root = TempDir::new().unwrap();
    drop(filled(&root));
    let lines = std::fs::read(root.path().join(JOURNAL)).unwrap();
    std::fs::remove_file(root.path().join(DATABASE)).unwrap();
    match SqliteMetadata::open(root.path()) {
        Err(Error::Version(message)) => assert!(message.contains("fsck --rebuild"), "{message}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(std::fs::read(root.path().join(JOURNAL)).unwrap(), lines);
}

#[test]
fn a_copy_is_of_one_moment() {
    let (root, copy) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let metadata = filled(&root);
    busy(&metadata, &AtomicBool::new(false), || {
        std::thread::sleep(std::time::Duration::from_millis(100));
        metadata.backup(&copy.path().join(DATABASE)).unwrap();
    });
    assert!(metadata.backup(&copy.path().join(DATABASE)).is_err(), "nothing is written over");
    let restored = SqliteMetadata::open(copy.path()).unwrap();
    assert_eq!(restored.check().unwrap(), [""; 0]);
    assert!(restored.tag(&name("a/b"), &"v1".parse().unwrap()).unwrap().is_some());
    restored.renew_journal().unwrap();
    assert_eq!(told(copy.path()), held(&restored));
}
