//! Manifests: what they must reference, what they pin, what goes with them.

use super::super::{Edge, EdgeKind, Error};
use super::Case;
use super::probe::{ALL, Image, Probe, blob, digest, name, ok, tag};
use crate::time::Instant;

pub(super) const CASES: &[Case] = &[
    a_manifest_is_what_was_put,
    what_is_absent_is_refused_and_nothing_is_written,
    sparse_manifests_count_what_comes_later,
    optional_references_may_be_absent,
    a_list_may_hold_any_content,
    another_type_for_the_same_bytes,
    deletion_takes_tags_along,
    bytes_are_counted_once,
    generations_rise,
];

fn a_manifest_is_what_was_put(probe: Probe<'_>) {
    probe.link("a", "config", 1);
    probe.link("a", "layer", 1);
    let image = Image::new("a", "image").layers(&["config", "layer", "layer"]).kind("a/b").subject("subject").at(7);
    probe.put(image.clone());
    let row = ok(probe.0.manifest(&name("a"), &digest("image"))).expect("a row");
    assert_eq!(row.blob, blob("image"));
    assert_eq!(row.media_type, image.0.media_type);
    assert_eq!((row.artifact_type.as_deref(), row.subject), (Some("a/b"), Some(digest("subject"))));
    assert_eq!((row.created, row.touched), (Instant(7), Instant(7)));
    assert_eq!(ok(probe.0.edges(&name("a"), &digest("image"))), image.0.edges);
    assert_eq!(ok(probe.0.manifests(&name("a"), ALL)), [row]);
    assert!(!probe.has_manifest("b", "image"));
    assert!(!probe.has_blob("a", "image"), "a manifest is no blob");
    let again = probe.put(image.at(9));
    assert_eq!(again, super::super::Committed::Stored);
    let row = ok(probe.0.manifest(&name("a"), &digest("image"))).expect("a row");
    assert_eq!((row.created, row.touched), (Instant(7), Instant(9)));
}

fn what_is_absent_is_refused_and_nothing_is_written(probe: Probe<'_>) {
    probe.link("a", "layer", 1);
    probe.link("b", "elsewhere", 1);
    let image = Image::new("a", "image").layers(&["layer", "none", "elsewhere", "none"]).tags(&["v1"]);
    match probe.0.put_manifest(&image.0) {
        Err(Error::Absent(absent)) => assert_eq!(absent, [digest("none"), digest("elsewhere")]),
        other => panic!("{other:?}"),
    }
    match probe.0.put_manifest(&Image::new("new", "image").lists(&["child"]).0) {
        Err(Error::Absent(absent)) => assert_eq!(absent, [digest("child")]),
        other => panic!("{other:?}"),
    }
    assert!(!probe.has_manifest("a", "image"));
    assert_eq!(probe.tagged("a", "v1"), None);
    assert_eq!(ok(probe.0.object(&digest("image"))), None);
    assert!(ok(probe.0.repository(&name("new"))).is_none());
    // The layer is not pinned by what was refused.
    assert_eq!(probe.collect(1).links.len(), 2);
}

fn sparse_manifests_count_what_comes_later(probe: Probe<'_>) {
    probe.put(Image::new("a", "index").lists(&["child"]).tags(&["v1"]).sparse().at(1));
    probe.put(Image::new("a", "child").layers(&["layer"]).sparse().at(2));
    probe.link("a", "layer", 3);
    assert_eq!(probe.collect(100), super::super::Collected::default(), "what came later is referenced");
    // The other order of arrival, and then the references break from the top.
    assert!(probe.delete_manifest("a", "index", 5));
    let gone = probe.collect(100);
    assert_eq!(gone.manifests, [(name("a"), digest("child"))]);
    assert_eq!(gone.links, [(name("a"), digest("layer"))]);
}

fn optional_references_may_be_absent(probe: Probe<'_>) {
    probe.put(Image::new("a", "image").layers(&["?foreign"]).tags(&["v1"]));
    probe.link("a", "?foreign", 1);
    assert!(probe.collect(100).links.is_empty(), "and pin what they name where it is there");
    let edges = ok(probe.0.edges(&name("a"), &digest("image")));
    let edge = Edge { kind: EdgeKind::Layer, digest: digest("?foreign"), size: 8, optional: true };
    assert_eq!(edges, [edge]);
}

fn a_list_may_hold_any_content(probe: Probe<'_>) {
    probe.link("a", "blob", 1);
    probe.put(Image::new("a", "child"));
    probe.put(Image::new("a", "index").lists(&["blob", "child"]).tags(&["v1"]));
    assert_eq!(probe.collect(100), super::super::Collected::default());
    // A layer is fetched as a blob: a manifest will not do.
    let wrong = Image::new("a", "wrong").layers(&["child"]);
    assert!(matches!(probe.0.put_manifest(&wrong.0), Err(Error::Absent(_))));
}

fn another_type_for_the_same_bytes(probe: Probe<'_>) {
    probe.put(Image::new("a", "image").tags(&["v1"]));
    probe.link("a", "layer", 1);
    let mut other = Image::new("a", "image").layers(&["layer"]).at(2);
    other.0.media_type = "application/vnd.docker.distribution.manifest.v2+json".to_owned();
    probe.put(other.clone());
    let row = ok(probe.0.manifest(&name("a"), &digest("image"))).expect("a row");
    assert_eq!(row.media_type, other.0.media_type);
    assert_eq!(ok(probe.0.edges(&name("a"), &digest("image"))), other.0.edges);
    assert_eq!(probe.collect(100), super::super::Collected::default(), "what the new type references is pinned");
}

fn deletion_takes_tags_along(probe: Probe<'_>) {
    probe.put(Image::new("a", "image").tags(&["v1", "keep"]));
    probe.put(Image::new("a", "other").tags(&["v2"]));
    let delete = |immutable: &dyn Fn(&oci::Tag) -> bool| {
        probe.0.delete_manifest(&name("a"), &digest("image"), immutable, "user:bob", Instant(5))
    };
    match delete(&|tag| tag.as_str() == "keep") {
        Err(Error::Immutable(tag)) => assert_eq!(tag, "keep"),
        other => panic!("{other:?}"),
    }
    assert!(probe.tagged("a", "v1").is_some() && probe.has_manifest("a", "image"), "nothing was written");
    assert!(ok(delete(&|tag| tag.as_str() == "v2")), "only its own tags are asked about");
    assert!(!ok(delete(&|_| true)), "it is gone");
    assert_eq!((probe.tagged("a", "v1"), probe.tagged("a", "keep")), (None, None));
    assert_eq!(probe.tagged("a", "v2"), Some(digest("other")));
    let history = ok(probe.0.history(&name("a"), &tag("v1"), 10));
    assert_eq!((history[0].digest, history[0].actor.as_str(), history[0].at), (None, "user:bob", Instant(5)));
    let row = ok(probe.0.repository(&name("a"))).expect("a row");
    assert_eq!((row.manifests, row.tags), (1, 1));
}

fn bytes_are_counted_once(probe: Probe<'_>) {
    probe.link("a", "same", 1);
    probe.put(Image::new("a", "same"));
    probe.put(Image::new("b", "same"));
    assert_eq!((probe.bytes("a"), probe.bytes("b"), ok(probe.0.total_bytes())), (Some(4), Some(4), 4));
    assert!(probe.delete_manifest("a", "same", 2));
    assert_eq!(probe.bytes("a"), Some(4));
    assert!(ok(probe.0.unlink_blob(&name("a"), &digest("same"))));
    assert_eq!((probe.bytes("a"), probe.bytes("b"), ok(probe.0.total_bytes())), (None, Some(4), 4));
}

fn generations_rise(probe: Probe<'_>) {
    let mut last = probe.0.generation(&name("a"));
    let mut rises = |what: &str| {
        let now = probe.0.generation(&name("a"));
        assert!(now > last, "{what}");
        last = now;
    };
    probe.put(Image::new("a", "image").tags(&["v1"]));
    rises("a manifest came");
    probe.put(Image::new("a", "image").tags(&["v2"]));
    rises("a tag came");
    probe.delete_tag("a", "v2", 3);
    rises("a tag went");
    probe.delete_manifest("a", "image", 4);
    rises("a manifest went");
    probe.put(Image::new("a", "image"));
    rises("a manifest came again");
    assert_eq!(probe.collect(100).manifests.len(), 1);
    rises("a manifest was collected");
}
