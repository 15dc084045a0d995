//! Quotas: decided with the write, over all repositories of a prefix.

use super::super::{Error, Quota, Result};
use super::Case;
use super::probe::{Image, Probe, blob, digest, name, ok, quota};
use crate::time::Instant;

pub(super) const CASES: &[Case] =
    &[a_quota_holds_below_its_prefix, a_quota_counts_manifests_and_mounts, what_goes_is_free];

fn link(probe: Probe<'_>, repository: &str, text: &str, quotas: &[Quota]) -> Result<()> {
    probe.0.link_blob(&name(repository), &blob(text), quotas, Instant(1)).map(drop)
}

fn refused<T: std::fmt::Debug>(result: Result<T>, used: u64) {
    match result {
        Err(Error::Quota { used: found, .. }) => assert_eq!(found, used),
        other => panic!("{other:?}"),
    }
}

fn a_quota_holds_below_its_prefix(probe: Probe<'_>) {
    let quotas = [quota("team", 10), quota("team/app", 8)];
    ok(link(probe, "team", "12345", &quotas[..1]));
    ok(link(probe, "teams", "another team's", &quotas[..0]));
    refused(link(probe, "team/app", "123456", &quotas), 5);
    assert!(!probe.has_blob("team/app", "123456"));
    assert!(ok(probe.0.repository(&name("team/app"))).is_none());
    assert_eq!(ok(probe.0.object(&digest("123456"))), None);
    ok(link(probe, "team/app", "abcde", &quotas));
    refused(link(probe, "team/app", "x", &quotas), 10);
    ok(link(probe, "team/app", "abcde", &quotas));
    // A quota of all counts a blob in each of its repositories.
    refused(link(probe, "new", "abcde", &[quota("", 25)]), 24);
    ok(link(probe, "new", "abcde", &[quota("", 29)]));
    // A quota that is not above the repository says nothing.
    ok(link(probe, "other", "abcde", &[quota("team", 0)]));
}

fn a_quota_counts_manifests_and_mounts(probe: Probe<'_>) {
    ok(link(probe, "a", "12345", &[]));
    let mount = |limit| {
        let quotas = [quota("b", limit)];
        probe.0.mount_blob(&name("b"), &digest("12345"), &name("a"), &quotas, Instant(1))
    };
    refused(mount(4), 0);
    assert!(!probe.has_blob("b", "12345"));
    assert!(ok(mount(5)));
    let image = Image::new("b", "abc").tags(&["v1"]);
    refused(probe.0.put_manifest(&image.clone().within(&[quota("b", 7)]).0), 5);
    assert_eq!((probe.has_manifest("b", "abc"), probe.tagged("b", "v1")), (false, None));
    probe.put(image.clone().within(&[quota("b", 8)]));
    probe.put(image.within(&[quota("b", 1)]).tags(&["v2"]));
}

fn what_goes_is_free(probe: Probe<'_>) {
    let quotas = [quota("a", 10)];
    ok(link(probe, "a/b", "1234567890", &quotas));
    refused(link(probe, "a/c", "x", &quotas), 10);
    assert!(ok(probe.0.unlink_blob(&name("a/b"), &digest("1234567890"))));
    ok(link(probe, "a/c", "abcdefghij", &quotas));
    assert_eq!(probe.collect(1).links.len(), 1);
    probe.put(Image::new("a/d", "0123456789").within(&quotas).at(2));
    assert_eq!(probe.collect(2).manifests.len(), 1);
    ok(link(probe, "a", "1234567890", &quotas));
}
