//! Traces: a span a request, sent to a collector over OTLP/HTTP. Where none is configured, requests pay nothing.
//!
//! A caller's `traceparent` makes the span a part of its trace, and its decision whether to record is followed.
//! Specification: W3C Trace Context, "traceparent header"; OpenTelemetry semantic conventions for HTTP servers.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use opentelemetry::trace::{
    Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId, TraceState,
    Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, Span};

use crate::config::Tracing;
use crate::route::Row;

/// How long the collector may take for a batch.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the last batch may take when the registry ends.
const LAST: Duration = Duration::from_secs(5);
/// What is read of a collector's answer: it says next to nothing.
const LARGEST_ANSWER: usize = 64 << 10;

/// Makes spans, and sends them in batches from a thread of its own.
pub struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traces").finish_non_exhaustive()
    }
}

impl Traces {
    /// `None` where no collector is configured. Within a tokio runtime, which then does the sending.
    ///
    /// # Errors
    /// In words, when the exporter cannot be set up.
    pub fn open(config: &Tracing) -> Result<Option<Self>, String> {
        let Some(endpoint) = &config.endpoint else { return Ok(None) };
        let runtime = tokio::runtime::Handle::try_current().map_err(|error| error.to_string())?;
        let headers = config.headers.iter().map(|(name, value)| (name.clone(), value.expose().to_owned()));
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(Sender { runtime, client: crate::outbound::client(PATIENCE)? })
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .with_timeout(PATIENCE)
            .with_headers(headers.collect::<HashMap<_, _>>())
            .build()
            .map_err(|error| error.to_string())?;
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.ratio)));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(sampler)
            .with_resource(Resource::builder().with_service_name(config.service.clone()).build())
            .build();
        let tracer = provider.tracer("estiba-registry");
        Ok(Some(Self { provider, tracer }))
    }

    /// The span of a request, from now on; `None` where it is not to be recorded.
    pub fn begin(&self, headers: &HeaderMap) -> Option<RequestSpan> {
        let given = headers.get("traceparent").and_then(|value| value.to_str().ok()).and_then(parent);
        let context = match given {
            Some(parent) => Context::new().with_remote_span_context(parent),
            None => Context::new(),
        };
        let builder = self.tracer.span_builder("request").with_kind(SpanKind::Server);
        let span = self.tracer.build_with_context(builder, &context);
        span.is_recording().then_some(RequestSpan(span))
    }

    /// Sends what is left. Blocking.
    pub fn finish(&self) {
        if let Err(error) = self.provider.shutdown_with_timeout(LAST) {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}

/// The span of one request.
#[derive(Debug)]
pub struct RequestSpan(Span);

impl RequestSpan {
    /// Ends it with what came of the request.
    pub fn end(
        mut self,
        row: Option<&'static Row>,
        method: &Method,
        repository: Option<&str>,
        status: StatusCode,
        request: &dyn fmt::Display,
    ) {
        let route = row.map_or("none", |row| row.path);
        self.0.update_name(format!("{method} {route}"));
        self.0.set_attributes([
            KeyValue::new("http.request.method", method.to_string()),
            KeyValue::new("http.route", route),
            KeyValue::new("http.response.status_code", i64::from(status.as_u16())),
            KeyValue::new("estiba.request.id", request.to_string()),
        ]);
        if let Some(row) = row {
            self.0.set_attribute(KeyValue::new("estiba.endpoint", row.name));
        }
        if let Some(repository) = repository {
            self.0.set_attribute(KeyValue::new("estiba.repository", repository.to_owned()));
        }
        if status.is_server_error() {
            self.0.set_status(Status::error(status.to_string()));
        }
        self.0.end();
    }
}

/// Reads `version-traceid-parentid-flags`; `None` for what the specification calls invalid.
pub fn parent(text: &str) -> Option<SpanContext> {
    let hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let (version, rest) = text.split_at_checked(2)?;
    // Later versions may say more after another dash; the first one may not.
    let (known, further) = rest.split_at_checked(53)?;
    if !hex(version) || version == "ff" || (version == "00" && !further.is_empty()) {
        return None;
    }
    if !further.is_empty() && !further.starts_with('-') {
        return None;
    }
    let mut parts = known.strip_prefix('-')?.split('-');
    let (trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?);
    let lengths = (trace.len(), span.len(), flags.len()) == (32, 16, 2) && parts.next().is_none();
    if !lengths || ![trace, span, flags].into_iter().all(hex) {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    let context = SpanContext::new(trace, span, flags, true, TraceState::NONE);
    context.is_valid().then_some(context)
}

/// Posts batches. The exporter's thread is none of the runtime's, so the call is made on one of those.
#[derive(Debug)]
struct Sender {
    runtime: tokio::runtime::Handle,
    client: reqwest::Client,
}

impl HttpClient for Sender {
    fn send_bytes<'s, 'f>(
        &'s self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'f>>
    where
        's: 'f,
        Self: 'f,
    {
        let client = self.client.clone();
        let call = self.runtime.spawn(async move {
            let mut answer = client.execute(request.try_into()?).await?;
            let mut body = Vec::new();
            while let Some(chunk) = answer.chunk().await? {
                if body.len() + chunk.len() > LARGEST_ANSWER {
                    break;
                }
                body.extend_from_slice(&chunk);
            }
            let mut response = Response::new(Bytes::from(body));
            *response.status_mut() = answer.status();
            Ok(response)
        });
        Box::pin(async move { call.await? })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn the_callers_trace() {
        let read = |text: &str| parent(text).map(|context| (context.trace_id().to_string(), context.is_sampled()));
        let trace = TRACE.to_owned();
        for (text, expected) in [
            (format!("00-{TRACE}-{SPAN}-01"), Some((trace.clone(), true))),
            (format!("00-{TRACE}-{SPAN}-00"), Some((trace.clone(), false))),
            (format!("00-{TRACE}-{SPAN}-ff"), Some((trace.clone(), true))),
            (format!("01-{TRACE}-{SPAN}-01-more"), Some((trace, true))),
            (format!("00-{TRACE}-{SPAN}-01-more"), None),
            (format!("01-{TRACE}-{SPAN}-01more"), None),
            (format!("ff-{TRACE}-{SPAN}-01"), None),
            (format!("00-{}-{SPAN}-01", "0".repeat(32)), None),
            (format!("00-{TRACE}-{}-01", "0".repeat(16)), None),
            (format!("00-{}-{SPAN}-01", TRACE.to_uppercase()), None),
            (format!("00-{TRACE}-{SPAN}-0g"), None),
            (format!("00-{TRACE}-{SPAN}"), None),
            ("ü".repeat(40), None),
            (String::new(), None),
        ] {
            assert_eq!(read(&text), expected, "{text}");
        }
    }

    /// A collector: keeps what is posted to it, says 200.
    async fn collector() -> (String, Arc<Mutex<Vec<Vec<u8>>>>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let posts = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&posts);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut bytes = Vec::new();
                let mut buffer = [0; 8192];
                loop {
                    let length = stream.read(&mut buffer).await.unwrap();
                    bytes.extend_from_slice(&buffer[..length]);
                    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
                    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
                    let wanted: usize =
                        head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
                    if bytes.len() >= end + 4 + wanted {
                        break;
                    }
                }
                kept.lock().unwrap().push(bytes);
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await.unwrap();
            }
        });
        (address, posts)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn spans_reach_the_collector() {
        let (address, posts) = collector().await;
        let headers = [("x-key".to_owned(), crate::config::Secret::from("k".to_owned()))].into();
        let config = Tracing { endpoint: Some(address), headers, ..Tracing::default() };
        let traces = Traces::open(&config).unwrap().unwrap();
        let mut given = HeaderMap::new();
        given.insert("traceparent", format!("00-{TRACE}-{SPAN}-01").parse().unwrap());
        let row = crate::route::TABLE.iter().find(|row| row.name == "manifest.get");
        let end = |span: RequestSpan| span.end(row, &Method::GET, Some("team/app"), StatusCode::OK, &"the-request");
        end(traces.begin(&given).unwrap());
        // The caller said that nobody records it.
        given.insert("traceparent", format!("00-{TRACE}-{SPAN}-00").parse().unwrap());
        assert!(traces.begin(&given).is_none());
        tokio::task::spawn_blocking(move || traces.finish()).await.unwrap();
        let posts = posts.lock().unwrap();
        assert_eq!(posts.len(), 1);
        let post = &posts[0];
        let text = String::from_utf8_lossy(post);
        assert!(text.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{text}");
        assert!(text.to_lowercase().contains("x-key: k\r\n"), "{text}");
        assert!(text.to_lowercase().contains("content-type: application/x-protobuf\r\n"), "{text}");
        let trace: Vec<u8> = (0..16).map(|at| u8::from_str_radix(&TRACE[at * 2..at * 2 + 2], 16).unwrap()).collect();
        let span: Vec<u8> = (0..8).map(|at| u8::from_str_radix(&SPAN[at * 2..at * 2 + 2], 16).unwrap()).collect();
        for part in [
            &trace[..],
            &span,
            b"GET /v2/{name}/manifests/{reference}",
            b"http.route",
            b"team/app",
            b"the-request",
            b"estiba-registry",
        ] {
            assert!(post.windows(part.len()).any(|window| window == part), "{part:?} is missing");
        }
    }

    #[tokio::test]
    async fn without_a_collector_there_is_nothing() {
        assert!(Traces::open(&Tracing::default()).unwrap().is_none());
        let config = Tracing { endpoint: Some("http://127.0.0.1:9".to_owned()), ratio: 0.0, ..Tracing::default() };
        let traces = Traces::open(&config).unwrap().unwrap();
        assert!(traces.begin(&HeaderMap::new()).is_none());
    }
}
