//! TLS: certificates that are read again when their files change, and client certificates.
//!
//! A new set of files that does not hold together changes nothing but the log: the old one stays. Sessions of
//! an older set cannot be resumed under a newer one, so that a client certificate is judged by the authorities of today.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::RootCertStore;
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::Complaints;

/// How long a client may take to shake hands: a slow phone needs one or two seconds.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Files larger than this are no certificates: a bundle of all public authorities is 220 KiB.
const LARGEST_FILE: u64 = 4 << 20;

/// `[server.tls]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// The certificate and its chain, PEM. With a key it turns TLS on for every TCP address; both are read again when they change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// Its private key, PEM (PKCS#8, PKCS#1 or SEC1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// The authorities that client certificates must come from, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
    /// Whether clients are asked for a certificate, and what happens to those that have none.
    pub client_certificates: ClientCertificates,
}

/// What is asked of clients while they shake hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    /// Nothing.
    #[default]
    None,
    /// A certificate if they have one; a wrong one ends the handshake.
    Optional,
    /// A certificate; without one the handshake fails.
    Required,
}

impl TlsConfig {
    /// Whether TLS is on.
    pub fn enabled(&self) -> bool {
        self.certificate.is_some() && self.key.is_some()
    }

    /// Says what cannot be.
    pub fn validate(&self, wrong: &mut Complaints) {
        match (&self.certificate, &self.key) {
            (Some(_), None) => wrong.about("key", "the certificate needs its private key"),
            (None, Some(_)) => wrong.about("certificate", "the key needs its certificate"),
            _ => {}
        }
        match (self.client_certificates, &self.client_ca) {
            (ClientCertificates::None, Some(_)) => {
                wrong.about("client_certificates", "with a client_ca it must be \"optional\" or \"required\"");
            }
            (ClientCertificates::Optional | ClientCertificates::Required, None) => {
                wrong.about("client_ca", "client certificates need the file of their authorities");
            }
            _ => {}
        }
        if self.client_ca.is_some() && !self.enabled() {
            wrong.about("client_ca", "client certificates need TLS: set certificate and key");
        }
    }
}

/// What can go wrong with TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `certificate` and `key` are not both set.
    #[error("TLS needs a certificate and a key")]
    Incomplete,
    /// A file cannot be read.
    #[error("read {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{path}: {reason}")]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// TLS as it is now.
pub struct Tls {
    files: Arc<Files>,
    patience: Duration,
}

/// What the files say, and how they were when they said it.
struct Files {
    config: TlsConfig,
    current: ArcSwap<ServerConfig>,
    stamps: crate::auth::Stamps,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("config", &self.files.config).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// When one cannot be read, or the key is not the certificate's.
    pub fn open(config: &TlsConfig) -> Result<Self, Error> {
        let paths = [&config.certificate, &config.key, &config.client_ca];
        let stamps = crate::auth::Stamps::of(paths.into_iter().flatten().cloned().collect());
        let files = Files { config: config.clone(), current: ArcSwap::from(load(config)?), stamps };
        Ok(Self { files: Arc::new(files), patience: HANDSHAKE })
    }

    /// Shakes hands.
    ///
    /// # Errors
    /// When the client does not speak TLS, shows a wrong certificate, or takes too long.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<TlsStream<S>> {
        self.refresh();
        let acceptor = TlsAcceptor::from(self.files.current.load_full());
        match tokio::time::timeout(self.patience, acceptor.accept(stream)).await {
            Ok(shaken) => shaken,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the handshake took too long")),
        }
    }

    /// The client's verified certificate, DER: for [`crate::auth::Peer`].
    pub fn certificate<S>(stream: &TlsStream<S>) -> Option<Vec<u8>> {
        let (_, connection) = stream.get_ref();
        connection.peer_certificates()?.first().map(|certificate| certificate.to_vec())
    }

    /// Reads the files again, off the reactor, where one has changed; looks at most once a second. The next handshake sees it.
    fn refresh(&self) {
        if self.files.stamps.changed() {
            let files = Arc::clone(&self.files);
            crate::auth::off_the_reactor(move || files.read_again());
        }
    }

    /// Looks at once whether a file changed: after SIGHUP.
    pub fn reload(&self) {
        if self.files.stamps.changed_now() {
            self.files.read_again();
        }
    }
}

impl Files {
    fn read_again(&self) {
        match load(&self.config) {
            Ok(new) => {
                self.current.store(new);
                tracing::info!("the certificates changed and were read again");
            }
            Err(error) => tracing::error!(%error, "the certificates changed and are wrong; the old ones stay"),
        }
    }
}

fn load(config: &TlsConfig) -> Result<Arc<ServerConfig>, Error> {
    let (Some(certificate), Some(key)) = (&config.certificate, &config.key) else { return Err(Error::Incomplete) };
    let chain = certificates(certificate)?;
    let private = PrivateKeyDer::from_pem_slice(&read(key)?)
        .map_err(|error| Error::Content { path: key.clone(), reason: format!("no private key: {error}") })?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Content { path: certificate.clone(), reason: error.to_string() })?;
    let builder = match (config.client_certificates, &config.client_ca) {
        (ClientCertificates::None, _) | (_, None) => builder.with_no_client_auth(),
        (wanted, Some(authorities)) => {
            let mut roots = RootCertStore::empty();
            for root in certificates(authorities)? {
                let reason = |error: rustls::Error| format!("no authority: {error}");
                roots.add(root).map_err(|error| Error::Content { path: authorities.clone(), reason: reason(error) })?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let optional = wanted == ClientCertificates::Optional;
            let verifier = if optional { verifier.allow_unauthenticated() } else { verifier };
            let verifier = verifier
                .build()
                .map_err(|error| Error::Content { path: authorities.clone(), reason: error.to_string() })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut server = builder
        .with_single_cert(chain, private)
        .map_err(|error| Error::Content { path: certificate.clone(), reason: error.to_string() })?;
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(server))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let wrong = |reason: String| Error::Content { path: path.to_owned(), reason };
    let bytes = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|error| wrong(format!("no certificate: {error}")))?;
    if found.is_empty() { Err(wrong("it holds no certificate".to_owned())) } else { Ok(found) }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    crate::auth::read_bounded(path, LARGEST_FILE).map_err(|source| Error::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;
