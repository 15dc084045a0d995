//! The HTTP server: listeners, connections, and the way from a request to its endpoint.
//!
//! HTTP/1.1 and HTTP/2 on every socket (HTTP/2 in clear text by prior knowledge, else by ALPN). Every wait has an end: for
//! a handshake, for headers, for the next piece of a body, for a client that does not read. Every
//! count has a bound: connections, requests, headers and their bytes, streams of a connection.

mod call;
mod connection;
mod dispatch;
mod inbound;
mod limits;
mod listener;
mod rate;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use call::{Call, RequestId};
pub(crate) use dispatch::linger;
pub use inbound::{Inbound, InboundError};
pub use listener::{ListenError, Listener};
use rate::{AtOnce, Callers, Rate};

use crate::Registry;
use crate::config::Limits;
use crate::observe::trace::Traces;
use crate::tls::Tls;

/// How long to wait when the kernel has no descriptor left for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What connections share.
#[derive(Debug)]
struct Shared {
    registry: Arc<Registry>,
    limits: Limits,
    tls: Option<Arc<Tls>>,
    requests: Semaphore,
    callers: Callers,
    rate: Option<Rate>,
    at_once: Option<AtOnce>,
    traces: Option<Traces>,
}

/// Serves `registry` on `listeners` until `stop`, then lets what is in flight come to its end, within the
/// limit that is configured. TLS is spoken on TCP sockets only.
pub async fn serve(registry: Arc<Registry>, listeners: Vec<Listener>, tls: Option<Arc<Tls>>, stop: CancellationToken) {
    let limits = registry.config.server.limits.clone();
    let permits = Arc::new(Semaphore::new(limits.connections));
    let drain = registry.config.server.drain.get();
    let traces = Traces::open(&registry.config.tracing).unwrap_or_else(|error| {
        tracing::error!(error, "there will be no traces");
        None
    });
    let shared = Arc::new(Shared {
        requests: Semaphore::new(limits.requests),
        callers: Callers::default(),
        rate: Rate::new(limits.rate, limits.burst),
        at_once: AtOnce::new(limits.requests_per_principal),
        traces,
        registry,
        limits,
        tls,
    });
    let connections = TaskTracker::new();
    let accepting = TaskTracker::new();
    let killed = CancellationToken::new();
    for listener in listeners {
        let (shared, permits, connections) = (Arc::clone(&shared), Arc::clone(&permits), connections.clone());
        let (stop, killed) = (stop.clone(), killed.clone());
        accepting.spawn(async move { accept(&listener, &shared, &permits, &connections, &stop, &killed).await });
    }
    accepting.close();
    accepting.wait().await;
    connections.close();
    if tokio::time::timeout(drain, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "requests did not end in time: their connections are closed");
        killed.cancel();
        connections.wait().await;
    }
    // The last spans are sent from a thread of their own.
    drop(tokio::task::spawn_blocking(move || shared.traces.as_ref().map(Traces::finish)).await);
}

async fn accept(
    listener: &Listener,
    shared: &Arc<Shared>,
    permits: &Arc<Semaphore>,
    connections: &TaskTracker,
    stop: &CancellationToken,
    killed: &CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(address = %listener.address(), %error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(permits).try_acquire_owned() else {
            connections.spawn(connection::refuse(stream));
            continue;
        };
        let (shared, stop, killed) = (Arc::clone(shared), stop.clone(), killed.clone());
        connections.spawn(async move {
            let metrics = Arc::clone(&shared.registry.metrics);
            metrics.connections.inc();
            tokio::select! {
                () = connection::serve(shared, stream, address, stop) => {}
                () = killed.cancelled() => {}
            }
            metrics.connections.dec();
            drop(permit);
        });
    }
}
