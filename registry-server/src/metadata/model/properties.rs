//! The backend against the maps: every answer, and in the end everything that can be read; then once more after opening
//! again, and once more from the journal.

use std::collections::BTreeMap;

use oci::{Digest, RepositoryName, Tag};
use proptest::prelude::*;
use tempfile::TempDir;

use super::super::sqlite::{JOURNAL, SqliteMetadata, journal};
use super::super::{Metadata, Page, Quota};
use super::maps::{Manifest, Maps, Repository};
use super::operation::{BLOBS, REPOSITORIES, SHAPES, TAGS, blob, manifest, media_type, operation, repository, tag};

const ALL: Page<'static> = Page { after: None, limit: 1000 };

/// Everything that the backend tells of a repository.
fn read(metadata: &dyn Metadata, name: &RepositoryName) -> Repository {
    let mut found = Repository::default();
    for row in (0..BLOBS).map(blob).chain((0..SHAPES.len()).map(manifest)) {
        if let Some(row) = metadata.blob(name, &row.digest).unwrap() {
            let touched = metadata.blob_touched(name, &row.digest).unwrap().unwrap();
            found.links.insert(row.digest, (row.size, touched.0));
        }
    }
    for row in metadata.manifests(name, ALL).unwrap() {
        let media_type = [false, true].map(media_type).into_iter().find(|known| *known == row.media_type).unwrap();
        let edges = metadata.edges(name, &row.blob.digest).unwrap();
        let manifest =
            Manifest { size: row.blob.size, media_type, touched: row.touched.0, subject: row.subject, edges };
        found.manifests.insert(row.blob.digest, manifest);
    }
    for row in metadata.tags(name, ALL).unwrap() {
        found.tags.insert(row.tag, row.digest);
    }
    for tag in (0..TAGS.len()).map(tag) {
        let rows = metadata.history(name, &tag, 1000).unwrap();
        if !rows.is_empty() {
            found.history.insert(tag, rows.into_iter().rev().map(|row| (row.digest, row.at.0)).collect());
        }
    }
    found
}

fn compare(metadata: &dyn Metadata, maps: &Maps) {
    let mut names = Vec::new();
    for name in (0..REPOSITORIES.len()).map(repository) {
        let expected = maps.repositories.get(&name).cloned().unwrap_or_default();
        assert_eq!(read(metadata, &name), expected, "{name}");
        let shown = !(expected.links.is_empty() && expected.manifests.is_empty());
        let row = metadata.repository(&name).unwrap();
        assert_eq!(row.is_some(), shown, "{name}");
        if let Some(row) = row {
            let counts = (row.bytes, row.tags, row.manifests);
            assert_eq!(
                counts,
                (expected.bytes(), expected.tags.len() as u64, expected.manifests.len() as u64),
                "{name}"
            );
            names.push(name.clone());
        }
        for subject in (0..SHAPES.len()).map(|number| manifest(number).digest) {
            let referrers = metadata.referrers(&name, &subject, None, ALL).unwrap();
            let found: Vec<Digest> = referrers.into_iter().map(|descriptor| descriptor.digest).collect();
            let manifests = expected.manifests.iter().filter(|(_, manifest)| manifest.subject == Some(subject));
            assert_eq!(found, manifests.map(|(digest, _)| *digest).collect::<Vec<_>>(), "{name}");
        }
    }
    assert_eq!(metadata.repositories(ALL).unwrap(), names);
    assert_eq!(metadata.check().unwrap(), [""; 0]);
    let objects = metadata.objects(ALL).unwrap().into_iter().map(|row| (row.digest, (row.key, row.size)));
    let expected = maps.objects.iter().map(|(digest, (key, size, _))| (*digest, (key.clone(), *size)));
    assert_eq!(objects.collect::<BTreeMap<_, _>>(), expected.collect::<BTreeMap<_, _>>());
    assert_eq!(metadata.total_bytes().unwrap(), maps.objects.values().map(|(_, size, _)| size).sum::<u64>());
}

/// What the journal tells is what the maps hold.
fn compare_journal(root: &TempDir, maps: &Maps) {
    let mut state = journal::replay(&root.path().join(JOURNAL)).unwrap();
    assert_eq!(state.damaged, 0);
    for (name, expected) in &maps.repositories {
        let names = state.repositories.remove(name).unwrap_or_default();
        assert!(names.blobs.keys().eq(expected.links.keys()), "{name}");
        let told = names.manifests.iter().map(|(digest, manifest)| (*digest, manifest.media_type.clone()));
        let held = expected.manifests.iter().map(|(digest, manifest)| (*digest, manifest.media_type.to_owned()));
        assert!(told.eq(held), "{name}");
        assert!(names.tags.iter().map(|(tag, named)| (tag, &named.digest)).eq(&expected.tags), "{name}");
        let mut history: BTreeMap<Tag, Vec<_>> = BTreeMap::new();
        for moved in names.history {
            history.entry(moved.tag).or_default().push((moved.digest, moved.at.0));
        }
        assert_eq!(history, expected.history, "{name}");
    }
    assert!(state.repositories.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_backend_does_what_the_maps_do(
        operations in proptest::collection::vec(operation(), 1..80),
        limits in proptest::option::of((20..60_u64, 15..40_u64)),
    ) {
        let root = TempDir::new().unwrap();
        let metadata = SqliteMetadata::open(root.path()).unwrap();
        let mut maps = Maps::default();
        let quotas = limits.map_or_else(Vec::new, |(all, below)| vec![
            Quota { prefix: String::new(), limit: all },
            Quota { prefix: "a".to_owned(), limit: below },
        ]);
        for (operation, at) in operations.iter().zip(100..) {
            let expected = maps.run(operation, &quotas, at);
            let found = operation.run(&metadata, &quotas, at);
            prop_assert_eq!(found, expected, "{:?} at {}", operation, at);
        }
        compare(&metadata, &maps);
        drop(metadata);
        compare_journal(&root, &maps);
        // A journal that lacks something is written anew.
        std::fs::write(root.path().join(JOURNAL), "torn").unwrap();
        let metadata = SqliteMetadata::open(root.path()).unwrap();
        compare(&metadata, &maps);
        metadata.renew_journal().unwrap();
        compare_journal(&root, &maps);
    }
}
