//! Whom we believe over TLS: the system's roots, roots that were added, or, where the user said so, anybody.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// Certificates as they stand in a PEM file.
#[derive(Debug, Clone)]
pub struct Pem(Vec<CertificateDer<'static>>);

/// Who we are to a registry that wants a client certificate.
#[derive(Debug)]
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

/// A PEM file is unusable.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct PemError {
    path: PathBuf,
    problem: String,
}

impl Pem {
    /// Reads every certificate of a PEM file.
    ///
    /// # Errors
    /// When it is unreadable or holds none.
    pub fn read(path: &Path) -> Result<Self, PemError> {
        let failed = |problem: String| PemError { path: path.to_owned(), problem };
        let found = CertificateDer::pem_file_iter(path).map_err(|error| failed(error.to_string()))?;
        let certificates: Vec<_> = found.collect::<Result<_, _>>().map_err(|error| failed(error.to_string()))?;
        if certificates.is_empty() {
            return Err(failed("no certificate is in it".to_owned()));
        }
        Ok(Self(certificates))
    }

    /// Takes certificates as they are, DER.
    pub fn from_der(certificates: Vec<Vec<u8>>) -> Self {
        Self(certificates.into_iter().map(CertificateDer::from).collect())
    }
}

impl Identity {
    /// Reads a certificate chain and its key, PEM.
    ///
    /// # Errors
    /// When a file is unreadable or holds none.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, PemError> {
        let Pem(chain) = Pem::read(certificate)?;
        let key = PrivateKeyDer::from_pem_file(key)
            .map_err(|error| PemError { path: key.to_owned(), problem: error.to_string() })?;
        Ok(Self { chain, key })
    }
}

/// How to speak TLS. `system`: whether the system's roots are believed, too, which costs reading them.
///
/// # Errors
/// When a certificate that was added is none, or the identity's key is not its certificate's.
pub fn config(
    system: bool,
    added: &[Pem],
    identity: Option<&Identity>,
    verify: bool,
) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let builder = if verify {
        let mut roots = RootCertStore::empty();
        if system {
            // A certificate of the system that cannot be read is one root less, not a failure.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        for Pem(certificates) in added {
            for certificate in certificates {
                roots.add(certificate.clone())?;
            }
        }
        builder.with_root_certificates(roots)
    } else {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)))
    };
    let mut config = match identity {
        Some(Identity { chain, key }) => builder.with_client_auth_cert(chain.clone(), key.clone_key())?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Believes every certificate, for hosts that the user named as insecure.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
