//! What calls share: options, connections, the registries that were met.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use url::Url;

use crate::credentials::Credentials;
use crate::error::{Error, Place, Result};
use crate::hop;
use crate::hosts::{Certificates, Hosts};
use crate::quirk::Quirk;
use crate::registry::{Base, Endpoint, Key, base};
pub use crate::registry::{Registry, Repository};
use crate::retry::Retry;
use crate::session::Session;
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
    /// `Some(false)`: every host is insecure. `Some(true)`: none is, not even on loopback. `None`: as [`Options::insecure`] and
    /// [`Options::hosts`] say, and plain http will do on loopback.
    pub tls_verify: Option<bool>,
    /// What the machine's files say of hosts.
    pub hosts: Hosts,
    /// Names of proxies: they may lead to this machine, whoever named the host behind them.
    pub proxies: BTreeSet<String>,
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
            tls_verify: None,
            hosts: Hosts::default(),
            proxies: BTreeSet::new(),
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
        if let Some(verify) = self.tls_verify {
            return !verify;
        }
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
    registries: Mutex<HashMap<Key, Registry>>,
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

    /// A registry by the name that references use: `docker.io`, `localhost:5000`, `[::1]:5000`. Loopback hosts are first tried
    /// without TLS, insecure ones last, all others are called by https alone. [`Client::route`] also knows what files say
    /// of names.
    ///
    /// # Errors
    /// When the name is no host, or its certificates are unusable.
    pub fn registry(&self, name: &str) -> Result<Registry> {
        self.met(Key::named(name), HeaderMap::new(), Certificates::default)
    }

    /// A registry at a given address, with the scheme that it names: a mirror's upstream, say. `name` stands in
    /// errors and chooses the credential.
    ///
    /// # Errors
    /// When the address is no `http` or `https` URL with a host, or plain `http` to a host that is neither local nor insecure.
    pub fn registry_at(&self, name: &str, address: &Url) -> Result<Registry> {
        self.met(Key { address: Some(address.clone()), ..Key::named(name) }, HeaderMap::new(), Certificates::default)
    }

    pub(crate) fn options(&self) -> &Options {
        &self.shared.options
    }

    /// Connections to a file of the web at `url`, which `from`'s answers led to.
    pub(crate) fn pool(&self, from: &Url, url: &Url, insecure: bool) -> Result<reqwest::Client> {
        self.shared.transport.pool(&self.shared.options, insecure, from, url, false)
    }

    /// The registry of a key, made when it is first met. `certificates` are its own beside those of `certs.d`.
    pub(crate) fn met(
        &self,
        key: Key,
        headers: HeaderMap,
        certificates: impl FnOnce() -> Certificates,
    ) -> Result<Registry> {
        let mut registries = self.shared.registries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = registries.get(&key) {
            return Ok(known.clone());
        }
        let base = self.base(&key)?;
        let mut certificates = certificates();
        certificates.extend(self.shared.options.hosts.certificates(&key.name, !key.mirror)?);
        let transport = (!certificates.is_empty()).then(|| Transport::with(certificates));
        let endpoint = Endpoint { key: key.clone(), base, headers, transport, session: Session::default() };
        let registry = Registry { shared: self.shared.clone(), endpoint: Arc::new(endpoint) };
        registries.insert(key, registry.clone());
        Ok(registry)
    }

    fn base(&self, key: &Key) -> Result<Base> {
        let options = &self.shared.options;
        let strict = options.tls_verify == Some(true);
        let Some(address) = &key.address else {
            let host = Quirk::of(&key.name).host.unwrap_or(&key.name);
            let address = |scheme: &str| base(&format!("{scheme}://{host}/"));
            let (secure, plain) = (address("https")?, address("http")?);
            let same_host = plain.username().is_empty() && plain.path() == "/" && !host.contains(['@', '?', '#', '/']);
            if !same_host {
                return Err(Error::Address(crate::error::printable(&key.name)));
            }
            let either = hop::is_local(&secure) || key.insecure || options.is_insecure(&plain);
            return Ok(if either && !strict { Base::probed(plain, secure) } else { Base::Known(secure) });
        };
        let found = base(address.as_str())?;
        let refused = |rule| Error::Hop {
            place: Place { registry: key.name.clone(), repository: String::new() },
            kind: "the address",
            target: hop::origin(&found),
            rule,
        };
        if strict && found.scheme() == "http" {
            return Err(refused(hop::Refused::Plain));
        }
        hop::check(&found, &found, |url| key.insecure || options.is_insecure(url)).map_err(refused)?;
        Ok(Base::Known(found))
    }
}
