//! Links, objects, mounts and their leases.

use std::time::Duration;

use oci::{Algorithm, Hasher};

use super::super::{BlobRow, Committed};
use super::Case;
use super::probe::{ALL, Image, Probe, blob, digest, name, ok};
use crate::storage::ObjectKey;
use crate::time::Instant;

pub(super) const CASES: &[Case] = &[
    a_link_shows_a_blob_in_its_repository_alone,
    the_first_of_two_equal_commits_wins,
    an_object_lives_until_its_last_link,
    mounts_share_an_object,
    leases_are_renewed,
    unlinked_blobs_are_gone,
    both_algorithms_are_digests,
    objects_are_listed_by_digest,
];

fn a_link_shows_a_blob_in_its_repository_alone(probe: Probe<'_>) {
    assert!(!probe.has_blob("a", "one"));
    assert_eq!(probe.link("a", "one", 1), Committed::Stored);
    assert_eq!(ok(probe.0.blob(&name("a"), &digest("one"))), Some(blob("one")));
    assert!(!probe.has_blob("b", "one"));
    assert!(!probe.has_blob("a/b", "one"));
    assert_eq!(ok(probe.0.object(&digest("one"))), Some(blob("one")));
    assert_eq!(ok(probe.0.object(&digest("two"))), None);
    // A blob is no manifest.
    assert!(!probe.has_manifest("a", "one"));
}

fn the_first_of_two_equal_commits_wins(probe: Probe<'_>) {
    probe.link("a", "one", 1);
    let second = BlobRow { key: ObjectKey("second".to_owned()), ..blob("one") };
    let existed = Committed::Existed(blob("one").key);
    assert_eq!(ok(probe.0.link_blob(&name("b"), &second, &[], Instant(2))), existed);
    assert_eq!(ok(probe.0.link_blob(&name("a"), &second, &[], Instant(2))), existed);
    assert_eq!(ok(probe.0.blob(&name("b"), &digest("one"))), Some(blob("one")));
    // The same commit told twice (a client that did not hear the answer) is no loss.
    assert_eq!(probe.link("a", "one", 3), Committed::Stored);
    assert_eq!(ok(probe.0.total_bytes()), 3);
    assert_eq!(probe.bytes("a"), Some(3));
}

fn an_object_lives_until_its_last_link(probe: Probe<'_>) {
    probe.link("a", "one", 1);
    probe.link("b", "one", 1);
    assert_eq!(ok(probe.0.holders(&digest("one"), 10)).len(), 2);
    assert_eq!(ok(probe.0.holders(&digest("one"), 1)).len(), 1);
    assert!(ok(probe.0.unlink_blob(&name("a"), &digest("one"))));
    assert_eq!(ok(probe.0.holders(&digest("one"), 10)), [name("b")]);
    assert_eq!(ok(probe.0.total_bytes()), 3);
    assert!(probe.collect(0).objects.is_empty());
    assert!(ok(probe.0.unlink_blob(&name("b"), &digest("one"))));
    assert_eq!(probe.collect(1).objects, [blob("one")]);
    assert_eq!(ok(probe.0.object(&digest("one"))), None);
    assert_eq!(ok(probe.0.total_bytes()), 0);
}

fn mounts_share_an_object(probe: Probe<'_>) {
    let mount = |from: &str| ok(probe.0.mount_blob(&name("b"), &digest("one"), &name(from), &[], Instant(5)));
    assert!(!mount("a"));
    assert!(ok(probe.0.repository(&name("b"))).is_none(), "a mount that failed leaves nothing");
    probe.link("a", "one", 1);
    assert!(mount("a"));
    assert!(mount("a"), "again is no error");
    assert!(mount("b"), "onto itself neither");
    assert_eq!(ok(probe.0.blob(&name("b"), &digest("one"))), Some(blob("one")));
    assert_eq!((probe.bytes("b"), ok(probe.0.total_bytes())), (Some(3), 3));
    assert_eq!(ok(probe.0.blob_touched(&name("b"), &digest("one"))), Some(Instant(5)));
    // A manifest is not mounted as a blob.
    probe.put(Image::new("a", "image"));
    assert!(!ok(probe.0.mount_blob(&name("b"), &digest("image"), &name("a"), &[], Instant(5))));
}

fn leases_are_renewed(probe: Probe<'_>) {
    let (a, one) = (name("a"), digest("one"));
    assert!(!ok(probe.0.touch_blob(&a, &one, Instant(1))));
    assert!(!ok(probe.0.renew_blob(&a, &one, Instant(1), Duration::ZERO)));
    probe.link("a", "one", 10);
    assert_eq!(ok(probe.0.blob_touched(&a, &one)), Some(Instant(10)));
    assert!(ok(probe.0.touch_blob(&a, &one, Instant(20))));
    assert!(ok(probe.0.touch_blob(&a, &one, Instant(15))), "a clock that went back takes no lease");
    assert_eq!(ok(probe.0.blob_touched(&a, &one)), Some(Instant(20)));
    assert!(ok(probe.0.renew_blob(&a, &one, Instant(25), Duration::from_millis(5))));
    assert_eq!(ok(probe.0.blob_touched(&a, &one)), Some(Instant(20)), "young leases are left alone");
    assert!(ok(probe.0.renew_blob(&a, &one, Instant(26), Duration::from_millis(5))));
    assert_eq!(ok(probe.0.blob_touched(&a, &one)), Some(Instant(26)));
    probe.link("a", "one", 30);
    assert_eq!(ok(probe.0.blob_touched(&a, &one)), Some(Instant(30)), "a finished upload is a lease");
    assert!(!ok(probe.0.touch_blob(&name("b"), &one, Instant(40))));
}

fn unlinked_blobs_are_gone(probe: Probe<'_>) {
    let unlink = || ok(probe.0.unlink_blob(&name("a"), &digest("one")));
    assert!(!unlink());
    probe.link("a", "one", 1);
    assert!(unlink());
    assert!(!unlink());
    assert!(!probe.has_blob("a", "one"));
    assert_eq!(probe.bytes("a"), None, "a repository without content is none");
    // It may come again before the object is collected, and shares it.
    let second = BlobRow { key: ObjectKey("second".to_owned()), ..blob("one") };
    let committed = ok(probe.0.link_blob(&name("a"), &second, &[], Instant(2)));
    assert_eq!(committed, Committed::Existed(blob("one").key));
    assert!(probe.collect(1).objects.is_empty());
}

fn both_algorithms_are_digests(probe: Probe<'_>) {
    let mut hasher = Hasher::new(Algorithm::Sha512);
    hasher.update(b"one");
    let long = BlobRow { digest: hasher.finish(), size: 3, key: ObjectKey("sha512/one".to_owned()) };
    ok(probe.0.link_blob(&name("a"), &long, &[], Instant(1)));
    probe.link("a", "one", 1);
    assert_eq!(ok(probe.0.blob(&name("a"), &long.digest)), Some(long));
    assert_eq!(probe.bytes("a"), Some(6));
}

fn objects_are_listed_by_digest(probe: Probe<'_>) {
    let mut rows: Vec<_> = ["one", "two", "three", "four"].map(blob).into();
    for text in ["one", "two", "three"] {
        probe.link("a", text, 1);
    }
    probe.put(Image::new("b", "four"));
    rows.sort_by_key(|row| row.digest);
    assert_eq!(ok(probe.0.objects(ALL)), rows);
    let after = rows[1].digest.to_string();
    let page = super::super::Page { after: Some(&after), limit: 1 };
    assert_eq!(ok(probe.0.objects(page)), rows[2..3]);
}
