//! The ways to a host: TLS with a certificate of our own, HTTP/2, IPv6, proxies.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use remote::{Accept, Client, Error, Options, Pem};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::host::{Host, Reply};
use crate::quick;

const MANIFEST: &str = r#"{"schemaVersion":2,"layers":[]}"#;

/// A registry behind TLS for `localhost`; its certificate, and how many requests came by HTTP/2.
async fn encrypted() -> (u16, Vec<u8>, Arc<AtomicUsize>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().to_vec();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let modern = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&modern);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, count) = (acceptor.clone(), Arc::clone(&count));
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let answer = hyper::service::service_fn(move |request: Request<Incoming>| {
                    if request.version() == Version::HTTP_2 {
                        count.fetch_add(1, Ordering::SeqCst);
                    }
                    async move { Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from(MANIFEST)))) }
                });
                let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    });
    (port, certificate, modern)
}

async fn pull(options: Options, registry: &str) -> remote::Result<()> {
    let repository = Client::new(options).registry(registry)?.repository(&"a".parse().unwrap());
    repository.manifest_by_tag(&"latest".parse().unwrap(), &Accept::default()).await.map(drop)
}

#[tokio::test]
async fn tls_with_a_root_of_ours_and_http_2() {
    let (port, certificate, modern) = encrypted().await;
    let name = format!("localhost:{port}");
    // Nobody knows this certificate, and plain http is not tried instead.
    let error = pull(quick(), &name).await.unwrap_err();
    assert!(matches!(error, Error::Certificate { distrust: remote::Distrust::Unknown, .. }), "{error}");
    assert!(error.to_string().contains("ertificate"), "{error}");
    assert_eq!(modern.load(Ordering::SeqCst), 0);
    let known = Options { roots: vec![Pem::from_der(vec![certificate.clone()])], ..quick() };
    pull(known.clone(), &name).await.unwrap();
    assert!(modern.load(Ordering::SeqCst) > 0);
    // The certificate is for a name, not for the address.
    assert!(pull(known, &format!("127.0.0.1:{port}")).await.is_err());
    let mut careless = quick();
    careless.insecure.insert(format!("127.0.0.1:{port}"));
    pull(careless, &format!("127.0.0.1:{port}")).await.unwrap();
}

#[tokio::test]
async fn version_6_addresses() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let host = Host::at("[::1]:0", |_| Reply::new(200, MANIFEST)).await;
    pull(quick(), &format!("[::1]:{}", host.address.port())).await.unwrap();
}

/// Runs in a process of its own: proxies are found in the environment.
#[tokio::test]
async fn proxies_of_the_environment() {
    let proxy = Host::start(|_| Reply::new(200, MANIFEST)).await;
    let output = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "ways::through_a_proxy"])
        .env("http_proxy", proxy.url())
        .env("HTTP_PROXY", proxy.url())
        .env_remove("no_proxy")
        .env_remove("NO_PROXY")
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let seen = proxy.seen();
    assert!(!seen.is_empty() && seen.iter().all(|seen| seen.header("host") == "registry.example"), "{seen:?}");
}

#[tokio::test]
#[ignore = "run by proxies_of_the_environment"]
async fn through_a_proxy() {
    let mut options = quick();
    options.insecure.insert("registry.example".to_owned());
    pull(options, "registry.example").await.unwrap();
    // This machine is reached without one.
    let here = Host::start(|_| Reply::new(200, MANIFEST)).await;
    pull(quick(), &here.address.to_string()).await.unwrap();
    assert!(!here.seen().is_empty());
}
