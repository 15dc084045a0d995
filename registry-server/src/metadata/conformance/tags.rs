//! Tags, how they may be written, and their history.

use super::super::{Error, Existing, HistoryRow, TagWrite};
use super::Case;
use super::probe::{ALL, Image, Probe, digest, name, ok, tag};
use crate::time::Instant;

pub(super) const CASES: &[Case] = &[
    tags_move_and_remember,
    conditions_hold_in_the_transaction,
    a_tag_is_set_onto_what_is_there,
    deleting_a_tag_keeps_what_it_named,
    a_tag_is_deleted_as_it_was_seen,
    many_tags_in_one_put,
];

fn tags_move_and_remember(probe: Probe<'_>) {
    probe.put(Image::new("a", "one").tags(&["v"]).at(1));
    probe.put(Image::new("a", "two").tags(&["v"]).at(2));
    probe.put(Image::new("a", "two").tags(&["v"]).at(3));
    assert_eq!(probe.tagged("a", "v"), Some(digest("two")));
    let row = ok(probe.0.tag(&name("a"), &tag("v"))).expect("a row");
    assert_eq!(row.updated, Instant(2), "naming it again is no update");
    probe.delete_tag("a", "v", 4);
    let history = ok(probe.0.history(&name("a"), &tag("v"), 10));
    let expected: Vec<_> =
        [(Some(digest("one")), 1, "user:ann"), (Some(digest("two")), 2, "user:ann"), (None, 4, "user:bob")]
            .into_iter()
            .rev()
            .collect();
    let found: Vec<_> = history.iter().map(|row| (row.digest, row.at.0, row.actor.as_str())).collect();
    assert_eq!(found, expected);
    assert!(history.windows(2).all(|pair| pair[0].sequence > pair[1].sequence));
    let newest: Vec<HistoryRow> = ok(probe.0.history(&name("a"), &tag("v"), 1));
    assert_eq!(newest, history[..1]);
    assert!(ok(probe.0.history(&name("a"), &tag("w"), 10)).is_empty());
    assert!(ok(probe.0.history(&name("b"), &tag("v"), 10)).is_empty());
}

fn conditions_hold_in_the_transaction(probe: Probe<'_>) {
    probe.put(Image::new("a", "one").tags(&["v"]));
    let write = |text: &str, existing| probe.0.put_manifest(&Image::new("a", text).tags_if(&["new", "v"], existing).0);
    match write("two", Existing::Deny) {
        Err(Error::UpdateDenied(tag)) => assert_eq!(tag, "v"),
        other => panic!("{other:?}"),
    }
    match write("two", Existing::Immutable) {
        Err(Error::Immutable(tag)) => assert_eq!(tag, "v"),
        other => panic!("{other:?}"),
    }
    assert!(!probe.has_manifest("a", "two"), "nothing was written");
    assert_eq!(probe.tagged("a", "new"), None, "not even the tag that might have been");
    // Pushing what is there already changes nothing, and is allowed.
    ok(write("one", Existing::Immutable));
    ok(write("one", Existing::Deny));
    assert_eq!(probe.tagged("a", "new"), Some(digest("one")));
    ok(write("two", Existing::Move));
    assert_eq!(probe.tagged("a", "v"), Some(digest("two")));
}

fn a_tag_is_set_onto_what_is_there(probe: Probe<'_>) {
    let set = |text: &str, existing, at| {
        let write = TagWrite { tag: tag("v"), existing };
        probe.0.set_tag(&name("a"), &write, &digest(text), "user:eve", Instant(at))
    };
    assert!(!ok(set("one", Existing::Move, 1)));
    probe.put(Image::new("a", "one"));
    probe.put(Image::new("a", "two"));
    assert!(ok(set("one", Existing::Deny, 2)));
    assert!(matches!(set("two", Existing::Deny, 3), Err(Error::UpdateDenied(_))));
    assert!(matches!(set("two", Existing::Immutable, 3), Err(Error::Immutable(_))));
    assert!(!ok(set("none", Existing::Move, 3)));
    assert_eq!(probe.tagged("a", "v"), Some(digest("one")));
    assert!(ok(set("two", Existing::Move, 4)));
    assert_eq!(ok(probe.0.history(&name("a"), &tag("v"), 1))[0].actor, "user:eve");
}

fn deleting_a_tag_keeps_what_it_named(probe: Probe<'_>) {
    probe.put(Image::new("a", "one").tags(&["v", "w"]).at(1));
    assert!(!probe.delete_tag("a", "x", 5));
    assert!(!probe.delete_tag("b", "v", 5));
    assert!(probe.delete_tag("a", "v", 5));
    assert!(!probe.delete_tag("a", "v", 6));
    assert!(probe.has_manifest("a", "one"));
    assert!(probe.collect(100).manifests.is_empty(), "another tag names it");
    assert!(probe.delete_tag("a", "w", 7));
    assert!(probe.collect(6).manifests.is_empty(), "it waits from when it lost its last tag");
    assert_eq!(probe.collect(7).manifests.len(), 1);
}

fn a_tag_is_deleted_as_it_was_seen(probe: Probe<'_>) {
    probe.put(Image::new("a", "one").tags(&["v"]));
    let delete = |text: &str| ok(probe.0.delete_tag_of(&name("a"), &tag("v"), &digest(text), "user:bob", Instant(2)));
    assert!(!delete("two"));
    assert_eq!(probe.tagged("a", "v"), Some(digest("one")));
    assert!(delete("one"));
    assert!(!delete("one"));
}

fn many_tags_in_one_put(probe: Probe<'_>) {
    let tags: Vec<String> = (0..40).map(|number| format!("v{number:02}")).collect();
    let texts: Vec<&str> = tags.iter().map(String::as_str).collect();
    probe.put(Image::new("a", "one").tags(&texts));
    let rows = ok(probe.0.tags(&name("a"), ALL));
    assert_eq!(rows.iter().map(|row| row.tag.as_str()).collect::<Vec<_>>(), texts);
    assert!(rows.iter().all(|row| row.digest == digest("one")));
    // One twice is one.
    probe.put(Image::new("a", "two").tags(&["w", "w"]));
    assert_eq!(ok(probe.0.history(&name("a"), &tag("w"), 10)).len(), 1);
    assert!(probe.delete_tag("a", "w", 2));
    assert_eq!(probe.collect(100).manifests.len(), 1);
}
