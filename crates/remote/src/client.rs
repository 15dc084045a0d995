//! What calls share: the client, a registry, a repository.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use oci::RepositoryName;
use tokio::sync::OnceCell;
use url::Url;

use crate::auth::Session;
use crate::credentials::Credentials;
use crate::error::{Error, Place, Result};
use crate::hop;
use crate::quirk::Quirk;
use crate::retry::Retry;
use crate::tls::{Identity, Pem};
use crate::transport::Transport;

/// What a body may hold at most. Each is read into memory; blobs, which are not, have no limit but their size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A manifest.
    pub manifest: u64,
    /// A page of tags or referrers.
    pub list: u64,
    /// A token and what comes with it.
    pub token: u64,
    /// An error's explanation; what is beyond is not read.
    pub error: u64,
    /// Redirects that one call follows.
    pub redirects: u32,
}

impl Default for Limits {
    fn default() -> Self {
        // Registries take manifests of 4 MiB at least; 100,000 tags of 128 letters are 13 MB.
        Self { manifest: 8 << 20, list: 32 << 20, token: 1 << 20, error: 64 << 10, redirects: 5 }
    }
}

/// How a client behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// The value of `User-Agent`.
    pub user_agent: String,
    /// Whose name and password.
    pub credentials: Credentials,
    /// Roots beside the system's.
    pub roots: Vec<Pem>,
    /// A client certificate, for registries; never for hosts that they name.
    pub identity: Option<Identity>,
    /// Hosts (`host` or `host:port`) that may be called over plain http and whose certificates are not verified.
    pub insecure: BTreeSet<String>,
    /// What bodies may hold.
    pub limits: Limits,
    /// When to try again.
    pub retry: Retry,
    /// How long a connection may take to come about.
    pub connect_timeout: Duration,
    /// How long an answer may send nothing.
    pub idle_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            user_agent: concat!("estiba/", env!("CARGO_PKG_VERSION")).to_owned(),
            credentials: Credentials::None,
            roots: Vec::new(),
            identity: None,
            insecure: BTreeSet::new(),
            limits: Limits::default(),
            retry: Retry::default(),
            connect_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(60),
        }
    }
}

impl Options {
    /// Whether the user named this host as insecure.
    pub(crate) fn is_insecure(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        let with_port = url.port_or_known_default().map(|port| format!("{host}:{port}"));
        self.insecure.contains(host) || with_port.is_some_and(|name| self.insecure.contains(&name))
    }
}

/// A client: connections, credentials and limits. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) transport: Transport,
    registries: Mutex<HashMap<(String, Option<Url>), Registry>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

impl Client {
    /// A client. Nothing is opened yet.
    pub fn new(options: Options) -> Self {
        let transport = Transport::default();
        Self { shared: Arc::new(Shared { options, transport, registries: Mutex::default() }) }
    }

    /// A registry by the name that references use: `docker.io`, `localhost:5000`, `[::1]:5000`. Loopback hosts and those
    /// named as insecure are first tried without TLS, all others are called by https alone.
    ///
    /// # Errors
    /// When the name is no host.
    pub fn registry(&self, name: &str) -> Result<Registry> {
        self.remembered(name, None, || {
            let host = Quirk::of(name).host.unwrap_or(name);
            let address = |scheme: &str| base(&format!("{scheme}://{host}/"));
            let secure = address("https")?;
            let plain = address("http")?;
            let either = hop::is_local(&secure) || self.shared.options.is_insecure(&plain);
            let same_host = plain.username().is_empty() && plain.path() == "/" && !host.contains(['@', '?', '#', '/']);
            if !same_host {
                return Err(Error::Address(crate::error::printable(name)));
            }
            Ok(if either {
                Base::Probed(Box::new(Probed { plain, secure, found: OnceCell::new() }))
            } else {
                Base::Known(secure)
            })
        })
    }

    /// A registry at a given address, with the scheme that it names: a mirror's upstream, say. `name` stands in
    /// errors and chooses the credential.
    ///
    /// # Errors
    /// When the address is no `http` or `https` URL with a host, or plain `http` to a host that is neither local nor insecure.
    pub fn registry_at(&self, name: &str, address: &Url) -> Result<Registry> {
        self.remembered(name, Some(address), || {
            let found = base(address.as_str())?;
            hop::check(&found, &found, |url| self.shared.options.is_insecure(url)).map_err(|rule| Error::Hop {
                place: Place { registry: name.to_owned(), repository: String::new() },
                kind: "the address",
                target: hop::origin(&found),
                rule,
            })?;
            Ok(Base::Known(found))
        })
    }

    fn remembered(&self, name: &str, address: Option<&Url>, make: impl FnOnce() -> Result<Base>) -> Result<Registry> {
        let mut registries = self.shared.registries.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (name.to_owned(), address.cloned());
        if let Some(known) = registries.get(&key) {
            return Ok(known.clone());
        }
        let endpoint = Endpoint { name: name.to_owned(), base: make()?, session: Session::default() };
        let registry = Registry { shared: self.shared.clone(), endpoint: Arc::new(endpoint) };
        registries.insert(key, registry.clone());
        Ok(registry)
    }
}

/// The address that paths are joined to: ends with a slash, has neither query nor fragment.
fn base(text: &str) -> Result<Url> {
    let malformed = || Error::Address(crate::error::printable(text));
    let mut url = Url::parse(text).map_err(|_| malformed())?;
    if url.host().is_none() || url.cannot_be_a_base() {
        return Err(malformed());
    }
    url.set_query(None);
    url.set_fragment(None);
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

/// A registry: its address, its challenge, its tokens. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    pub(crate) shared: Arc<Shared>,
    pub(crate) endpoint: Arc<Endpoint>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Registry").field(&self.endpoint.name).finish()
    }
}

pub(crate) struct Endpoint {
    pub(crate) name: String,
    base: Base,
    pub(crate) session: Session,
}

enum Base {
    Known(Url),
    Probed(Box<Probed>),
}

/// Plain where it answers so, found out once.
struct Probed {
    plain: Url,
    secure: Url,
    found: OnceCell<Url>,
}

impl Registry {
    /// The name that references use.
    pub fn name(&self) -> &str {
        &self.endpoint.name
    }

    /// What is different here.
    pub fn quirk(&self) -> Quirk {
        Quirk::of(&self.endpoint.name)
    }

    /// One of its repositories.
    pub fn repository(&self, name: &RepositoryName) -> Repository {
        Repository { registry: self.clone(), name: name.clone() }
    }

    /// Asks whether it is there and speaks the protocol; logs in if it must.
    ///
    /// # Errors
    /// When it does not answer, or refuses our credentials.
    pub async fn ping(&self) -> Result<()> {
        let call = self.call(http::Method::GET, self.url("v2/").await?, "its base");
        let response = self.send(call).await?;
        self.expect(response, "", "its base", &[http::StatusCode::OK]).await.map(drop)
    }

    /// An address below the registry's. `path` is made of checked words only (names, tags, digests), so it needs no escapes.
    pub(crate) async fn url(&self, path: &str) -> Result<Url> {
        let base = self.base().await?;
        base.join(path).map_err(|_| Error::Address(crate::error::printable(path)))
    }

    /// The registry's address, found out if need be.
    pub(crate) async fn base(&self) -> Result<&Url> {
        match &self.endpoint.base {
            Base::Known(url) => Ok(url),
            Base::Probed(probed) => {
                let Probed { plain, secure, found } = &**probed;
                found.get_or_try_init(|| self.probe(plain, secure)).await
            }
        }
    }

    /// Asks without TLS, and without credentials, what answers there. A server of TLS answers 400 or in no HTTP at all.
    async fn probe(&self, plain: &Url, secure: &Url) -> Result<Url> {
        let pool = self.shared.transport.pool(&self.shared.options, plain, plain)?;
        let asked = plain.join("v2/").map_err(|_| Error::Address(plain.to_string()))?;
        match pool.get(asked).send().await {
            Ok(response) if response.status() != http::StatusCode::BAD_REQUEST => Ok(plain.clone()),
            Err(error) if error.is_connect() || error.is_timeout() => Err(Error::Transport {
                place: self.place(""),
                what: "its base".to_owned(),
                connect: error.is_connect(),
                message: crate::error::chain(error),
            }),
            _ => Ok(secure.clone()),
        }
    }

    pub(crate) fn place(&self, repository: &str) -> Place {
        Place { registry: self.endpoint.name.clone(), repository: repository.to_owned() }
    }
}

/// A repository of a registry. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Repository {
    pub(crate) registry: Registry,
    pub(crate) name: RepositoryName,
}

impl Repository {
    /// Its registry.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Its name.
    pub fn name(&self) -> &RepositoryName {
        &self.name
    }

    pub(crate) fn place(&self) -> Place {
        self.registry.place(self.name.as_str())
    }

    /// An address below `v2/NAME/`.
    pub(crate) async fn url(&self, path: &str) -> Result<Url> {
        self.registry.url(&format!("v2/{}/{path}", self.name.as_str())).await
    }
}
