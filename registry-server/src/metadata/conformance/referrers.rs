//! Referrers: listed by their subject, whether that is there or not.

use std::collections::BTreeMap;

use super::super::Page;
use super::Case;
use super::probe::{ALL, Image, Probe, digest, name, ok};

pub(super) const CASES: &[Case] = &[referrers_are_listed, referrers_come_by_pages, a_subject_keeps_its_referrers];

fn referrers_are_listed(probe: Probe<'_>) {
    let mut signature = Image::new("a", "signature").subject("image").kind("example/signature");
    signature.0.annotations = Some(r#"{"by":"ann"}"#.to_owned());
    probe.put(signature.clone());
    probe.put(Image::new("a", "bill").subject("image").kind("example/sbom"));
    probe.put(Image::new("a", "plain").subject("image"));
    probe.put(Image::new("a", "other").subject("other image"));
    probe.put(Image::new("b", "elsewhere").subject("image"));
    let list = |filter| ok(probe.0.referrers(&name("a"), &digest("image"), filter, ALL));
    let mut all = [digest("signature"), digest("bill"), digest("plain")];
    all.sort();
    assert_eq!(list(None).iter().map(|row| row.digest).collect::<Vec<_>>(), all);
    let found = list(Some("example/signature"));
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].digest, found[0].size), (digest("signature"), 9));
    assert_eq!(found[0].media_type, signature.0.media_type);
    assert_eq!(found[0].artifact_type.as_deref(), Some("example/signature"));
    assert_eq!(found[0].annotations, BTreeMap::from([("by".to_owned(), "ann".to_owned())]));
    assert!(list(Some("example/none")).is_empty());
    assert!(ok(probe.0.referrers(&name("c"), &digest("image"), None, ALL)).is_empty());
    probe.delete_manifest("a", "bill", 2);
    assert_eq!(list(None).len(), 2);
}

fn referrers_come_by_pages(probe: Probe<'_>) {
    let texts: Vec<String> = (0..25).map(|number| format!("referrer {number}")).collect();
    for (number, text) in texts.iter().enumerate() {
        let kind = if number % 2 == 0 { "example/even" } else { "example/odd" };
        probe.put(Image::new("a", text).subject("image").kind(kind));
    }
    for filter in [None, Some("example/even")] {
        let all = ok(probe.0.referrers(&name("a"), &digest("image"), filter, ALL));
        let (mut seen, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = Page { after: after.as_deref(), limit: 4 };
            let found = ok(probe.0.referrers(&name("a"), &digest("image"), filter, page));
            let Some(last) = found.last() else { break };
            assert!(found.len() <= 4);
            after = Some(last.digest.to_string());
            seen.extend(found);
        }
        assert_eq!(seen, all);
        assert_eq!(all.len(), if filter.is_some() { 13 } else { 25 });
    }
    let odd = Page { after: Some("no digest"), limit: 4 };
    assert!(ok(probe.0.referrers(&name("a"), &digest("image"), None, odd)).is_empty());
}

fn a_subject_keeps_its_referrers(probe: Probe<'_>) {
    probe.put(Image::new("a", "signature").subject("image").at(1));
    probe.put(Image::new("a", "image").tags(&["v1"]).at(2));
    probe.put(Image::new("a", "countersignature").subject("signature").at(3));
    assert!(probe.collect(100).manifests.is_empty());
    // A referrer does not keep its subject.
    probe.delete_tag("a", "v1", 200);
    assert!(probe.collect(199).manifests.is_empty());
    assert_eq!(probe.collect(200).manifests.len(), 3);
    // Without its subject it is as any other.
    probe.put(Image::new("a", "signature").subject("image").at(1));
    probe.put(Image::new("a", "tagged").subject("image").tags(&["v1"]).at(1));
    assert_eq!(probe.collect(1).manifests, [(name("a"), digest("signature"))]);
}
