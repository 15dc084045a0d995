//! A data directory as a whole, while it is served: checks, copies, retention.

use std::path::Path;

use oci::Digest;
use registry_server::collect::retention::Rule;
use registry_server::data::{self, Progress, backup, fsck, served};

use crate::harness::Harness;

fn quiet() -> impl FnMut(Progress) -> data::Result<()> {
    |_| Ok(())
}

fn check(harness: &Harness) -> fsck::Report {
    fsck::check(&*harness.registry.objects, &*harness.registry.metadata, &mut quiet()).unwrap()
}

fn copy(harness: &Harness, dest: &Path) -> backup::Copied {
    let registry = &harness.registry;
    let work = || backup::backup(&*registry.objects, &*registry.metadata, dest, false, &mut quiet());
    registry.collector.at_rest(work).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_served_is_sound_and_damage_is_found() {
    let harness = Harness::start().await;
    harness.push_image("a", "one", "content one").await;
    harness.push_image("b/c", "one", "content one").await;
    harness.push_image("b/c", "one", "content two").await;
    harness.delete("/v2/a/manifests/one").await;
    let report = check(&harness);
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(report.objects, 5);
    let row = harness.registry.metadata.object(&Digest::sha256(b"content one")).unwrap().unwrap();
    std::fs::write(harness.root().join("blobs").join(&row.key.0), "content 0ne").unwrap();
    std::fs::write(harness.root().join(format!("blobs/sha256/{}.00000000", "a".repeat(64))), "litter").unwrap();
    let report = check(&harness);
    assert_eq!((report.damages, report.litter, report.litter_bytes), (1, 1, 6), "{report:?}");
    assert_eq!(report.damaged[0].repositories, ["a", "b/c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_follows_what_is_served() {
    let harness = Harness::start().await;
    let dest = tempfile::tempdir().unwrap();
    harness.push_image("a", "one", "content one").await;
    let first = copy(&harness, dest.path());
    assert_eq!((first.objects, first.new_objects, first.removed), (3, 3, 0));
    harness.push_image("a", "two", "content two").await;
    let second = copy(&harness, dest.path());
    assert_eq!((second.objects, second.new_objects, second.removed), (5, 2, 0));
    // What a collection took leaves the copy with the next one.
    let digest = Digest::sha256(b"content two");
    let path = format!("/v2/a/manifests/{}", harness.get("/v2/a/manifests/two").await.header("docker-content-digest"));
    assert_eq!(harness.delete(&path).await.status, 202);
    let later = registry_server::time::Instant::now().after(std::time::Duration::from_secs(30 * 86_400));
    harness.registry.collector.collect_now(false, later, &mut |_| true).unwrap();
    let third = copy(&harness, dest.path());
    assert!(third.removed >= 1, "{third:?}");
    assert!(harness.registry.metadata.object(&digest).unwrap().is_none());
    // A damaged object stays outside, and the names of before stay.
    let row = harness.registry.metadata.object(&Digest::sha256(b"{}")).unwrap();
    harness.push_image("a", "three", "content three").await;
    let fresh = harness.registry.metadata.object(&Digest::sha256(b"content three")).unwrap().unwrap();
    std::fs::write(harness.root().join("blobs").join(&fresh.key.0), "content thr33").unwrap();
    let fourth = copy(&harness, dest.path());
    assert_eq!(fourth.problems.len(), 1, "{fourth:?}");
    let root = tempfile::tempdir().unwrap();
    let restored = backup::restore(dest.path(), root.path(), true, false, &mut quiet()).unwrap();
    assert!(restored.problems.is_empty() && row.is_some(), "{restored:?}");
    assert!(root.path().join("version").exists());
    assert!(backup::restore(dest.path(), root.path(), true, false, &mut quiet()).is_err(), "it is not empty");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_goes_nowhere_else() {
    let harness = Harness::start().await;
    let dest = tempfile::tempdir().unwrap();
    std::fs::write(dest.path().join("thesis.tex"), "").unwrap();
    let registry = &harness.registry;
    for dest in [dest.path(), harness.root()] {
        let outcome = backup::backup(&*registry.objects, &*registry.metadata, dest, false, &mut quiet());
        assert!(matches!(outcome, Err(data::Error::Foreign { .. })), "{outcome:?}");
    }
    let mut ending = |_| Err(data::Error::Interrupted);
    harness.push_image("a", "one", "content").await;
    let dest = tempfile::tempdir().unwrap();
    let cut = backup::backup(&*registry.objects, &*registry.metadata, dest.path(), false, &mut ending);
    assert!(matches!(cut, Err(data::Error::Interrupted)));
    assert!(!dest.path().join("version").exists());
    assert_eq!(copy(&harness, dest.path()).objects, 3, "another run goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_lets_tags_go_and_keeps_what_may_not() {
    let rule = Rule {
        name: Some("ci".to_owned()),
        repositories: vec!["ci/**".to_owned()],
        keep_last: Some(1),
        keep_matching: vec!["v*".to_owned()],
        older_than: None,
    };
    let harness = Harness::with(|config| config.retention = vec![rule]).await;
    for tag in ["v1", "a", "b", "c"] {
        harness.push_image("ci/app", tag, tag).await;
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    harness.push_image("other", "a", "a").await;
    let tags = |deletions: Vec<registry_server::collect::retention::Deletion>| -> Vec<String> {
        deletions.iter().map(|gone| gone.tag.as_str().to_owned()).collect()
    };
    let dry = served::retain(&harness.registry, served::Retain { dry_run: true }).unwrap();
    assert_eq!(tags(dry), ["b", "a"]);
    assert_eq!(harness.get("/v2/ci/app/manifests/a").await.status, 200);
    let gone = served::retain(&harness.registry, served::Retain::default()).unwrap();
    assert_eq!(tags(gone), ["b", "a"]);
    for (path, status) in [
        ("ci/app/manifests/a", 404),
        ("ci/app/manifests/c", 200),
        ("ci/app/manifests/v1", 200),
        ("other/manifests/a", 200),
    ] {
        assert_eq!(harness.get(&format!("/v2/{path}")).await.status, status, "{path}");
    }
    let history = harness.registry.metadata.history(&"ci/app".parse().unwrap(), &"a".parse().unwrap(), 1).unwrap();
    assert_eq!(history[0].actor, "retention:ci");
}
