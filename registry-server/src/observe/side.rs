//! An address for those who watch: `/metrics`, `/healthz` and `/readyz`, and nothing else.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::{health, metrics};
use crate::Registry;

/// Those who watch are few.
const CONNECTIONS: usize = 64;
/// How long one may take to say what it wants.
const HEADERS: Duration = Duration::from_secs(10);

/// The open listener.
#[derive(Debug)]
pub struct Side {
    listener: TcpListener,
}

impl Side {
    /// Opens it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address).await? })
    }

    /// Where it listens, with the port that was taken.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers for as long as it is polled: also while the registry ends, so that it can be watched ending.
    pub async fn run(self, registry: Arc<Registry>) -> Infallible {
        let permits = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            // Closed never: the semaphore is ours.
            let permit = Arc::clone(&permits).acquire_owned().await.ok();
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "accept at the address for metrics");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let registry = Arc::clone(&registry);
            tokio::spawn(async move {
                let service = hyper::service::service_fn(move |request| {
                    let registry = Arc::clone(&registry);
                    async move { Ok::<_, Infallible>(answer(&request, registry).await) }
                });
                let mut builder = hyper::server::conn::http1::Builder::new();
                builder.timer(TokioTimer::new()).header_read_timeout(HEADERS);
                // A watcher that goes away is no news.
                drop(builder.serve_connection(TokioIo::new(stream), service).await);
                drop(permit);
            });
        }
    }
}

async fn answer(request: &Request<Incoming>, registry: Arc<Registry>) -> Response<Full<Bytes>> {
    let (status, kind, text) = match request.uri().path() {
        "/metrics" if registry.config.metrics.enabled => match registry.metrics.text() {
            Ok(text) => (StatusCode::OK, metrics::CONTENT_TYPE, text),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, PLAIN, error.to_string()),
        },
        "/healthz" => (StatusCode::OK, PLAIN, "ok\n".to_owned()),
        "/readyz" => match tokio::task::spawn_blocking(move || health::readiness(&registry)).await.as_deref() {
            Ok([]) => (StatusCode::OK, PLAIN, "ok\n".to_owned()),
            Ok(trouble) => (StatusCode::SERVICE_UNAVAILABLE, PLAIN, format!("{}\n", trouble.join("\n"))),
            Err(error) => (StatusCode::SERVICE_UNAVAILABLE, PLAIN, error.to_string()),
        },
        _ => (StatusCode::NOT_FOUND, PLAIN, "there are /metrics, /healthz and /readyz\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

const PLAIN: &str = "text/plain; charset=utf-8";
