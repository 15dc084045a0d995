//! Blobs: cut, stalled, longer, shorter, other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use oci::Digest;
use remote::{ByteRange, Error, Repository};

use crate::host::{Host, Reply, Seen, noise, ranged};
use crate::{quick, repository, repository_with};

async fn all(repository: &Repository, digest: &Digest, size: Option<u64>) -> Result<Vec<u8>, Error> {
    let mut blob = repository.blob(digest, None).await?.verified(size);
    let mut bytes = Vec::new();
    while let Some(piece) = blob.next().await? {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// A host of one blob; the faults are the caller's, by the number of the request.
async fn host(bytes: Bytes, fault: impl Fn(usize, &Seen, Reply) -> Reply + Send + Sync + 'static) -> Host {
    let count = AtomicUsize::new(0);
    Host::start(move |seen| {
        if !seen.path.contains("/blobs/") {
            return Reply::new(200, "{}");
        }
        fault(count.fetch_add(1, Ordering::SeqCst), seen, ranged(&bytes, seen.header("range")))
    })
    .await
}

#[tokio::test]
async fn a_cut_at_any_offset_is_mended_by_a_range() {
    let bytes = noise(3000, 1);
    let digest = Digest::sha256(&bytes);
    for cut in (0..3000).step_by(211).chain([1, 2, 2998, 2999]) {
        let host = host(bytes.clone(), move |count, _, reply| if count == 0 { reply.cut(cut) } else { reply }).await;
        let found = all(&repository(&host, "a"), &digest, Some(3000)).await.unwrap();
        assert!(found == bytes, "cut at {cut}");
        let ranges: Vec<_> = host
            .seen()
            .iter()
            .filter(|seen| seen.path.contains("blobs"))
            .map(|seen| seen.header("range").to_owned())
            .collect();
        assert_eq!(ranges.len(), 2, "cut at {cut}");
        assert!(ranges[1] == format!("bytes={cut}-") || cut == 0, "cut at {cut}: {ranges:?}");
    }
}

#[tokio::test]
async fn many_cuts_end_when_there_is_no_progress() {
    let bytes = noise(600_000, 2);
    let digest = Digest::sha256(&bytes);
    // Each answer brings enough to count as progress.
    let good = host(bytes.clone(), |_, _, reply| reply.cut(70_000)).await;
    assert!(all(&repository(&good, "a"), &digest, None).await.unwrap() == bytes);
    // Each brings a byte: given up after the tries.
    let bad = host(bytes, |_, _, reply| reply.cut(1)).await;
    let error = all(&repository(&bad, "a"), &digest, None).await.unwrap_err();
    assert!(error.is_temporary(), "{error}");
    assert_eq!(bad.count(Method::GET, "blobs"), 4);
}

#[tokio::test]
async fn a_host_without_ranges_starts_again_and_so_do_we() {
    let bytes = noise(50_000, 3);
    let digest = Digest::sha256(&bytes);
    let whole = bytes.clone();
    let host = host(bytes.clone(), move |count, _, _| {
        let reply = Reply::new(200, whole.clone());
        if count < 2 { reply.cut(20_000) } else { reply }
    })
    .await;
    assert!(all(&repository(&host, "a"), &digest, Some(50_000)).await.unwrap() == bytes);
    // A range of such a host is cut out of the whole.
    let mut blob = repository(&host, "a").blob(&digest, Some(ByteRange { start: 100, end: Some(199) })).await.unwrap();
    let mut found = Vec::new();
    while let Some(piece) = blob.next().await.unwrap() {
        found.extend_from_slice(&piece);
    }
    assert!(found == bytes[100..200]);
}

#[tokio::test]
async fn a_wrong_range_is_refused() {
    let bytes = noise(10_000, 4);
    let digest = Digest::sha256(&bytes);
    for answer in
        ["bytes 0-4999/10000", "bytes 4999-9999/10000", "bytes 5000-9999/20000", "5000-9999", "bytes */10000", ""]
    {
        let whole = bytes.clone();
        let host = host(bytes.clone(), move |count, _, reply| match count {
            0 => reply.cut(5000),
            _ => Reply::new(206, whole.slice(5000..)).header("content-range", answer),
        })
        .await;
        let error = all(&repository(&host, "a"), &digest, Some(10_000)).await.unwrap_err();
        assert!(matches!(error, Error::Malformed { .. } | Error::Length { .. }), "{answer}: {error}");
    }
}

#[tokio::test]
async fn longer_shorter_and_other_bytes_are_refused() {
    let bytes = noise(10_000, 5);
    let digest = Digest::sha256(&bytes);
    let mut other = bytes.to_vec();
    other[9_999] ^= 1;
    let longer = [&bytes[..], b"!"].concat();
    for (sent, announced) in [
        (other.clone(), true),
        (other, false),
        (longer.clone(), true),
        (longer, false),
        (bytes[..9_999].to_vec(), true),
        (bytes[..9_999].to_vec(), false),
        (Vec::new(), true),
    ] {
        let length = sent.len();
        let host = host(Bytes::from(sent), move |_, _, mut reply| {
            reply.announced = announced;
            reply
        })
        .await;
        let repository = repository(&host, "a");
        for size in [Some(10_000), None] {
            let error = all(&repository, &digest, size).await.unwrap_err();
            assert!(matches!(error, Error::Length { .. } | Error::Digest { .. }), "{length} {announced}: {error}");
            assert!(error.to_string().contains(&digest.to_string()), "{error}");
        }
    }
}

#[tokio::test]
async fn a_body_without_end_is_not_read_to_it() {
    let bytes = noise(4 << 20, 6);
    let digest = Digest::sha256(b"small");
    let host = host(bytes, |_, _, mut reply| {
        reply.announced = false;
        reply
    })
    .await;
    let mut blob = repository(&host, "a").blob(&digest, None).await.unwrap().verified(Some(5));
    let mut taken = 0;
    let error = loop {
        match blob.next().await {
            Ok(Some(piece)) => taken += piece.len(),
            Ok(None) => panic!("wrong bytes were taken"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Length { .. }) && taken <= 5, "{taken}: {error}");
}

#[tokio::test]
async fn a_stall_is_a_cut() {
    let bytes = noise(10_000, 7);
    let digest = Digest::sha256(&bytes);
    let host = host(bytes.clone(), |count, _, reply| match count {
        0 => reply.paced(5000, Duration::from_millis(700)),
        _ => reply,
    })
    .await;
    let mut options = quick();
    options.idle_timeout = Duration::from_millis(300);
    let found = all(&repository_with(&host, "a", options), &digest, Some(10_000)).await.unwrap();
    assert!(found == bytes);
    assert!(host.count(Method::GET, "blobs") > 1);
}

#[tokio::test]
async fn busy_hosts_are_asked_again_when_they_say_and_given_up_when_that_is_far() {
    let bytes = noise(100, 8);
    let digest = Digest::sha256(&bytes);
    for status in [429, 503] {
        let busy = host(bytes.clone(), move |count, _, reply| match count {
            0 => Reply::new(status, "").header("retry-after", 0),
            1 => Reply::new(502, ""),
            _ => reply,
        })
        .await;
        assert!(all(&repository(&busy, "a"), &digest, None).await.unwrap() == bytes);
    }
    // A flood: as many answers as tries, and no wait beyond the limit.
    for (wait, tries) in [("0", 4), ("86400", 1), ("18446744073709551615", 1), ("Tue, 31 Dec 2999 23:59:59 GMT", 1)] {
        let flood = host(bytes.clone(), move |_, _, _| Reply::new(429, "").header("retry-after", wait)).await;
        let began = std::time::Instant::now();
        let error = all(&repository(&flood, "a"), &digest, None).await.unwrap_err();
        assert_eq!(error.status(), Some(http::StatusCode::TOO_MANY_REQUESTS), "{error}");
        assert_eq!(flood.count(Method::GET, "blobs"), tries, "{wait}");
        assert!(began.elapsed() < Duration::from_secs(3));
        assert!(error.retry_after().is_some());
    }
}

#[tokio::test]
async fn ranges_ask_for_what_they_need() {
    let bytes = noise(10_000, 9);
    let digest = Digest::sha256(&bytes);
    let shared = Arc::new(bytes.clone());
    let host = host((*shared).clone(), |_, _, reply| reply).await;
    let repository = repository(&host, "a");
    for (start, end, expected) in
        [(0, Some(0), 0..1), (10, Some(19), 10..20), (9_990, None, 9_990..10_000), (9_990, Some(99_999), 9_990..10_000)]
    {
        let mut blob = repository.blob(&digest, Some(ByteRange { start, end })).await.unwrap();
        assert_eq!(blob.size(), Some(10_000));
        let mut found = Vec::new();
        while let Some(piece) = blob.next().await.unwrap() {
            found.extend_from_slice(&piece);
        }
        assert!(found == bytes[expected], "{start} {end:?}");
    }
    let error = repository.blob(&digest, Some(ByteRange { start: 10_000, end: None })).await.unwrap_err();
    assert_eq!(error.status().map(|status| status.as_u16()), Some(416));
}
