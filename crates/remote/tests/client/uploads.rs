//! Whole uploads: against the house's own registry through connections that break, and against hosts with habits.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use fixtures::{Fault, Proxy, Rule, Way};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use http::Method;
use oci::Digest;
use remote::{BytesSource, How, Pieces, Repository, Source, SourceError, Told, UploadOptions, Uploaded};

use crate::host::{Host, Reply, noise};
use crate::registry::Running;
use crate::{quick, repository, repository_with};

const MIB: usize = 1 << 20;

/// A blob that is made while it is sent: nobody knows its digest before its end.
struct Made {
    bytes: Bytes,
    ended: Arc<AtomicU64>,
}

impl Made {
    fn new(bytes: Bytes) -> Self {
        Self { bytes, ended: Arc::default() }
    }
}

impl Source for Made {
    fn known(&self) -> Option<(Digest, u64)> {
        (self.ended.load(Ordering::SeqCst) > 0).then(|| (Digest::sha256(&self.bytes), self.bytes.len() as u64))
    }

    fn open(&self, offset: u64) -> BoxFuture<'_, Result<Pieces, SourceError>> {
        let rest = self.bytes.slice(usize::try_from(offset).unwrap()..);
        let pieces: Vec<Bytes> = rest.chunks(100_000).map(Bytes::copy_from_slice).collect();
        let ended = Arc::clone(&self.ended);
        let end = futures_util::stream::poll_fn(move |_| {
            ended.fetch_add(1, Ordering::SeqCst);
            std::task::Poll::Ready(None)
        });
        let pieces = futures_util::stream::iter(pieces.into_iter().map(Ok)).chain(end);
        Box::pin(async move { Ok(pieces.boxed()) })
    }
}

fn known(bytes: &Bytes) -> BytesSource {
    BytesSource::new(Digest::sha256(bytes), bytes.clone())
}

/// A repository behind a proxy, called without a probe.
fn plain(proxy: &Proxy, name: &str, options: remote::Options) -> Repository {
    let address = proxy.address().to_string();
    let url = format!("http://{address}").parse().unwrap();
    remote::Client::new(options).registry_at(&address, &url).unwrap().repository(&name.parse().unwrap())
}

/// Uploads, and gives what was told.
async fn upload(
    repository: &Repository,
    source: &dyn Source,
    options: &UploadOptions,
) -> (remote::Result<Uploaded>, Vec<Told>) {
    let told = Mutex::new(Vec::new());
    let result = repository.upload(source, options, &|event| told.lock().unwrap().push(event)).await;
    (result, told.into_inner().unwrap())
}

async fn has(repository: &Repository, bytes: &Bytes) -> bool {
    let digest = Digest::sha256(bytes);
    let mut blob = repository.blob(&digest, None).await.unwrap().verified(Some(bytes.len() as u64));
    while blob.next().await.unwrap().is_some() {}
    true
}

#[tokio::test]
async fn a_cut_at_any_offset_is_resumed_and_nothing_is_sent_twice() {
    let server = Running::start().await;
    let size = 3 * MIB;
    for (number, cut) in [1, 700, 2_000, 70_000, MIB + 77, 2 * MIB, size - 1, size + 500].into_iter().enumerate() {
        for (made, chunk) in [(false, None), (true, None), (false, Some(MIB as u64)), (true, Some(300_000))] {
            let bytes = noise(size, (number * 8 + usize::from(made) * 4 + usize::from(chunk.is_some())) as u64);
            let rule = Rule::after(cut as u64, Way::Up, Fault::Cut);
            let proxy = Proxy::start(server.address, [rule]).unwrap();
            let there = plain(&proxy, "a", quick());
            let source: Box<dyn Source> =
                if made { Box::new(Made::new(bytes.clone())) } else { Box::new(known(&bytes)) };
            let (result, told) = upload(&there, &*source, &UploadOptions { chunk, ..UploadOptions::default() }).await;
            let uploaded = result.unwrap_or_else(|error| panic!("cut at {cut}, {made} {chunk:?}: {error}: {told:?}"));
            assert_eq!(uploaded.how, How::Sent);
            assert!(has(&there, &bytes).await);
            // What was lost in buffers, and the chunk that broke, is sent again; headers and pieces of chunks count too.
            // A server that is slow to see that a connection broke refuses one try.
            let slack = chunk.unwrap_or(size as u64).max(if made { 4 * MIB as u64 } else { 0 }) + (2 * MIB) as u64;
            let passed = proxy.passed().up;
            assert!(passed < size as u64 + slack, "cut at {cut}, {made} {chunk:?}: {passed} bytes: {told:?}");
            assert!(proxy.hit(), "cut at {cut}");
        }
    }
}

#[tokio::test]
async fn what_arrived_before_a_break_is_not_sent_again() {
    let server = Running::start().await;
    let bytes = noise(40 * MIB, 5);
    let proxy = Proxy::start(server.address, [Rule::after(30 * MIB as u64, Way::Up, Fault::Cut)]).unwrap();
    let there =
        remote::Client::new(quick()).registry(&proxy.address().to_string()).unwrap().repository(&"a".parse().unwrap());
    let (result, told) = upload(&there, &known(&bytes), &UploadOptions::default()).await;
    assert_eq!(result.unwrap().how, How::Sent);
    let resumed = told.iter().filter_map(|told| if let Told::Resumed(at) = told { Some(*at) } else { None }).max();
    assert!(resumed.is_some_and(|at| at > 25 * MIB as u64), "{told:?}");
    assert!(proxy.passed().up < 60 * MIB as u64, "{:?} {told:?}", proxy.passed());
    assert!(has(&there, &bytes).await);
}

#[tokio::test]
async fn stalls_and_resets_are_breaks_too() {
    let server = Running::start().await;
    for (fault, way) in
        [(Fault::Stall, Way::Up), (Fault::Reset, Way::Up), (Fault::Stall, Way::Down), (Fault::Reset, Way::Down)]
    {
        let bytes = noise(8 * MIB, 7 + way as u64);
        let after = if way == Way::Up { 3 * MIB as u64 } else { 1_000 };
        let proxy = Proxy::start(server.address, [Rule::after(after, way, fault)]).unwrap();
        let mut options = quick();
        options.idle_timeout = std::time::Duration::from_millis(300);
        let there = plain(&proxy, "a", options);
        let (result, told) = upload(&there, &Made::new(bytes.clone()), &UploadOptions::default()).await;
        result.unwrap_or_else(|error| panic!("{fault:?} {way:?}: {error}: {told:?}"));
        assert!(has(&there, &bytes).await);
    }
}

#[tokio::test]
async fn present_mounted_and_found_blobs_are_not_sent() {
    let server = Running::start().await;
    let client = remote::Client::new(quick());
    let registry = client.registry(&server.address.to_string()).unwrap();
    let [one, two, three] = ["one", "two", "three"].map(|name| registry.repository(&name.parse().unwrap()));
    let bytes = noise(2 * MIB, 1);
    let default = UploadOptions::default();
    assert_eq!(upload(&one, &known(&bytes), &default).await.0.unwrap().how, How::Sent);
    let again = upload(&one, &known(&bytes), &default).await.0.unwrap();
    assert_eq!((again.how, again.sent), (How::Existed, 0));
    let mounts = vec!["nobody/has/it".parse().unwrap(), "one".parse().unwrap()];
    let mounted = upload(&two, &known(&bytes), &UploadOptions { mounts, ..default.clone() }).await.0.unwrap();
    assert_eq!((mounted.how, mounted.sent), (How::Mounted(Some("one".parse().unwrap())), 0));
    let found = upload(&three, &known(&bytes), &default).await.0.unwrap();
    assert_eq!((found.how, found.sent), (How::Mounted(None), 0));
    assert!(has(&two, &bytes).await && has(&three, &bytes).await);
}

/// A host of one upload session; faults are the caller's, by the number of the call that carries bytes or asks.
struct Session {
    taken: Mutex<Vec<u8>>,
    calls: AtomicUsize,
}

/// What a session answers, and how its host differs from a good one.
fn session(
    fault: impl Fn(usize, &crate::host::Seen, &mut Vec<u8>) -> Option<Reply> + Send + Sync + 'static,
) -> impl Fn(&crate::host::Seen) -> Reply {
    let session = Session { taken: Mutex::default(), calls: AtomicUsize::new(0) };
    move |seen| {
        let path = seen.path.split('?').next().unwrap();
        let mut taken = session.taken.lock().unwrap();
        let here = |status: u16, taken: &Vec<u8>| {
            Reply::new(status, "")
                .header("location", "/v2/a/blobs/uploads/1")
                .header("range", format!("0-{}", taken.len().saturating_sub(1)))
        };
        match (seen.method.as_str(), path) {
            ("GET", "/v2/") => return Reply::new(200, "{}"),
            ("HEAD", _) => return Reply::new(404, ""),
            ("POST", _) => {
                taken.clear();
                return here(202, &taken);
            }
            _ => {}
        }
        let number = session.calls.fetch_add(1, Ordering::SeqCst);
        if let Some(reply) = fault(number, seen, &mut taken) {
            return reply;
        }
        match seen.method.as_str() {
            "GET" => here(204, &taken),
            "PATCH" => {
                let first = seen.header("content-range").split('-').next().unwrap().parse::<usize>().ok();
                if first.is_some_and(|first| first != taken.len()) {
                    return Reply::new(416, "");
                }
                taken.extend_from_slice(&seen.body);
                here(202, &taken)
            }
            "PUT" => {
                taken.extend_from_slice(&seen.body);
                let digest = Digest::sha256(&taken).to_string().replace(':', "%3A");
                match seen.path.contains(&digest) {
                    true => Reply::new(201, ""),
                    false => Reply::new(400, r#"{"errors":[{"code":"DIGEST_INVALID","message":"other bytes"}]}"#),
                }
            }
            other => panic!("{other} {path}"),
        }
    }
}

async fn sent(host: &Host, bytes: &Bytes, options: &UploadOptions) -> (remote::Result<Uploaded>, Vec<Told>) {
    let options = UploadOptions { mount_any: false, ..options.clone() };
    upload(&repository(host, "a"), &Made::new(bytes.clone()), &options).await
}

#[tokio::test]
async fn a_token_that_ends_on_the_way_is_renewed() {
    let bytes = noise(3 * MIB, 1);
    // Half of what was sent stays.
    let host = Host::start(session(|number, seen, taken| {
        (number == 0).then(|| {
            taken.extend_from_slice(&seen.body[..MIB]);
            Reply::new(401, "").header("www-authenticate", "Basic realm=\"x\"")
        })
    }))
    .await;
    let mut options = quick();
    options.credentials = remote::Credentials::One {
        registry: None,
        credential: remote::Credential::Password { user: "me".into(), password: "word".into() },
    };
    let there = repository_with(&host, "a", options);
    let (result, told) = upload(&there, &Made::new(bytes.clone()), &UploadOptions::default()).await;
    result.unwrap();
    assert!(told.contains(&Told::Resumed(MIB as u64)), "{told:?}");
    let resumed: Vec<_> = host.seen().into_iter().filter(|seen| seen.method == Method::PATCH).collect();
    assert!(resumed[1..].iter().all(|seen| seen.header("authorization").starts_with("Basic ")));
    // One that never comes is a refusal, not a loop.
    let host = Host::start(session(|_, seen, _| (seen.method != Method::PUT).then(|| Reply::new(401, "")))).await;
    let error = sent(&host, &bytes, &UploadOptions::default()).await.0.unwrap_err();
    assert!(matches!(error, remote::Error::Unauthorized { .. }), "{error}");
    assert_eq!(host.count(Method::PATCH, "uploads"), 1);
}

#[tokio::test]
async fn a_session_that_is_gone_is_begun_again() {
    let bytes = noise(2 * MIB, 1);
    let host = Host::start(session(|number, _, _| (number < 2).then(|| Reply::new(404, "")))).await;
    sent(&host, &bytes, &UploadOptions::default()).await.0.unwrap();
    assert_eq!(host.count(Method::POST, "uploads"), 3);
    let host = Host::start(session(|_, _, _| Some(Reply::new(404, "")))).await;
    sent(&host, &bytes, &UploadOptions::default()).await.0.unwrap_err();
    assert!(host.count(Method::POST, "uploads") <= 4);
}

#[tokio::test]
async fn a_range_that_is_refused_is_asked_for() {
    let bytes = noise(2 * MIB, 1);
    // The host lost the end of the second chunk.
    let host = Host::start(session(|number, seen, taken| {
        (number == 1).then(|| {
            taken.extend_from_slice(&seen.body[..1000]);
            Reply::new(416, "")
        })
    }))
    .await;
    let options = UploadOptions { chunk: Some(500_000), ..UploadOptions::default() };
    let (result, told) = sent(&host, &bytes, &options).await;
    result.unwrap();
    assert!(told.contains(&Told::Resumed(501_000)), "{told:?}");
    // One that refuses whatever comes is left.
    let host = Host::start(session(|_, seen, _| (seen.method == Method::PATCH).then(|| Reply::new(416, "")))).await;
    let error = sent(&host, &bytes, &UploadOptions::default()).await.0.unwrap_err();
    assert_eq!(error.status().map(|status| status.as_u16()), Some(416));
    assert!(host.count(Method::PATCH, "uploads") <= 8, "{}", host.count(Method::PATCH, "uploads"));
}

#[tokio::test]
async fn bodies_that_are_too_long_for_something_on_the_way_go_in_chunks() {
    let bytes = noise(10 * MIB, 1);
    let host = Host::start(session(|_, seen, _| (seen.body.len() > 5 * MIB).then(|| Reply::new(413, "")))).await;
    sent(&host, &bytes, &UploadOptions::default()).await.0.unwrap();
    assert!(host.count(Method::PATCH, "uploads") > 2);
}

#[tokio::test]
async fn a_registry_that_kept_less_than_it_took_gets_the_rest() {
    let bytes = noise(3 * MIB, 1);
    let host = Host::start(session(|number, seen, taken| {
        (number == 0).then(|| {
            taken.extend_from_slice(&seen.body[..MIB]);
            Reply::new(202, "").header("location", "/v2/a/blobs/uploads/1").header("range", format!("0-{}", MIB - 1))
        })
    }))
    .await;
    let (result, told) = sent(&host, &bytes, &UploadOptions::default()).await;
    result.unwrap();
    assert!(told.contains(&Told::Resumed(MIB as u64)), "{told:?}");
}

#[tokio::test]
async fn the_end_of_an_upload_whose_answer_was_lost_is_not_sent_again() {
    let server = Running::start().await;
    let bytes = noise(2 * MIB, 3);
    // The answers: to the probe, HEAD, POST, PATCH; the one to PUT is cut.
    for after in (100..2_000).step_by(90) {
        let proxy = Proxy::start(server.address, [Rule::after(after, Way::Down, Fault::Cut)]).unwrap();
        let there = plain(&proxy, &format!("r{after}"), quick());
        let options = UploadOptions { mount_any: false, ..UploadOptions::default() };
        let (result, told) = upload(&there, &known(&bytes), &options).await;
        result.unwrap_or_else(|error| panic!("{after}: {error}: {told:?}"));
        assert!(has(&there, &bytes).await);
        assert!(proxy.passed().up < 5 * MIB as u64, "{after}: {:?} {told:?}", proxy.passed());
    }
}

#[tokio::test]
async fn wrong_bytes_are_refused_and_said_so() {
    let server = Running::start().await;
    let there =
        remote::Client::new(quick()).registry(&server.address.to_string()).unwrap().repository(&"a".parse().unwrap());
    for size in [1000, 3 * MIB] {
        let wrong = BytesSource::new(Digest::sha256(b"other"), noise(size, 1));
        let error = upload(&there, &wrong, &UploadOptions::default()).await.0.unwrap_err();
        assert!(error.is_digest_refused(), "{error}");
    }
}

#[tokio::test]
async fn a_source_that_fails_is_named() {
    struct Broken;
    impl Source for Broken {
        fn known(&self) -> Option<(Digest, u64)> {
            Some((Digest::sha256(b"x"), 5 << 20))
        }
        fn open(&self, _: u64) -> BoxFuture<'_, Result<Pieces, SourceError>> {
            let pieces = [Ok(Bytes::from(vec![0; MIB])), Err(SourceError::from("the disk is gone"))];
            Box::pin(async move { Ok(futures_util::stream::iter(pieces).boxed()) })
        }
    }
    let host = Host::start(session(|_, _, _| None)).await;
    let options = UploadOptions { mount_any: false, ..UploadOptions::default() };
    for chunk in [None, Some(100_000)] {
        let options = UploadOptions { chunk, ..options.clone() };
        let error = upload(&repository(&host, "a"), &Broken, &options).await.0.unwrap_err();
        assert!(error.to_string().contains("the disk is gone"), "{error}");
    }
}
