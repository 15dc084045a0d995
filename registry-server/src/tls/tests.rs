use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio_rustls::TlsConnector;

use super::*;

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn leaf(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        (params.signed_by(&key, &self.0).unwrap(), key)
    }
}

struct Place {
    folder: tempfile::TempDir,
    servers: Authority,
    clients: Authority,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap(), servers: Authority::new(), clients: Authority::new() };
        place.write_server();
        std::fs::write(place.path("ca.pem"), place.clients.0.pem()).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write_server(&self) {
        let (certificate, key) = self.servers.leaf("reg", ExtendedKeyUsagePurpose::ServerAuth);
        std::fs::write(self.path("cert.pem"), certificate.pem()).unwrap();
        std::fs::write(self.path("key.pem"), key.serialize_pem()).unwrap();
    }

    fn tls(&self, wanted: ClientCertificates) -> Tls {
        let config = TlsConfig {
            certificate: Some(self.path("cert.pem")),
            key: Some(self.path("key.pem")),
            client_ca: (wanted != ClientCertificates::None).then(|| self.path("ca.pem")),
            client_certificates: wanted,
        };
        Tls::open(&config).unwrap()
    }

    /// Shakes hands; gives the client's certificate as the server saw it, and the server's as the client did.
    async fn shake(
        &self,
        tls: &Tls,
        client: Option<(rcgen::Certificate, KeyPair)>,
    ) -> io::Result<(Option<Vec<u8>>, Vec<u8>)> {
        let mut roots = RootCertStore::empty();
        roots.add(self.servers.0.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(roots);
        let config = match client {
            Some((certificate, key)) => {
                let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
                builder.with_client_auth_cert(vec![certificate.der().clone()], key).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        let (near, far) = tokio::io::duplex(64 * 1024);
        let connector = TlsConnector::from(Arc::new(config));
        let client = async move {
            let mut stream = connector.connect(ServerName::try_from("reg").unwrap(), far).await?;
            // With TLS 1.3 a refused certificate shows at the first read.
            stream.write_all(b"x").await?;
            stream.read_u8().await?;
            let seen = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
            io::Result::Ok(seen)
        };
        let server = async {
            let mut stream: TlsStream<DuplexStream> = tls.accept(near).await?;
            stream.read_u8().await?;
            stream.write_all(b"y").await?;
            stream.flush().await?;
            io::Result::Ok(Tls::certificate(&stream))
        };
        let (server, client) = tokio::join!(server, client);
        Ok((server?, client?))
    }
}

#[tokio::test]
async fn certificates_of_clients() {
    use ClientCertificates::{None as Unasked, Optional, Required};
    let place = Place::new();
    let stranger = Authority::new();
    let good = || place.clients.leaf("ann", ExtendedKeyUsagePurpose::ClientAuth);
    for (wanted, client, expected) in [
        (Unasked, None, Some(false)),
        (Unasked, Some(good()), Some(false)),
        (Optional, None, Some(false)),
        (Optional, Some(good()), Some(true)),
        (Optional, Some(stranger.leaf("ann", ExtendedKeyUsagePurpose::ClientAuth)), None),
        (Required, None, None),
        (Required, Some(good()), Some(true)),
        (Required, Some(stranger.leaf("ann", ExtendedKeyUsagePurpose::ClientAuth)), None),
        (Required, Some(place.clients.leaf("ann", ExtendedKeyUsagePurpose::ServerAuth)), None),
    ] {
        let shown = client.is_some();
        let outcome = place.shake(&place.tls(wanted), client).await.ok().map(|(seen, _)| seen.is_some());
        assert_eq!(outcome, expected, "{wanted:?}, shown {shown}");
    }
}

#[tokio::test]
async fn files_that_change_are_read_again_and_wrong_ones_are_not() {
    let place = Place::new();
    let tls = place.tls(ClientCertificates::None);
    let seen = async |tls: &Tls| place.shake(tls, None).await.unwrap().1;
    let first = seen(&tls).await;
    place.write_server();
    tls.reload();
    let second = seen(&tls).await;
    assert_ne!(first, second);
    std::fs::write(place.path("cert.pem"), "nonsense").unwrap();
    tls.reload();
    assert_eq!(seen(&tls).await, second);
    let (_, other) = place.servers.leaf("reg", ExtendedKeyUsagePurpose::ServerAuth);
    place.write_server();
    std::fs::write(place.path("key.pem"), other.serialize_pem()).unwrap();
    tls.reload();
    assert_eq!(seen(&tls).await, second, "the key is not the certificate's");
    std::fs::remove_file(place.path("key.pem")).unwrap();
    tls.reload();
    assert_eq!(seen(&tls).await, second);
}

#[tokio::test]
async fn whoever_says_nothing_is_not_waited_for() {
    let place = Place::new();
    let (near, _far) = tokio::io::duplex(1024);
    let tls = Tls { patience: Duration::from_millis(20), ..place.tls(ClientCertificates::None) };
    let error = tls.accept(near).await.err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

#[test]
fn sections_say_what_is_wrong() {
    for (text, expected) in [
        ("", &[][..]),
        ("certificate = 'a'\nkey = 'b'", &[]),
        ("certificate = 'a'", &["key"]),
        ("key = 'a'", &["certificate"]),
        ("certificate = 'a'\nkey = 'b'\nclient_ca = 'c'", &["client_certificates"]),
        ("certificate = 'a'\nkey = 'b'\nclient_certificates = 'required'", &["client_ca"]),
        ("client_ca = 'c'\nclient_certificates = 'required'", &["client_ca"]),
    ] {
        let config: TlsConfig = toml::from_str(text).unwrap();
        let mut wrong = Complaints::default();
        config.validate(&mut wrong);
        let fields: Vec<_> = wrong.into_vec().into_iter().map(|complaint| complaint.field).collect();
        assert_eq!(fields, expected, "{text}");
    }
}
