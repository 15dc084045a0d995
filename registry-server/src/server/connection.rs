//! One connection: its handshake, its requests, its end.

use std::future::Future as _;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::AsyncWriteExt as _;
use tokio_util::sync::CancellationToken;

use super::limits::{CONNECTION_WINDOW, HEADERS, READ_BUFFER, STREAM_WINDOW, STREAMS};
use super::stream::{Impatient, Stream};
use super::{Shared, dispatch};
use crate::auth::Peer;
use crate::tls::Tls;

/// What a client gets when there are too many: it is written without reading the request.
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n\
    Content-Type: application/json\r\nContent-Length: 105\r\n\r\n\
    {\"errors\":[{\"code\":\"TOOMANYREQUESTS\",\"message\":\"the registry has too many connections: come back soon\"}]}";

/// Tells a client that there are too many connections. Over TLS the connection just ends.
pub(super) async fn refuse(stream: Stream) {
    let mut plain = match stream {
        Stream::Tls(_) => return,
        plain => plain,
    };
    let said = async {
        plain.write_all(BUSY).await?;
        plain.shutdown().await
    };
    // Nobody waits for it: a client that does not even read this has its answer, too.
    let _ = tokio::time::timeout(std::time::Duration::from_millis(200), said).await;
}

/// Serves a connection until its end, or until `stop` and the answers in flight are through.
pub(super) async fn serve(shared: Arc<Shared>, stream: Stream, address: Option<IpAddr>, stop: CancellationToken) {
    let limit = shared.limits.header_timeout.get();
    let (stream, peer) = match tokio::time::timeout(limit, handshake(&shared, stream, address)).await {
        Ok(Ok(ready)) => ready,
        Ok(Err(error)) => return tracing::debug!(?address, %error, "handshake failed"),
        Err(_) => return tracing::debug!(?address, "handshake timed out"),
    };
    let peer = Arc::new(peer);
    let builder = builder(&shared);
    let heard = Arc::new(AtomicBool::new(false));
    let service = {
        let (shared, heard) = (Arc::clone(&shared), Arc::clone(&heard));
        service_fn(move |request| {
            heard.store(true, Ordering::Relaxed);
            let (shared, peer) = (Arc::clone(&shared), Arc::clone(&peer));
            async move { Ok::<_, std::convert::Infallible>(dispatch::answer(shared, peer, request).await) }
        })
    };
    let io = TokioIo::new(Impatient::new(stream, shared.limits.body_timeout.get()));
    let mut connection = pin!(builder.serve_connection(io, service));
    // Until the protocol is known no timer of hyper's runs, and HTTP/2 has none for the first request.
    let mut first = pin!(tokio::time::sleep(limit));
    let mut stopped = pin!(stop.cancelled());
    let (mut stopping, mut timed) = (false, false);
    let ended = std::future::poll_fn(|cx| {
        if !stopping && stopped.as_mut().poll(cx).is_ready() {
            stopping = true;
            connection.as_mut().graceful_shutdown();
        }
        if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
            return Poll::Ready(ended.map_err(|error| error.to_string()));
        }
        if !timed && first.as_mut().poll(cx).is_ready() {
            timed = true;
            if !heard.load(Ordering::Relaxed) {
                return Poll::Ready(Err("no request came".to_owned()));
            }
        }
        Poll::Pending
    })
    .await;
    if let Err(error) = ended {
        tracing::debug!(?address, %error, "connection ended");
    }
}

async fn handshake(shared: &Shared, stream: Stream, address: Option<IpAddr>) -> io::Result<(Stream, Peer)> {
    let plain = Peer { address, tls: false, certificate: None };
    match (stream, &shared.tls) {
        (Stream::Tcp(stream), Some(tls)) => {
            let stream = tls.accept(stream).await?;
            let certificate = Tls::certificate(&stream);
            Ok((Stream::Tls(Box::new(stream)), Peer { address, tls: true, certificate }))
        }
        (stream, _) => Ok((stream, plain)),
    }
}

fn builder(shared: &Shared) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.limits.header_timeout.get())
        .max_buf_size(READ_BUFFER)
        .max_headers(HEADERS)
        .half_close(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(READ_BUFFER).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(shared.limits.header_timeout.get())
        .keep_alive_timeout(shared.limits.header_timeout.get());
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_is_well_formed() {
        let text = std::str::from_utf8(BUSY).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{}", body.len());
        serde_json::from_str::<serde_json::Value>(body).unwrap();
    }
}
