use super::*;
use crate::auth::{Gate, Principal};
use crate::metadata::SqliteMetadata;
use crate::storage::FsObjects;
use bytes::Bytes;
use http::StatusCode;
use http_body::Frame;
use http_body_util::StreamBody;
use oci::ErrorCode;
use proptest::prelude::*;
use std::time::Duration;

/// A registry's bytes in a directory of their own, which can be opened again as after a crash.
struct Place {
    dir: tempfile::TempDir,
    uploads: Arc<Uploads>,
}

fn limits() -> Limits {
    Limits { uploads_per_principal: 100, ..Limits::default() }
}

fn storage() -> Storage {
    Storage { reserve: crate::config::Size(0), ..Storage::default() }
}

impl Place {
    fn new() -> Self {
        Self::with(&storage(), &limits())
    }

    fn with(storage: &Storage, limits: &Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let uploads = open(dir.path(), storage, limits);
        Self { dir, uploads }
    }

    /// What another process finds after this one was killed.
    fn killed(&mut self) {
        let other = tempfile::tempdir().unwrap();
        self.uploads = open(other.path(), &storage(), &limits());
        self.uploads = open(self.dir.path(), &storage(), &limits());
    }

    fn blob(&self, digest: &Digest) -> Option<Vec<u8>> {
        let row = self.uploads.metadata.blob(push("a").repository(), digest).unwrap()?;
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut self.uploads.objects.open(&row.key).unwrap().file, &mut bytes).unwrap();
        assert_eq!(bytes.len() as u64, row.size);
        Some(bytes)
    }

    /// Files in the storage: uploads and objects.
    fn files(&self) -> (usize, usize) {
        let mut objects = 0;
        let mut count = |_, _, _| {
            objects += 1;
            Ok(())
        };
        self.uploads.objects.walk(&mut count).unwrap();
        (self.uploads.objects.uploads().unwrap().len(), objects)
    }
}

fn open(root: &std::path::Path, storage: &Storage, limits: &Limits) -> Arc<Uploads> {
    let objects = Arc::new(FsObjects::open(root).unwrap());
    let metadata = Arc::new(SqliteMetadata::open(root).unwrap());
    Uploads::new(objects, metadata, storage, limits)
}

fn push(repository: &str) -> Push {
    Gate::unguarded().unwrap().push(&Principal::anonymous(), &repository.parse().unwrap()).unwrap()
}

fn target(bytes: &[u8]) -> Target {
    Target { digest: Digest::sha256(bytes), quotas: Vec::new(), refuse: Arc::new(Refusal::from) }
}

fn sha512(bytes: &[u8]) -> Target {
    let mut hasher = Hasher::new(Algorithm::Sha512);
    hasher.update(bytes);
    Target { digest: hasher.finish(), quotas: Vec::new(), refuse: Arc::new(Refusal::from) }
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|n| (n * 7 % 253) as u8).collect()
}

/// A request's body.
#[derive(Debug, thiserror::Error)]
#[error("cut")]
struct Cut;

impl From<Cut> for Refusal {
    fn from(_: Cut) -> Self {
        Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::SizeInvalid, "cut")
    }
}

type Frames = futures_util::stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Cut>>>;

/// A body in frames of at most `size` bytes; with `cut` it breaks off at the end.
fn body(bytes: &[u8], size: usize, cut: bool) -> StreamBody<Frames> {
    let mut frames: Vec<_> = bytes.chunks(size).map(|part| Ok(Frame::data(Bytes::copy_from_slice(part)))).collect();
    if cut {
        frames.push(Err(Cut));
    }
    StreamBody::new(futures_util::stream::iter(frames))
}

fn full(bytes: &[u8]) -> StreamBody<Frames> {
    body(bytes, 10_000, false)
}

fn chunk(range: impl Into<Option<std::ops::Range<u64>>>, length: impl Into<Option<u64>>) -> Chunk {
    Chunk { range: range.into(), length: length.into(), waits: false }
}

fn status<T: std::fmt::Debug>(result: Result<T>) -> (u16, Option<ErrorCode>) {
    let refusal = result.unwrap_err();
    (refusal.status.as_u16(), refusal.code)
}

#[tokio::test]
async fn a_stream_and_chunks_and_one_request_make_the_same_blob() {
    let place = Place::new();
    let (uploads, push) = (&place.uploads, push("a"));
    let all = bytes(300_000);
    let (first, rest) = all.split_at(100_001);
    // A stream, then an empty finish.
    let id = uploads.begin(&push, Algorithm::Sha256).await.unwrap();
    assert_eq!(uploads.append(&push, &id, chunk(None, None), full(&all)).await.unwrap(), 300_000);
    assert_eq!(uploads.status(&push, &id).await.unwrap(), 300_000);
    let row = uploads.finish(&push, &id, chunk(None, 0), full(b""), target(&all)).await.unwrap();
    assert_eq!((row.size, place.blob(&row.digest).unwrap()), (300_000, all.clone()));
    // Chunks, the last with the finish; the second copy of the bytes is gone.
    let id = uploads.begin(&push, Algorithm::Sha256).await.unwrap();
    let sent = uploads.append(&push, &id, chunk(0..100_001, 100_001), full(first)).await.unwrap();
    assert_eq!(sent, 100_001);
    let last = chunk(100_001..300_000, 199_999);
    assert_eq!(uploads.finish(&push, &id, last, full(rest), target(&all)).await.unwrap().key, row.key);
    // At once, and under another algorithm.
    uploads.whole(&push, chunk(None, None), full(&all), target(&all)).await.unwrap();
    let other = sha512(&all);
    let row = uploads.whole(&push, chunk(None, Some(300_000)), full(&all), other.clone()).await.unwrap();
    assert_eq!(place.blob(&other.digest).unwrap(), all);
    assert_eq!(row.digest.algorithm(), Algorithm::Sha512);
    assert_eq!(place.files(), (0, 2));
    assert_eq!(uploads.counts(), Counts { sessions: 0, bytes: 0 });
}

#[tokio::test]
async fn small_blobs_and_the_empty_one() {
    let place = Place::new();
    let (uploads, push) = (&place.uploads, push("a"));
    for size in [0, 1, 4096, 65_536, 65_537] {
        let all = bytes(size);
        let id = uploads.begin(&push, Algorithm::Sha256).await.unwrap();
        uploads.finish(&push, &id, chunk(None, size as u64), full(&all), target(&all)).await.unwrap();
        assert_eq!(place.blob(&Digest::sha256(&all)).unwrap(), all, "{size}");
        uploads.whole(&push, chunk(None, Some(size as u64)), full(&all), target(&all)).await.unwrap();
        assert_eq!(status(uploads.status(&push, &id).await), (404, Some(ErrorCode::BlobUploadUnknown)));
    }
    assert_eq!(place.files(), (0, 5));
    // A small last chunk after others, and nothing at all.
    let all = bytes(20_000);
    let id = uploads.begin(&push, Algorithm::Sha512).await.unwrap();
    uploads.append(&push, &id, chunk(None, 19_000), full(&all[..19_000])).await.unwrap();
    uploads.finish(&push, &id, chunk(None, 1000), full(&all[19_000..]), sha512(&all)).await.unwrap();
    let id = uploads.begin(&push, Algorithm::Sha512).await.unwrap();
    uploads.finish(&push, &id, chunk(None, None), full(b""), sha512(b"")).await.unwrap();
}

#[tokio::test]
async fn the_digest_decides_the_algorithm_at_the_end() {
    let place = Place::new();
    let (uploads, push) = (&place.uploads, push("a"));
    let all = bytes(200_000);
    for (begun, finished) in [(Algorithm::Sha256, sha512(&all)), (Algorithm::Sha512, target(&all))] {
        let id = uploads.begin(&push, begun).await.unwrap();
        uploads.append(&push, &id, chunk(None, None), full(&all)).await.unwrap();
        uploads.finish(&push, &id, chunk(None, 0), full(b""), finished.clone()).await.unwrap();
        assert_eq!(place.blob(&finished.digest).unwrap(), all);
    }
}

#[tokio::test]
async fn what_is_out_of_order_or_of_another_size_is_refused_and_kept_apart() {
    let place = Place::new();
    let (uploads, push) = (&place.uploads, push("a"));
    let all = bytes(100_000);
    let id = uploads.begin(&push, Algorithm::Sha256).await.unwrap();
    let invalid = Some(ErrorCode::BlobUploadInvalid);
    let size = Some(ErrorCode::SizeInvalid);
    let early = uploads.append(&push, &id, chunk(5..10, 5), full(b"12345")).await;
    let refusal = early.unwrap_err();
    assert_eq!(refusal.headers[0].1, format!("/v2/a/blobs/uploads/{}", id.as_str()));
    assert_eq!(refusal.headers[1].1, "0-0");
    for (range, length, sent, expected) in [
        (0..10, Some(9), 9, (400, size)),
        (0..10, None, 9, (400, size)),
        (9..10, Some(20), 1, (400, size)),
        (9..19, None, 11, (400, size)),
        (0..1, Some(1), 1, (416, invalid)),
        (20..30, Some(10), 10, (416, invalid)),
        (u64::MAX - 1..u64::MAX, Some(1), 1, (416, invalid)),
    ] {
        let what = format!("{range:?} {length:?} {sent}");
        assert_eq!(
            status(uploads.append(&push, &id, chunk(range, length), full(&all[..sent])).await),
            expected,
            "{what}"
        );
    }
    // Of what was too short or too long, what fits its range has come.
    assert_eq!(uploads.status(&push, &id).await.unwrap(), 19);
    let finish = uploads.finish(&push, &id, chunk(5..10, 5), full(b"12345"), target(b"")).await;
    assert_eq!(status(finish), (416, invalid));
    let bad = uploads.finish(&push, &id, chunk(None, 0), full(b""), target(b"other")).await;
    assert_eq!(status(bad), (400, Some(ErrorCode::DigestInvalid)));
    assert_eq!(status(uploads.status(&push, &id).await).0, 404, "it is gone");
    for length in [Some(3), None] {
        let bad = uploads.whole(&push, chunk(None, length), full(b"abc"), target(b"abd")).await;
        assert_eq!(status(bad), (400, Some(ErrorCode::DigestInvalid)));
    }
    assert_eq!(place.files(), (0, 0));
    assert_eq!(uploads.counts().sessions, 0);
}

#[tokio::test]
async fn a_session_is_its_owners_in_its_repository_alone() {
    let place = Place::new();
    let (uploads, mine) = (&place.uploads, push("a"));
    let id = uploads.begin(&mine, Algorithm::Sha256).await.unwrap();
    let mut local = Principal::anonymous();
    local.method = crate::auth::Method::Local;
    let other_user = Gate::unguarded().unwrap().push(&local, mine.repository()).unwrap();
    assert_ne!(other_user.actor(), mine.actor());
    let unknown = (404, Some(ErrorCode::BlobUploadUnknown));
    for other in [&push("b"), &other_user] {
        assert_eq!(status(uploads.status(other, &id).await), unknown);
        assert_eq!(status(uploads.append(other, &id, chunk(None, None), full(b"x")).await), unknown);
        assert_eq!(status(uploads.finish(other, &id, chunk(None, 1), full(b"x"), target(b"x")).await), unknown);
        assert_eq!(status(uploads.cancel(other, &id).await), unknown);
    }
    assert_eq!(uploads.append(&mine, &id, chunk(None, None), full(b"mine")).await.unwrap(), 4);
    uploads.cancel(&mine, &id).await.unwrap();
    assert_eq!(status(uploads.cancel(&mine, &id).await), unknown);
    assert_eq!(place.files(), (0, 0));
}

#[tokio::test]
async fn a_dropped_connection_keeps_what_came() {
    let mut place = Place::new();
    let push = push("a");
    let all = bytes(500_000);
    let id = place.uploads.begin(&push, Algorithm::Sha256).await.unwrap();
    let cut = place.uploads.append(&push, &id, chunk(None, None), body(&all[..123_456], 5000, true)).await;
    assert_eq!(status(cut).0, 400);
    assert_eq!(place.uploads.status(&push, &id).await.unwrap(), 123_456);
    // Cut within the last chunk, too.
    let cut =
        place.uploads.finish(&push, &id, chunk(None, None), body(&all[123_456..200_000], 5000, true), target(&all));
    assert_eq!(status(cut.await).0, 400);
    place.killed();
    assert_eq!(place.uploads.counts(), Counts { sessions: 1, bytes: 200_000 });
    assert_eq!(place.uploads.status(&push, &id).await.unwrap(), 200_000);
    let rest = chunk(200_000..500_000, 300_000);
    place.uploads.finish(&push, &id, rest, full(&all[200_000..]), target(&all)).await.unwrap();
    assert_eq!(place.blob(&Digest::sha256(&all)).unwrap(), all);
}

#[tokio::test]
async fn a_killed_server_goes_on_from_what_was_saved() {
    let mut place = Place::new();
    let push = push("a");
    let all = bytes(100_000);
    let id = place.uploads.begin(&push, Algorithm::Sha256).await.unwrap();
    place.uploads.append(&push, &id, chunk(None, None), full(&all[..60_000])).await.unwrap();
    // What was written and not saved.
    place.uploads.objects.writer(&id, 60_000).unwrap().append(b"unsaved").unwrap();
    place.killed();
    assert_eq!(place.uploads.status(&push, &id).await.unwrap(), 60_000);
    // As after another boot: the state is not believed, the file is hashed again.
    let row = place.uploads.metadata.upload(&id).unwrap().unwrap();
    let mut state = row.hash_state;
    state[0] ^= 1;
    place.uploads.metadata.advance_upload(&id, row.offset, &state, Instant::now()).unwrap();
    place.uploads.append(&push, &id, chunk(60_000..80_000, None), full(&all[60_000..80_000])).await.unwrap();
    // And the file has lost its end.
    place.uploads.objects.writer(&id, 70_000).unwrap();
    place.killed();
    assert_eq!(place.uploads.status(&push, &id).await.unwrap(), 70_000);
    let rest = chunk(70_000..100_000, None);
    place.uploads.finish(&push, &id, rest, full(&all[70_000..]), target(&all)).await.unwrap();
    assert_eq!(place.blob(&Digest::sha256(&all)).unwrap(), all);
    // A session whose file was never made, or is gone, begins anew.
    let id = place.uploads.begin(&push, Algorithm::Sha256).await.unwrap();
    place.killed();
    place.uploads.append(&push, &id, chunk(None, None), full(&all)).await.unwrap();
    place.uploads.objects.abort(&id).unwrap();
    assert_eq!(place.uploads.status(&push, &id).await.unwrap(), 0);
    place.uploads.finish(&push, &id, chunk(None, None), full(b"anew"), target(b"anew")).await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_killed_while_it_commits_has_lost_nothing() {
    let mut place = Place::new();
    let push = push("a");
    let all = bytes(100_000);
    let digest = Digest::sha256(&all);
    let id = place.uploads.begin(&push, Algorithm::Sha256).await.unwrap();
    place.uploads.append(&push, &id, chunk(None, None), full(&all)).await.unwrap();
    // Between the commit and the row.
    let uploads = Arc::clone(&place.uploads);
    let mut sink = uploads.open(&push, &id, &Chunk::default()).unwrap();
    sink.remember(Some(&digest)).unwrap();
    let key = uploads.objects.commit(&id, &digest).unwrap();
    assert_eq!(uploads.status(&push, &id).await.unwrap(), 100_000, "while another request is at it");
    assert_eq!(place.files(), (0, 1), "and it is left alone");
    drop((sink, uploads));
    place.killed();
    assert_eq!(place.uploads.status(&push, &id).await.unwrap(), 100_000);
    assert_eq!(place.files(), (1, 0));
    place.uploads.finish(&push, &id, chunk(None, 0), full(b""), target(&all)).await.unwrap();
    assert_eq!(place.blob(&digest).unwrap(), all);
    // Between the row and the end of the session.
    let row = UploadRow {
        id: id.clone(),
        repository: push.repository().clone(),
        owner: push.actor().to_owned(),
        algorithm: Algorithm::Sha256,
        offset: 100_000,
        hash_state: saved::save("", Some(&digest), &Hasher::sha256()),
        started: Instant::now(),
        touched: Instant::now(),
    };
    place.uploads.metadata.begin_upload(&row).unwrap();
    let unknown = (404, Some(ErrorCode::BlobUploadUnknown));
    assert_eq!(status(place.uploads.status(&push, &id).await), unknown);
    assert_eq!(place.uploads.objects.open(&key).unwrap().size, 100_000);
    let again = place.uploads.finish(&push, &id, chunk(None, 0), full(b""), target(&all)).await.unwrap();
    assert_eq!((again.key, place.files()), (key, (0, 1)));
    assert_eq!(status(place.uploads.status(&push, &id).await), unknown);
    assert_eq!(place.uploads.counts().sessions, 0);
}

#[tokio::test]
async fn one_request_at_a_time() {
    let place = Place::new();
    let (uploads, push) = (&place.uploads, push("a"));
    let id = uploads.begin(&push, Algorithm::Sha256).await.unwrap();
    let (sender, frames) = tokio::sync::mpsc::channel::<Result<Frame<Bytes>, Cut>>(1);
    let slow = StreamBody::new(Box::pin(futures_util::stream::unfold(frames, |mut frames| async {
        frames.recv().await.map(|frame| (frame, frames))
    })));
    let first = {
        let (uploads, push, id) = (Arc::clone(uploads), push.clone(), id.clone());
        tokio::spawn(async move { uploads.append(&push, &id, chunk(None, None), slow).await })
    };
    sender.send(Ok(Frame::data(Bytes::from("slow ")))).await.unwrap();
    sender.send(Ok(Frame::data(Bytes::from("and steady")))).await.unwrap();
    let busy = (409, Some(ErrorCode::BlobUploadInvalid));
    assert_eq!(status(uploads.append(&push, &id, chunk(None, None), full(b"x")).await), busy);
    assert_eq!(status(uploads.cancel(&push, &id).await), busy);
    // The connection of the first is gone, and with it the request: what came is kept.
    first.abort();
    drop(sender);
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        if uploads.append(&push, &id, chunk(None, None), full(b"")).await.is_ok() {
            break;
        }
    }
    uploads.finish(&push, &id, chunk(None, None), full(b"."), target(b"slow and steady.")).await.unwrap();
}

#[tokio::test]
async fn limits_hold_and_what_expired_makes_room() {
    let limits = Limits {
        uploads_per_principal: 2,
        uploads_total_bytes: Some(crate::config::Size(100_000)),
        ..Limits::default()
    };
    let place = Place::with(&storage(), &limits);
    let (uploads, push) = (&place.uploads, push("a"));
    let first = uploads.begin(&push, Algorithm::Sha256).await.unwrap();
    let second = uploads.begin(&push, Algorithm::Sha256).await.unwrap();
    assert_eq!(status(uploads.begin(&push, Algorithm::Sha256).await).0, 429);
    assert_eq!(status(uploads.whole(&push, chunk(None, Some(1)), full(b"x"), target(b"x")).await).0, 429);
    uploads.append(&push, &first, chunk(None, None), full(&bytes(90_000))).await.unwrap();
    assert_eq!(status(uploads.append(&push, &second, chunk(None, None), full(&bytes(20_000))).await).0, 429);
    // What the collector ends makes room.
    uploads.metadata.end_upload(&first).unwrap();
    uploads.objects.abort(&first).unwrap();
    let third = uploads.begin(&push, Algorithm::Sha256).await.unwrap();
    assert_eq!(uploads.counts().sessions, 2);
    uploads.append(&push, &third, chunk(None, None), full(&bytes(20_000))).await.unwrap();
    assert_eq!(status(uploads.status(&push, &first).await).0, 404);
}

#[tokio::test]
async fn a_full_disk_is_507_and_leaves_the_session() {
    let space = FsObjects::open(tempfile::tempdir().unwrap().path()).unwrap().space().unwrap();
    let full_disk = Storage { reserve: crate::config::Size(space.total), ..storage() };
    let place = Place::with(&full_disk, &limits());
    assert_eq!(status(place.uploads.begin(&push("a"), Algorithm::Sha256).await).0, 507);
    assert_eq!(status(place.uploads.whole(&push("a"), chunk(None, None), full(b"x"), target(b"x")).await).0, 507);
    // With room for little, what is announced is refused before it comes, and what is not when it does.
    let little = Storage { reserve: crate::config::Size(space.free - (64 << 20)), ..storage() };
    let place = Place::with(&little, &limits());
    let (uploads, push) = (&place.uploads, push("a"));
    let id = uploads.begin(&push, Algorithm::Sha256).await.unwrap();
    assert_eq!(status(uploads.append(&push, &id, chunk(None, 1 << 40), full(b"x")).await).0, 507);
    assert_eq!(uploads.status(&push, &id).await.unwrap(), 0);
    assert_eq!(place.files(), (0, 0));
}

#[tokio::test]
async fn a_quota_that_is_used_up_leaves_nothing() {
    let place = Place::new();
    let (uploads, push) = (&place.uploads, push("a"));
    let quotas = vec![Quota { prefix: String::new(), limit: 10 }];
    for all in [bytes(100), bytes(100_000)] {
        let target = Target { quotas: quotas.clone(), ..target(&all) };
        let refused = uploads.whole(&push, chunk(None, Some(all.len() as u64)), full(&all), target).await;
        assert_eq!(status(refused), (403, Some(ErrorCode::Denied)));
    }
    assert_eq!(place.files(), (0, 0));
    assert_eq!(uploads.counts().sessions, 0);
}

#[tokio::test]
async fn equal_blobs_at_once_are_one() {
    let place = Place::new();
    let all = bytes(150_000);
    let tasks: Vec<_> = (0..12)
        .map(|_| {
            let (uploads, all) = (Arc::clone(&place.uploads), all.clone());
            tokio::spawn(async move {
                uploads.whole(&push("a"), chunk(None, None), full(&all), target(&all)).await.unwrap().key
            })
        })
        .collect();
    let mut keys = Vec::new();
    for task in tasks {
        keys.push(task.await.unwrap());
    }
    keys.dedup();
    assert_eq!((keys.len(), place.files()), (1, (0, 1)));
    assert_eq!(place.blob(&Digest::sha256(&all)).unwrap(), all);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// However bytes are split into requests, cut and sent again, and the server killed in between, the blob is the same.
    #[test]
    fn any_split_makes_the_same_blob(
        size in 0_usize..400_000,
        cuts in prop::collection::vec((0_usize..400_000, 1_usize..70_000, any::<bool>(), any::<bool>(), any::<bool>()), 0..6),
        last_with_finish: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let mut place = Place::new();
            let push = push("a");
            let all = bytes(size);
            let id = place.uploads.begin(&push, Algorithm::Sha256).await.unwrap();
            let mut at = 0;
            for (length, frame, ranged, broken, killed) in cuts {
                let end = (at + length).min(size);
                let range = (ranged && end > at).then_some(at as u64..end as u64);
                let sent = place.uploads.append(&push, &id, chunk(range, None), body(&all[at..end], frame, broken)).await;
                assert_eq!(sent.is_err(), broken);
                at = usize::try_from(place.uploads.status(&push, &id).await.unwrap()).unwrap();
                assert_eq!(at, end);
                if killed {
                    place.killed();
                }
            }
            if !last_with_finish {
                place.uploads.append(&push, &id, chunk(None, None), full(&all[at..])).await.unwrap();
                at = size;
            }
            let rest = &all[at..];
            place.uploads.finish(&push, &id, chunk(None, rest.len() as u64), full(rest), target(&all)).await.unwrap();
            assert_eq!(place.blob(&Digest::sha256(&all)).unwrap(), all);
            assert_eq!(place.files(), (0, 1));
        });
    }
}
