//! What is collected: what nothing references and nobody asked for since the cutoff, and nothing else.

use super::super::{Collected, Cutoff};
use super::Case;
use super::probe::{Image, Probe, blob, digest, name, ok};
use crate::time::Instant;

pub(super) const CASES: &[Case] = &[
    unreferenced_blobs_go_after_their_lease,
    a_push_pins_what_it_references,
    trees_go_from_the_root,
    manifests_may_be_kept,
    shared_objects_stay,
    a_step_is_bounded,
    what_is_referenced_twice_stays,
    deleting_a_blob_makes_its_manifest_sparse,
];

fn unreferenced_blobs_go_after_their_lease(probe: Probe<'_>) {
    probe.link("a", "one", 10);
    probe.link("a", "two", 20);
    assert_eq!(probe.collect(9), Collected::default());
    let gone = probe.collect(10);
    assert_eq!((gone.links, gone.objects), (vec![(name("a"), digest("one"))], vec![blob("one")]));
    // A client was told that it is there.
    assert!(ok(probe.0.touch_blob(&name("a"), &digest("two"), Instant(30))));
    assert_eq!(probe.collect(29).links, []);
    let gone = probe.collect(30);
    assert_eq!((gone.links.len(), gone.objects), (1, vec![blob("two")]));
    assert!(!ok(probe.0.touch_blob(&name("a"), &digest("two"), Instant(40))), "and now is told that it is not");
}

fn a_push_pins_what_it_references(probe: Probe<'_>) {
    probe.link("a", "layer", 1);
    probe.put(Image::new("a", "image").layers(&["layer"]).tags(&["v1"]).at(2));
    assert_eq!(probe.collect(1_000), Collected::default());
    probe.put(Image::new("a", "next").tags(&["v1"]).at(50));
    assert_eq!(probe.collect(49), Collected::default(), "the image lost its tag at 50");
    let gone = probe.collect(50);
    assert_eq!(gone.manifests, [(name("a"), digest("image"))]);
    assert_eq!(gone.links, [(name("a"), digest("layer"))]);
    assert_eq!(gone.objects.len(), 2);
}

fn trees_go_from_the_root(probe: Probe<'_>) {
    for text in ["amd64 layer", "arm64 layer"] {
        probe.link("a", text, 1);
    }
    probe.put(Image::new("a", "amd64").layers(&["amd64 layer"]).at(1));
    probe.put(Image::new("a", "arm64").layers(&["arm64 layer"]).at(1));
    probe.put(Image::new("a", "index").lists(&["amd64", "arm64"]).tags(&["v1"]).at(1));
    probe.put(Image::new("a", "indexes").lists(&["index"]).tags(&["all"]).at(1));
    probe.put(Image::new("a", "signature").subject("amd64").at(1));
    probe.delete_tag("a", "v1", 2);
    assert_eq!(probe.collect(1_000), Collected::default());
    probe.delete_tag("a", "all", 3);
    let gone = probe.collect(1_000);
    assert_eq!((gone.manifests.len(), gone.links.len(), gone.objects.len()), (5, 2, 7));
    assert_eq!(probe.bytes("a"), None);
    assert_eq!(ok(probe.0.total_bytes()), 0);
}

fn manifests_may_be_kept(probe: Probe<'_>) {
    probe.link("a", "layer", 1);
    probe.link("a", "loose", 1);
    probe.put(Image::new("a", "image").layers(&["layer"]).at(1));
    let gone = probe.collect_by(&Cutoff { blobs: Instant(100), manifests: None, limit: 3 });
    assert!(gone.manifests.is_empty());
    assert_eq!(gone.links, [(name("a"), digest("loose"))]);
    // Blobs and manifests have cutoffs of their own.
    let gone = probe.collect_by(&Cutoff { blobs: Instant(0), manifests: Some(Instant(100)), limit: 3 });
    assert_eq!((gone.manifests.len(), gone.links.len(), gone.objects.len()), (1, 0, 0));
}

fn shared_objects_stay(probe: Probe<'_>) {
    probe.link("a", "layer", 1);
    probe.link("b", "layer", 1);
    probe.put(Image::new("b", "image").layers(&["layer"]).tags(&["v1"]).at(1));
    let gone = probe.collect(100);
    assert_eq!((gone.links.as_slice(), gone.objects.len()), ([(name("a"), digest("layer"))].as_slice(), 0));
    assert!(probe.has_blob("b", "layer"));
}

fn a_step_is_bounded(probe: Probe<'_>) {
    for number in 0..20 {
        probe.link("a", &format!("blob {number}"), number);
    }
    let cutoff = Cutoff { blobs: Instant(14), manifests: None, limit: 4 };
    let step = ok(probe.0.collect(&cutoff, false));
    assert_eq!((step.links.len(), step.objects.len()), (4, 0));
    assert!(step.links.contains(&(name("a"), digest("blob 0"))), "the oldest first");
    let gone = probe.collect_by(&cutoff);
    assert_eq!((gone.links.len(), gone.objects.len()), (11, 15));
    assert!(probe.has_blob("a", "blob 15"));
}

fn what_is_referenced_twice_stays(probe: Probe<'_>) {
    probe.link("a", "layer", 1);
    probe.put(Image::new("a", "one").layers(&["layer", "layer"]).tags(&["v1"]).at(1));
    probe.put(Image::new("a", "two").layers(&["layer"]).tags(&["v2"]).at(1));
    assert!(probe.delete_manifest("a", "two", 2));
    assert!(probe.collect(100).links.is_empty());
    probe.put(Image::new("a", "one").layers(&["layer", "layer"]).at(1));
    assert!(probe.delete_manifest("a", "one", 2));
    assert_eq!(probe.collect(100).links.len(), 1);
}

fn deleting_a_blob_makes_its_manifest_sparse(probe: Probe<'_>) {
    probe.link("a", "layer", 1);
    probe.put(Image::new("a", "image").layers(&["layer"]).tags(&["v1"]).at(1));
    assert!(ok(probe.0.unlink_blob(&name("a"), &digest("layer"))));
    assert_eq!(probe.collect(100).objects, [blob("layer")]);
    assert!(probe.has_manifest("a", "image"));
    // It comes back, and is referenced as before.
    probe.link("a", "layer", 2);
    assert_eq!(probe.collect(100), Collected::default());
}
