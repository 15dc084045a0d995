//! A registry behind TLS with certificates that are made for the test, and which asks for client certificates if it shall.

use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::host::{Reply, Seen};

/// Somebody who signs.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

/// A certificate and its key.
pub(crate) struct Signed {
    pub(crate) certificate: rcgen::Certificate,
    pub(crate) key: KeyPair,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    pub(crate) fn pem(&self) -> String {
        self.certificate.pem()
    }

    pub(crate) fn sign(&self, names: &[&str]) -> Signed {
        self.sign_as(names, |_| ())
    }

    pub(crate) fn sign_as(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Signed {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        Signed { certificate: params.signed_by(&key, &self.issuer).unwrap(), key }
    }
}

impl Signed {
    /// Writes `client.cert` and `client.key`.
    pub(crate) fn write(&self, folder: &Path) {
        std::fs::write(folder.join("client.cert"), self.certificate.pem()).unwrap();
        std::fs::write(folder.join("client.key"), self.key.serialize_pem()).unwrap();
    }
}

/// What a client was asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clients {
    Anybody,
    /// Those that show a certificate are noted.
    Asked,
    /// Only those with a certificate.
    Known,
}

/// The server of a test.
pub(crate) struct SecureHost {
    pub(crate) port: u16,
    seen: Arc<Mutex<Vec<(Seen, bool)>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for SecureHost {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl SecureHost {
    /// `authority` signs for clients; `signed` is who the server is.
    pub(crate) async fn start(
        authority: &Authority,
        signed: &Signed,
        clients: Clients,
        answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(config(authority, signed, clients)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::<Mutex<Vec<(Seen, bool)>>>::default();
        let (log, answer) = (Arc::clone(&seen), Arc::new(answer));
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, log, answer) = (acceptor.clone(), Arc::clone(&log), Arc::clone(&answer));
                connections.spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let shown = stream.get_ref().1.peer_certificates().is_some();
                    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                        let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                        async move {
                            let (parts, _) = request.into_parts();
                            let path = parts.uri.path_and_query().unwrap().to_string();
                            let seen = Seen { method: parts.method, path, headers: parts.headers, body: Bytes::new() };
                            log.lock().unwrap().push((seen.clone(), shown));
                            let reply = answer(&seen);
                            let mut response = Response::builder().status(reply.status);
                            for (name, value) in &reply.headers {
                                response = response.header(name, value);
                            }
                            Ok::<_, Infallible>(response.body(Full::new(reply.body)).unwrap())
                        }
                    });
                    let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { port, seen, task }
    }

    /// What came so far, and whether a client certificate came with it.
    pub(crate) fn seen(&self) -> Vec<(Seen, bool)> {
        self.seen.lock().unwrap().clone()
    }
}

fn config(authority: &Authority, signed: &Signed, clients: Clients) -> ServerConfig {
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::try_from(signed.key.serialize_der()).unwrap();
    let chain: Vec<CertificateDer<'static>> = vec![signed.certificate.der().clone()];
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    if clients == Clients::Anybody {
        return builder.with_no_client_auth().with_single_cert(chain, key).unwrap();
    }
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate.der().clone()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let verifier = if clients == Clients::Asked { verifier.allow_unauthenticated() } else { verifier };
    builder.with_client_cert_verifier(verifier.build().unwrap()).with_single_cert(chain, key).unwrap()
}
