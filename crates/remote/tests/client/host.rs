//! A registry that behaves as its test says: real HTTP, real sockets, and every fault that a host can have.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use oci::Digest;
use tokio::net::TcpListener;

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    /// With its query.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    /// A header's text; empty where it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// What is answered, and how badly.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
    /// The connection is cut after so many bytes of the body.
    pub(crate) cut: Option<usize>,
    /// Whether the length is announced.
    pub(crate) announced: bool,
    /// Bytes sent at a time, and the pause behind each.
    pub(crate) pace: Option<(usize, Duration)>,
    /// The pause before anything is said.
    pub(crate) delay: Duration,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            cut: None,
            announced: true,
            pace: None,
            delay: Duration::ZERO,
        }
    }

    pub(crate) fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub(crate) fn cut(mut self, at: usize) -> Self {
        self.cut = Some(at);
        self
    }

    pub(crate) fn paced(mut self, bytes: usize, pause: Duration) -> Self {
        self.pace = Some((bytes, pause));
        self
    }
}

/// The server of a test.
pub(crate) struct Host {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Host {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Host {
    pub(crate) async fn start(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1:0", answer).await
    }

    pub(crate) async fn at(address: &str, answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let (log, answer) = (Arc::clone(&seen), Arc::new(answer));
        let task = tokio::spawn(async move {
            // Connections end with the server, so that a host that is dropped is down.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                let service = service_fn(move |request| {
                    let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                    async move { Ok::<_, Infallible>(respond(request, &log, &*answer).await) }
                });
                connections.spawn(async move {
                    let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, seen, task }
    }

    /// What came so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// How many requests had a method and a path that holds `part`.
    pub(crate) fn count(&self, method: Method, part: &str) -> usize {
        self.seen().iter().filter(|seen| seen.method == method && seen.path.contains(part)).count()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

type Body = http_body_util::combinators::BoxBody<Bytes, std::io::Error>;

async fn respond(
    request: Request<Incoming>,
    log: &Mutex<Vec<Seen>>,
    answer: &(dyn Fn(&Seen) -> Reply + Send + Sync),
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let path = parts.uri.path_and_query().unwrap().to_string();
    let seen = Seen { method: parts.method.clone(), path, headers: parts.headers, body };
    log.lock().unwrap().push(seen.clone());
    let reply = answer(&seen);
    tokio::time::sleep(reply.delay).await;
    let mut response = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        response = response.header(name, value);
    }
    let named = reply.headers.iter().any(|(name, _)| name == "content-length");
    if reply.announced && !named && reply.status != 204 {
        response = response.header("content-length", reply.body.len());
    }
    if parts.method == Method::HEAD {
        return response.body(http_body_util::Empty::new().map_err(|never| match never {}).boxed()).unwrap();
    }
    let kept = reply.cut.unwrap_or(reply.body.len()).min(reply.body.len());
    let (size, pause) = reply.pace.unwrap_or((1 << 20, Duration::ZERO));
    let pieces: Vec<Bytes> = reply.body.slice(..kept).chunks(size).map(Bytes::copy_from_slice).collect();
    let cut = reply.cut.is_some();
    let stream = futures_util::stream::unfold((pieces.into_iter(), cut), move |(mut pieces, cut)| async move {
        if let Some(piece) = pieces.next() {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            return Some((Ok(Frame::data(piece)), (pieces, cut)));
        }
        // The pause lets what was sent go out before the connection ends.
        tokio::time::sleep(Duration::from_millis(5)).await;
        cut.then(|| (Err(std::io::Error::other("cut")), (pieces, false)))
    });
    response.body(StreamBody::new(SyncStream(Mutex::new(Box::pin(stream)))).boxed()).unwrap()
}

/// A stream that is shared by nobody, for a body that must be `Sync`.
struct SyncStream<S>(Mutex<S>);

impl<S: futures_util::Stream + Unpin> futures_util::Stream for SyncStream<S> {
    type Item = S::Item;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        let mut inner = self.0.lock().unwrap();
        std::pin::Pin::new(&mut *inner).poll_next(cx)
    }
}

/// What a well-behaved registry holds: tests add their faults around it.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    blobs: Mutex<HashMap<Digest, Bytes>>,
    manifests: Mutex<HashMap<String, (Bytes, String)>>,
}

impl Shelf {
    pub(crate) fn blob(&self, bytes: impl Into<Bytes>) -> Digest {
        let bytes = bytes.into();
        let digest = Digest::sha256(&bytes);
        self.blobs.lock().unwrap().insert(digest, bytes);
        digest
    }

    /// Lays a manifest under a tag and its digest.
    pub(crate) fn manifest(&self, tag: &str, text: &str) -> Digest {
        let digest = Digest::sha256(text.as_bytes());
        let row = (Bytes::from(text.to_owned()), oci::media_type::OCI_MANIFEST.to_owned());
        let mut manifests = self.manifests.lock().unwrap();
        manifests.insert(tag.to_owned(), row.clone());
        manifests.insert(digest.to_string(), row);
        digest
    }

    /// An image of one layer; gives the digests of its manifest and its layer.
    pub(crate) fn image(&self, tag: &str, layer: impl Into<Bytes>) -> (Digest, Digest) {
        let layer = layer.into();
        let (size, layer, config) = (layer.len(), self.blob(layer), self.blob("{}"));
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"{}","digest":"{config}","size":2}},"layers":[{{"mediaType":"{}","digest":"{layer}","size":{size}}}]}}"#,
            oci::media_type::OCI_MANIFEST,
            oci::media_type::OCI_CONFIG,
            oci::media_type::OCI_LAYER,
        );
        (self.manifest(tag, &text), layer)
    }

    pub(crate) fn forget(&self, reference: &str) {
        self.manifests.lock().unwrap().remove(reference);
    }

    /// What a good registry answers, ranges included.
    pub(crate) fn answer(&self, seen: &Seen) -> Reply {
        let path = seen.path.split('?').next().unwrap();
        if path == "/v2/" {
            return Reply::new(200, "{}");
        }
        if let Some((_, reference)) = path.split_once("/manifests/") {
            let manifests = self.manifests.lock().unwrap();
            let Some((bytes, media_type)) = manifests.get(reference) else { return unknown("MANIFEST_UNKNOWN") };
            return Reply::new(200, bytes.clone())
                .header("content-type", media_type)
                .header("docker-content-digest", Digest::sha256(bytes));
        }
        let digest = path.split_once("/blobs/").and_then(|(_, digest)| digest.parse().ok());
        let blobs = self.blobs.lock().unwrap();
        let Some(bytes) = digest.and_then(|digest: Digest| blobs.get(&digest)) else { return unknown("BLOB_UNKNOWN") };
        ranged(bytes, seen.header("range"))
    }
}

fn unknown(code: &str) -> Reply {
    Reply::new(404, format!(r#"{{"errors":[{{"code":"{code}","message":"no such thing"}}]}}"#))
}

/// Bytes, or the range of them that is asked for.
pub(crate) fn ranged(bytes: &Bytes, range: &str) -> Reply {
    let Some((start, end)) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Reply::new(StatusCode::OK.as_u16(), bytes.clone());
    };
    let start: usize = start.parse().unwrap();
    let end = end.parse().map_or(bytes.len(), |end: usize| (end + 1).min(bytes.len()));
    if start >= end {
        return Reply::new(416, "");
    }
    let text = format!("bytes {start}-{}/{}", end - 1, bytes.len());
    Reply::new(206, bytes.slice(start..end)).header("content-range", text)
}

/// Bytes that differ everywhere.
pub(crate) fn noise(length: usize, seed: u64) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    Bytes::from(bytes)
}
