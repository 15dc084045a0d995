//! Pushes against hosts with habits of their own.

use bytes::Bytes;
use http::Method;
use oci::Digest;
use remote::{Error, Mounted, Reference};

use crate::host::{Host, Reply};
use crate::repository;

#[tokio::test]
async fn a_blob_in_chunks_and_its_manifest() {
    let host = Host::start(|seen| match (seen.method.as_str(), seen.path.split('?').next().unwrap()) {
        ("GET", "/v2/") => Reply::new(200, "{}"),
        ("POST", _) => Reply::new(202, "")
            .header("location", "/v2/a/blobs/uploads/1?state=x")
            .header("range", "0-0")
            .header("oci-chunk-min-length", 4),
        // ECR's way: 201 for a chunk, and a range that is behind.
        ("PATCH", _) => {
            assert!(seen.path.contains("state=x"));
            Reply::new(201, "").header("location", "/v2/a/blobs/uploads/1?state=x").header("range", "0-1")
        }
        ("PUT", path) if path.contains("uploads") => {
            assert!(seen.path.contains("state=x&digest=sha256%3A"), "{}", seen.path);
            Reply::new(201, "")
        }
        ("PUT", _) => Reply::new(201, "").header("oci-subject", "sha256:0"),
        _ => Reply::new(404, ""),
    })
    .await;
    let repository = repository(&host, "a");
    let mut upload = repository.begin_upload().await.unwrap();
    assert_eq!((upload.offset, upload.least_chunk), (0, 4));
    repository.patch_upload(&mut upload, Bytes::from("four")).await.unwrap();
    repository.patch_upload(&mut upload, Bytes::from("more")).await.unwrap();
    assert_eq!(upload.offset, 8);
    repository.put_upload(upload, &Digest::sha256(b"fourmore"), Bytes::new()).await.unwrap();
    let put = repository
        .put_manifest(&Reference::Tag(&"latest".parse().unwrap()), oci::media_type::OCI_MANIFEST, Bytes::from("{}"))
        .await
        .unwrap();
    assert!(put.subject);
    let seen = host.seen();
    let chunks: Vec<_> = seen.iter().filter(|seen| seen.method == Method::PATCH).collect();
    assert_eq!(chunks.iter().map(|seen| seen.header("content-range")).collect::<Vec<_>>(), ["0-3", "4-7"]);
    let manifest = seen.iter().find(|seen| seen.path.ends_with("manifests/latest")).unwrap();
    assert_eq!(manifest.header("content-type"), oci::media_type::OCI_MANIFEST);
}

#[tokio::test]
async fn mounts_are_told_from_uploads() {
    let host = Host::start(|seen| match seen.path.as_str() {
        "/v2/" => Reply::new(200, "{}"),
        path if path.contains("from=there") => Reply::new(201, "").header("location", "/v2/a/blobs/x"),
        _ => Reply::new(202, "").header("location", "/v2/a/blobs/uploads/1"),
    })
    .await;
    let repository = repository(&host, "a");
    let digest = Digest::sha256(b"");
    assert_eq!(repository.mount(&digest, Some(&"there".parse().unwrap())).await.unwrap(), Mounted::Yes);
    assert!(matches!(repository.mount(&digest, None).await.unwrap(), Mounted::No(_)));
}

#[tokio::test]
async fn a_location_elsewhere_obeys_the_rules() {
    for location in ["file:///etc/passwd", "http://192.0.2.1/upload", "http://me:word@127.0.0.1/"] {
        let host = Host::start(move |seen| match seen.path.as_str() {
            "/v2/" => Reply::new(200, "{}"),
            _ => Reply::new(202, "").header("location", location),
        })
        .await;
        let error = repository(&host, "a").begin_upload().await.unwrap_err();
        assert!(matches!(error, Error::Hop { .. }), "{location}: {error}");
    }
    let host = Host::start(|_| Reply::new(202, "")).await;
    assert!(repository(&host, "a").begin_upload().await.is_err());
}

#[tokio::test]
async fn a_post_that_failed_is_not_sent_twice_unless_it_was_refused_for_now() {
    for (status, tries) in [(500, 1), (502, 1), (429, 4), (503, 4)] {
        let host = Host::start(move |seen| match seen.path.as_str() {
            "/v2/" => Reply::new(200, "{}"),
            _ => Reply::new(status, "").header("retry-after", 0),
        })
        .await;
        repository(&host, "a").begin_upload().await.unwrap_err();
        assert_eq!(host.count(Method::POST, "uploads"), tries, "{status}");
    }
}
