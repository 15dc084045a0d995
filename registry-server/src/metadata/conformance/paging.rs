//! Lists come by pages, in ASCII order, from a mark that need not exist.

use super::super::Page;
use super::Case;
use super::probe::{ALL, Image, Probe, digest, name, ok};

pub(super) const CASES: &[Case] = &[tags_come_by_pages, repositories_come_by_pages, manifests_come_by_pages];

fn page(after: Option<&str>, limit: usize) -> Page<'_> {
    Page { after, limit }
}

fn tags_come_by_pages(probe: Probe<'_>) {
    let tags = ["A", "B", "_x", "a", "a.b", "a-b", "b", "v1", "v10", "v2"];
    probe.put(Image::new("a", "one").tags(&tags));
    probe.put(Image::new("b", "one").tags(&["other"]));
    let mut sorted = tags;
    sorted.sort_unstable();
    let list = |after, limit| -> Vec<String> {
        let rows = ok(probe.0.tags(&name("a"), page(after, limit)));
        rows.iter().map(|row| row.tag.as_str().to_owned()).collect()
    };
    assert_eq!(list(None, 100), sorted);
    assert_eq!(list(None, 0), [""; 0]);
    assert_eq!(list(None, 3), sorted[..3]);
    assert_eq!(list(Some(sorted[2]), 3), sorted[3..6]);
    assert_eq!(list(Some("v1"), 100), ["v10", "v2"]);
    assert_eq!(list(Some("v11"), 100), ["v2"], "the mark need not exist");
    assert_eq!(list(Some("zzz"), 100), [""; 0]);
    assert!(ok(probe.0.tags(&name("none"), ALL)).is_empty());
}

fn repositories_come_by_pages(probe: Probe<'_>) {
    for repository in ["b", "a/z", "a", "a-b", "a0"] {
        probe.link(repository, "one", 1);
    }
    let list = |after, limit| ok(probe.0.repositories(page(after, limit)));
    let names: Vec<_> = ["a", "a-b", "a/z", "a0", "b"].map(name).into();
    assert_eq!(list(None, 100), names);
    assert_eq!(list(Some("a"), 2), names[1..3]);
    assert_eq!(list(Some("a/"), 100), names[2..]);
    assert_eq!(list(None, 0), []);
    // What is empty is not there, and comes back with its content.
    probe.0.unlink_blob(&name("a-b"), &digest("one")).expect("unlinked");
    assert_eq!(list(Some("a"), 1), [name("a/z")]);
    probe.link("a-b", "two", 9);
    let row = ok(probe.0.repository(&name("a-b"))).expect("a row");
    assert_eq!((row.created.0, row.bytes, row.tags, row.manifests), (9, 3, 0, 0));
}

fn manifests_come_by_pages(probe: Probe<'_>) {
    let mut digests: Vec<_> = ["one", "two", "three", "four"].map(digest).into();
    digests.sort();
    for text in ["one", "two", "three", "four"] {
        probe.put(Image::new("a", text));
    }
    let after = digests[1].to_string();
    let rows = ok(probe.0.manifests(&name("a"), page(Some(&after), 1)));
    assert_eq!(rows.iter().map(|row| row.blob.digest).collect::<Vec<_>>(), digests[2..3]);
    assert_eq!(ok(probe.0.manifests(&name("a"), ALL)).len(), 4);
    assert!(ok(probe.0.manifests(&name("a"), page(Some("x"), 1))).is_empty());
}
