//! A registry that runs for one test.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use oci::Digest;
use registry_server::Registry;
use registry_server::config::{Address, Addresses, Config};
use registry_server::server::{self, Listener};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long one request may take before its test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// A registry at a free port, with a data directory that goes with it.
pub(crate) struct Harness {
    pub(crate) registry: Arc<Registry>,
    pub(crate) address: SocketAddr,
    root: TempDir,
    config: Config,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// A header's text; empty where it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    /// Status and error code: `400 DIGEST_INVALID`.
    pub(crate) fn refusal(&self) -> String {
        let code = self.json()["errors"][0]["code"].as_str().unwrap_or("?").to_owned();
        format!("{} {code}", self.status)
    }
}

impl Harness {
    /// A registry as it is without configuration.
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// A registry with choices of the test.
    pub(crate) async fn with(choose: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.server.address = Addresses(vec![Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)))]);
        config.server.drain = registry_server::config::Duration::seconds(2);
        choose(&mut config);
        Self::serve(config, tempfile::tempdir().unwrap()).await
    }

    async fn serve(config: Config, root: TempDir) -> Self {
        let registry = Registry::open(config.clone(), root.path()).unwrap();
        let listener = Listener::bind(&config.server.address.0[0]).unwrap();
        let Address::Tcp(address) = *listener.address() else { panic!("tests listen at TCP addresses") };
        let stop = CancellationToken::new();
        let server = tokio::spawn(server::serve(Arc::clone(&registry), vec![listener], None, stop.clone()));
        Self { registry, address, root, config, stop, server }
    }

    /// Stops the server, lets go of everything it held in memory, and starts another one on the same data.
    pub(crate) async fn restart(self) -> Self {
        self.stop.cancel();
        self.server.await.unwrap();
        let (config, root) = (self.config, self.root);
        // Requests may still hold the state for a moment.
        let gone = Arc::downgrade(&self.registry);
        drop(self.registry);
        while gone.strong_count() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Self::serve(config, root).await
    }

    /// Tells the server to stop, and waits for it.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.server).await.expect("the server stops").unwrap();
    }

    /// Tells the server to stop.
    pub(crate) fn begin_stop(&self) {
        self.stop.cancel();
    }

    /// The data directory.
    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// One request over a connection of its own. The path goes out as it is.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let exchange = async {
            let stream = TcpStream::connect(self.address).await.unwrap();
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            let mut request = Request::new(Full::new(body.into()));
            *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
            *request.uri_mut() = path.parse().unwrap();
            request.headers_mut().insert("host", self.address.to_string().parse().unwrap());
            for (name, value) in headers {
                let name: http::HeaderName = name.parse().unwrap();
                request.headers_mut().append(name, value.parse().unwrap());
            }
            let response = sender.send_request(request).await.unwrap();
            let (parts, body) = response.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            Answer { status: parts.status.as_u16(), headers: parts.headers, body }
        };
        tokio::time::timeout(PATIENCE, exchange).await.unwrap_or_else(|_| panic!("{method} {path} takes too long"))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    pub(crate) async fn head(&self, path: &str) -> Answer {
        self.send("HEAD", path, &[], "").await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], "").await
    }

    /// Bytes as they are, over a connection of its own; what comes back until the server closes it.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> String {
        let exchange = async {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            // A refusal may come before all is written.
            let _ = stream.write_all(bytes).await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            String::from_utf8_lossy(&answer).into_owned()
        };
        tokio::time::timeout(PATIENCE, exchange).await.expect("the server closes the connection")
    }

    /// Uploads a blob in one request.
    pub(crate) async fn push_blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::sha256(bytes);
        let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
        let answer = self.send("POST", &path, &[], bytes.to_vec()).await;
        assert_eq!(answer.status, 201, "{:?}", answer.body);
        digest
    }

    /// Uploads a manifest under a tag or its digest.
    pub(crate) async fn put_manifest(&self, repository: &str, reference: &str, manifest: &Value) -> Answer {
        let path = format!("/v2/{repository}/manifests/{reference}");
        self.send("PUT", &path, &[], manifest.to_string()).await
    }

    /// Uploads an image of one layer with `content` under a tag; gives its digest.
    pub(crate) async fn push_image(&self, repository: &str, tag: &str, content: &str) -> Digest {
        let manifest = self.image(repository, content).await;
        let answer = self.put_manifest(repository, tag, &manifest).await;
        assert_eq!(answer.status, 201, "{:?}", answer.body);
        Digest::sha256(manifest.to_string().as_bytes())
    }

    /// Uploads the blobs of an image of one layer, and gives its manifest.
    pub(crate) async fn image(&self, repository: &str, content: &str) -> Value {
        let config = self.push_blob(repository, b"{}").await;
        let layer = self.push_blob(repository, content.as_bytes()).await;
        image(&config, 2, &[(&layer, content.len())])
    }
}

/// An OCI manifest.
pub(crate) fn image(config: &Digest, config_size: usize, layers: &[(&Digest, usize)]) -> Value {
    let layers: Vec<_> = layers
        .iter()
        .map(|(digest, size)| json!({ "mediaType": oci::media_type::OCI_LAYER, "digest": digest, "size": size }))
        .collect();
    json!({
        "schemaVersion": 2,
        "mediaType": oci::media_type::OCI_MANIFEST,
        "config": { "mediaType": oci::media_type::OCI_CONFIG, "digest": config, "size": config_size },
        "layers": layers,
    })
}

/// The `next` of a `Link` header; `None` at the end of a list.
pub(crate) fn next(answer: &Answer) -> Option<String> {
    let link = answer.headers.get("link")?.to_str().unwrap();
    let (path, relation) = link.split_once(';').unwrap();
    assert_eq!(relation.trim(), "rel=\"next\"");
    Some(path.strip_prefix('<').unwrap().strip_suffix('>').unwrap().to_owned())
}
