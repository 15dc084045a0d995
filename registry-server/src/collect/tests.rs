//! The collector over real files and rows.

use std::sync::Arc;
use std::time::Duration;

use oci::{Algorithm, Digest, RepositoryName};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::{Collector, Report, Rules};
use crate::metadata::{BlobRow, Edge, EdgeKind, Existing, Metadata, NewManifest, SqliteMetadata, TagWrite, UploadRow};
use crate::storage::{FsObjects, Objects, UploadId};
use crate::time::Instant;

const HOUR: i64 = 3_600_000;
const RULES: Rules = Rules {
    grace: Duration::from_secs(24 * 3600),
    untagged_grace: Some(Duration::from_secs(7 * 24 * 3600)),
    upload_expiry: Duration::from_secs(24 * 3600),
    max_bytes: None,
    reserve: 0,
};

struct Registry {
    _root: TempDir,
    metadata: Arc<dyn Metadata>,
    objects: Arc<dyn Objects>,
}

impl Registry {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        let metadata = Arc::new(SqliteMetadata::open(root.path()).unwrap());
        let objects = Arc::new(FsObjects::open(root.path()).unwrap());
        Self { _root: root, metadata, objects }
    }

    fn collector(&self, rules: Rules) -> Collector {
        Collector::new(Arc::clone(&self.metadata), Arc::clone(&self.objects), rules)
    }

    fn object(&self, size: usize, fill: u8) -> BlobRow {
        let bytes = vec![fill; size];
        let digest = Digest::sha256(&bytes);
        BlobRow { digest, size: size as u64, key: self.objects.put(&digest, &bytes).unwrap() }
    }

    /// A blob of 1000 bytes that nothing references.
    fn blob(&self, fill: u8, hour: i64) -> BlobRow {
        let row = self.object(1000, fill);
        self.metadata.link_blob(&name(), &row, &[], Instant(hour * HOUR)).unwrap();
        row
    }

    /// A manifest of 100 bytes that references a blob.
    fn manifest(&self, fill: u8, blob: &BlobRow, tag: Option<&str>, hour: i64) -> BlobRow {
        let row = self.object(100, fill);
        let edge = Edge { kind: EdgeKind::Layer, digest: blob.digest, size: blob.size, optional: false };
        let write = |tag: &str| TagWrite { tag: tag.parse().unwrap(), existing: Existing::Move };
        let manifest = NewManifest {
            repository: name(),
            blob: row.clone(),
            media_type: "example/manifest".to_owned(),
            artifact_type: None,
            annotations: None,
            subject: None,
            edges: vec![edge],
            tags: tag.map(write).into_iter().collect(),
            allow_sparse: false,
            quotas: Vec::new(),
            actor: "user:ann".to_owned(),
            at: Instant(hour * HOUR),
        };
        self.metadata.put_manifest(&manifest).unwrap();
        row
    }

    fn upload(&self, hour: i64) -> UploadId {
        let id = UploadId::random().unwrap();
        let at = Instant(hour * HOUR);
        let row = UploadRow {
            id: id.clone(),
            repository: name(),
            owner: "user:ann".to_owned(),
            algorithm: Algorithm::Sha256,
            offset: 0,
            hash_state: Vec::new(),
            started: at,
            touched: at,
        };
        self.metadata.begin_upload(&row).unwrap();
        self.objects.begin(&id).unwrap();
        id
    }

    fn has(&self, row: &BlobRow) -> bool {
        let (bytes, known) =
            (self.objects.open(&row.key).is_ok(), self.metadata.object(&row.digest).unwrap().is_some());
        assert_eq!(bytes, known, "rows and bytes go together");
        bytes
    }
}

fn name() -> RepositoryName {
    "team/app".parse().unwrap()
}

fn collect(collector: &Collector, hour: i64) -> Report {
    collector.collect_now(false, Instant(hour * HOUR), &mut |_| true).unwrap()
}

#[test]
fn a_dry_run_tells_what_a_collection_takes() {
    let registry = Registry::new();
    let (old, young) = (registry.blob(1, 0), registry.blob(2, 20));
    let held = registry.blob(3, 0);
    registry.manifest(4, &held, Some("v1"), 1);
    let untagged = registry.manifest(5, &held, None, 1);
    let (stale, live) = (registry.upload(1), registry.upload(20));
    let collector = registry.collector(RULES);
    let told = collector.collect_now(true, Instant(30 * HOUR), &mut |_| true).unwrap();
    assert!(registry.has(&old) && collector.last().is_none());
    let done = collect(&collector, 30);
    assert_eq!(told, Report { dry_run: true, ..done });
    let expected = Report { links: 1, blobs: 1, bytes: 1000, uploads: 1, ..Report::default() };
    assert_eq!(done, expected);
    assert_eq!(collector.last(), Some((Instant(30 * HOUR), expected)));
    assert!(!registry.has(&old) && registry.has(&young) && registry.has(&held) && registry.has(&untagged));
    assert_eq!(registry.objects.uploads().unwrap(), std::slice::from_ref(&live));
    assert!(registry.metadata.upload(&stale).unwrap().is_none() && registry.metadata.upload(&live).unwrap().is_some());
    // A week later the untagged manifest goes.
    let later = collect(&collector, 170);
    assert_eq!((later.manifests, later.links, later.blobs, later.bytes), (1, 1, 2, 1100));
    assert!(!registry.has(&untagged) && registry.has(&held));
}

#[test]
fn the_cap_takes_what_is_unreferenced_and_nothing_else() {
    let registry = Registry::new();
    let held = registry.blob(1, 0);
    let image = registry.manifest(2, &held, Some("v1"), 0);
    let loose: Vec<_> = (10..14).map(|fill| registry.blob(fill, 0)).collect();
    let fresh = registry.blob(20, 10);
    let untagged = registry.manifest(3, &loose[0], None, 0);
    let rules = |max| Rules { max_bytes: Some(max), ..RULES };
    // 6200 bytes. The graces are kept below the cap.
    assert_eq!(collect(&registry.collector(rules(6200)), 13).blobs, 0);
    // Over it, blobs that waited for half the grace go; three of them are enough.
    let report = collect(&registry.collector(rules(3500)), 13);
    assert_eq!((report.links, report.manifests, report.bytes, report.over_cap), (3, 0, 3000, false));
    assert!(registry.has(&untagged) && registry.has(&loose[0]) && registry.has(&fresh));
    // Then manifests that nothing holds, and what they held.
    let report = collect(&registry.collector(rules(2200)), 13);
    assert_eq!((report.manifests, report.bytes, report.over_cap), (1, 1100, false));
    assert!(!registry.has(&untagged) && !registry.has(&loose[0]));
    // What is referenced or was leased lately stays, whatever the cap.
    let report = collect(&registry.collector(rules(1)), 13);
    assert_eq!((report.blobs, report.over_cap), (0, true));
    assert!(registry.has(&held) && registry.has(&image) && registry.has(&fresh));
}

#[test]
fn files_without_rows_are_swept_after_the_grace() {
    let registry = Registry::new();
    let (litter, held) = (registry.object(1000, 1), registry.blob(2, 0));
    let double = registry.object(1000, 2);
    let id = UploadId::random().unwrap();
    registry.objects.begin(&id).unwrap();
    let collector = registry.collector(RULES);
    let sweep = |hour: i64| collector.sweep(Instant(hour * HOUR), &|| false).unwrap();
    assert_eq!((sweep(0), sweep(23)), (0, 0));
    assert_eq!(sweep(24), 3, "an object, another key of a digest that has a row, and an upload");
    assert!(registry.objects.open(&litter.key).is_err() && registry.objects.open(&double.key).is_err());
    assert!(registry.has(&held));
    assert_eq!(sweep(48), 0);
}

#[test]
fn a_collection_ends_when_nobody_listens() {
    let registry = Registry::new();
    for number in 0..250_usize {
        let row = registry.object(number + 1, 7);
        registry.metadata.link_blob(&name(), &row, &[], Instant(0)).unwrap();
    }
    let collector = registry.collector(RULES);
    let mut heard = 0;
    let report = collector.collect_now(false, Instant(25 * HOUR), &mut |report| {
        heard += 1;
        report.links < 200
    });
    assert_eq!((report.unwrap().links, heard), (200, 1));
    assert_eq!(collect(&collector, 25).links, 50);
    assert_eq!(registry.metadata.total_bytes().unwrap(), 0);
}

#[tokio::test]
async fn it_runs_when_it_is_woken_and_ends_when_it_is_told() {
    let registry = Registry::new();
    let old = registry.blob(1, 0);
    let (collector, end) = (Arc::new(registry.collector(RULES)), CancellationToken::new());
    let running = tokio::spawn(Arc::clone(&collector).run(Duration::from_secs(3600), end.clone()));
    collector.wake();
    while collector.last().is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!registry.has(&old));
    end.cancel();
    tokio::time::timeout(Duration::from_secs(5), running).await.unwrap().unwrap();
}
