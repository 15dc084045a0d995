//! A disk that is full, and has room again.

use std::path::PathBuf;

use super::*;

/// Lets the database grow no further, or as far as it likes.
fn limit(metadata: &SqliteMetadata, pages: i64) {
    let set = move |change: &mut change::Change<'_>| {
        let pragma = format!("PRAGMA max_page_count = {pages}");
        change.connection().query_row(&pragma, [], |_| Ok(()))?;
        Ok(())
    };
    metadata.writer.run(set).unwrap();
}

/// Links blobs from many threads until one is refused; the texts of those that were acknowledged.
fn link_until_full(metadata: &SqliteMetadata, round: usize) -> Vec<String> {
    let link = |caller: usize| {
        let mut done = Vec::new();
        for number in 0..100_000 {
            let text = format!("blob {round} {caller} {number}");
            match metadata.link_blob(&name("a/b"), &blob(&text), &[], Instant(1)) {
                Ok(_) => done.push(text),
                Err(Error::Full) => return done,
                Err(error) => panic!("{error}"),
            }
        }
        panic!("it was never full");
    };
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..4).map(|caller| scope.spawn(move || link(caller))).collect();
        callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect()
    })
}

fn all_there(metadata: &SqliteMetadata, texts: &[String]) {
    for text in texts {
        assert!(metadata.blob(&name("a/b"), &digest(text)).unwrap().is_some(), "{text}");
    }
    assert_eq!(metadata.check().unwrap(), [""; 0]);
}

#[test]
fn a_full_database_refuses_loses_nothing_and_goes_on() {
    let root = TempDir::new().unwrap();
    let metadata = filled(&root);
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        limit(&metadata, 1);
        acknowledged.extend(link_until_full(&metadata, round));
        all_there(&metadata, &acknowledged);
        limit(&metadata, 1_000_000);
        metadata.link_blob(&name("a/b"), &blob("room again"), &[], Instant(1)).unwrap();
        // Make the next limit be reached.
        for number in 0..50 {
            let text = format!("more {round} {number}");
            metadata.link_blob(&name("a/b"), &blob(&text), &[], Instant(1)).unwrap();
            acknowledged.push(text);
        }
    }
    drop(metadata);
    all_there(&SqliteMetadata::open(root.path()).unwrap(), &acknowledged);
}

/// On a small file system of its own: `mount -t tmpfs -o size=8M none DIR`, and `ESTIBA_SMALL_DISK=DIR`.
#[test]
#[ignore = "needs a small file system of its own"]
fn a_full_disk_refuses_loses_nothing_and_goes_on() {
    let root = PathBuf::from(std::env::var_os("ESTIBA_SMALL_DISK").unwrap());
    let metadata = SqliteMetadata::open(&root).unwrap();
    let ballast = root.join("ballast");
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        acknowledged.extend(link_until_full(&metadata, round));
        all_there(&metadata, &acknowledged);
        // Somebody makes room: the first round's space was taken by a file.
        if round == 0 {
            std::fs::remove_file(&ballast).unwrap();
        }
        if round == 1 {
            break;
        }
        metadata.link_blob(&name("a/b"), &blob("room again"), &[], Instant(1)).unwrap();
        metadata.renew_journal().unwrap();
    }
    drop(metadata);
    all_there(&SqliteMetadata::open(&root).unwrap(), &acknowledged);
}
