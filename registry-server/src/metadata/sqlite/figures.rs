//! How fast it is, on the file system of `$ESTIBA_FIGURES`: `cargo test --release figures -- --ignored --nocapture`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant as Clock};

use rusqlite::params;

use super::row::Key;
use super::*;
use crate::storage::ObjectKey;

/// Blobs of the large registry, and tags of its large repository.
const BLOBS: i64 = 1_000_000;
const TAGS: i64 = 100_000;

fn place() -> tempfile::TempDir {
    let root = std::env::var_os("ESTIBA_FIGURES").map_or_else(std::env::temp_dir, PathBuf::from);
    tempfile::tempdir_in(root).unwrap()
}

fn digest(number: i64) -> Digest {
    Digest::sha256(&number.to_le_bytes())
}

fn blob(number: i64) -> BlobRow {
    let digest = digest(number);
    BlobRow { digest, size: 4096, key: ObjectKey(format!("sha256/{}.01234567", digest.hex())) }
}

/// Links blobs from many threads for a while; how many a second, and the longest that one took.
fn commits(metadata: &SqliteMetadata, callers: i64) -> String {
    let begun = Clock::now();
    let (count, longest) = std::thread::scope(|scope| {
        let work = |caller: i64| {
            let repository: RepositoryName = format!("team/app{caller}").parse().unwrap();
            let (mut done, mut longest) = (0, Duration::ZERO);
            while begun.elapsed() < Duration::from_secs(3) {
                let row = blob(callers << 50 | caller << 40 | done);
                let begun = Clock::now();
                metadata.link_blob(&repository, &row, &[], Instant(done)).unwrap();
                longest = longest.max(begun.elapsed());
                done += 1;
            }
            (done, longest)
        };
        let threads: Vec<_> = (0..callers).map(|caller| scope.spawn(move || work(caller))).collect();
        let done = threads.into_iter().map(|thread| thread.join().unwrap());
        done.fold((0, Duration::ZERO), |(count, longest), (more, other)| (count + more, longest.max(other)))
    });
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    format!("{callers} callers: {rate:.0} commits/s, the longest took {longest:?}")
}

#[test]
#[ignore = "takes a minute; it prints figures"]
fn figures() {
    let root = place();
    let metadata = SqliteMetadata::open(root.path()).unwrap();
    for callers in [1, 2, 8, 64] {
        println!("{}", commits(&metadata, callers));
    }
    drop(metadata);
    fill(root.path());
    let begun = Clock::now();
    let metadata = SqliteMetadata::open(root.path()).unwrap();
    let opened = begun.elapsed();
    let size = std::fs::metadata(root.path().join(DATABASE)).unwrap().len() >> 20;
    let large: RepositoryName = "large".parse().unwrap();
    assert!(metadata.blob(&large, &digest(-600_000)).unwrap().is_some());
    println!("open with {BLOBS} blobs ({size} MiB): {opened:?}; first read after {:?}", begun.elapsed());
    pages(&metadata, &large);
    reads(&metadata, &large);
    for callers in [1, 8] {
        println!("with {BLOBS} blobs, {}", commits(&metadata, callers));
    }
    after_a_crash(root.path());
    let begun = Clock::now();
    metadata.backup(&root.path().join("copy")).unwrap();
    println!("backup: {:?}", begun.elapsed());
}

/// Opens what a killed process would leave: the files as they are while they are open.
fn after_a_crash(root: &Path) {
    let copy = place();
    for file in [DATABASE, "metadata.sqlite-wal", UPLOADS, JOURNAL] {
        std::fs::copy(root.join(file), copy.path().join(file)).unwrap();
    }
    let log = std::fs::metadata(root.join("metadata.sqlite-wal")).unwrap().len() >> 20;
    let begun = Clock::now();
    let metadata = SqliteMetadata::open(copy.path()).unwrap();
    println!("open after a crash, with a log of {log} MiB: {:?}", begun.elapsed());
    drop(metadata);
}

fn timed<T>(what: &str, call: impl Fn() -> T) {
    call();
    let begun = Clock::now();
    for _ in 0..200 {
        call();
    }
    println!("{what}: {:?}", begun.elapsed() / 200);
}

fn pages(metadata: &SqliteMetadata, large: &RepositoryName) {
    for after in [None, Some("v050000"), Some("v099000")] {
        let page = Page { after, limit: 100 };
        timed(&format!("100 of {TAGS} tags after {after:?}"), || metadata.tags(large, page).unwrap());
    }
    let page = Page { after: Some("team"), limit: 100 };
    timed("a page of the catalog", || metadata.repositories(page).unwrap());
    let page = Page { after: None, limit: 100 };
    timed("a page of 100,000 referrers", || metadata.referrers(large, &digest(-1), None, page).unwrap());
    timed("the same, filtered", || metadata.referrers(large, &digest(-1), Some("example/rare"), page).unwrap());
}

fn reads(metadata: &SqliteMetadata, large: &RepositoryName) {
    let tag: Tag = "v050000".parse().unwrap();
    timed("a tag", || metadata.tag(large, &tag).unwrap().unwrap());
    timed("a manifest", || metadata.manifest(large, &digest(-50_000)).unwrap().unwrap());
    timed("a blob", || metadata.blob(large, &digest(-600_000)).unwrap().unwrap());
}

/// Rows as the operations would write them, laid at once: a repository with all blobs, tags and referrers.
fn fill(root: &Path) {
    let mut connection = schema::METADATA.open(&root.join(DATABASE)).unwrap();
    let transaction = connection.transaction().unwrap();
    let sql =
        "INSERT INTO repositories (name, created, bytes, contents, manifests, tags) VALUES ('large', 1, 1, 1, 1, 1)";
    transaction.execute(sql, []).unwrap();
    let id = transaction.last_insert_rowid();
    let mut digests: Vec<_> = (1..=BLOBS).map(|number| (digest(-number), number)).collect();
    digests.sort();
    for (digest, number) in digests {
        let (key, object) = (Key(digest), format!("sha256/{}.01234567", digest.hex()));
        let run = |sql, values: &[&dyn rusqlite::ToSql]| {
            transaction.prepare_cached(sql).unwrap().execute(values).unwrap();
        };
        run("INSERT INTO objects VALUES (?1, 4096, ?2, 1, 1)", params![key, object]);
        if number > TAGS {
            run("INSERT INTO links VALUES (?1, ?2, 4096, 1, 1)", params![id, key]);
            continue;
        }
        let kind = if number % 1000 == 0 { "example/rare" } else { "example/common" };
        let sql = "INSERT INTO manifests VALUES (?1, ?2, 4096, 'm', ?3, NULL, ?4, 1, 1, 1)";
        run(sql, params![id, key, kind, Key(self::digest(-1))]);
        run("INSERT INTO tags VALUES (?1, ?2, ?3, 1)", params![id, format!("v{number:06}"), key]);
    }
    transaction.commit().unwrap();
}
