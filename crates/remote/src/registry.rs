//! A registry and its repositories: where they are, and how they are spoken to.

use std::fmt;
use std::sync::Arc;

use http::HeaderMap;
use oci::RepositoryName;
use tokio::sync::OnceCell;
use url::Url;

use crate::client::Shared;
use crate::error::{Error, Place, Result};
use crate::hop;
use crate::quirk::Quirk;
use crate::session::Session;
use crate::transport::Transport;

/// A registry: its address, its challenge, its tokens. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    pub(crate) shared: Arc<Shared>,
    pub(crate) endpoint: Arc<Endpoint>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Registry").field(&self.endpoint.key).finish()
    }
}

/// What tells one registry from another: each has its own session.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    /// Stands in errors, and chooses the credential.
    pub(crate) name: String,
    /// Where it is; `None`: where its name says.
    pub(crate) address: Option<Url>,
    /// What of `v2/` each call adds to the address: all, or nothing.
    pub(crate) api: &'static str,
    /// The registry for which it answers, sent along as `ns`.
    pub(crate) stands_for: Option<String>,
    /// Its certificate is not verified, and plain http will do.
    pub(crate) insecure: bool,
    /// It has copies of what another has; no reference names it.
    pub(crate) mirror: bool,
}

impl Key {
    pub(crate) fn named(name: &str) -> Self {
        Self { name: name.to_owned(), address: None, api: "v2/", stands_for: None, insecure: false, mirror: false }
    }
}

pub(crate) struct Endpoint {
    pub(crate) key: Key,
    pub(crate) base: Base,
    /// Sent along with each call to its own host.
    pub(crate) headers: HeaderMap,
    /// Where it has roots or a client certificate of its own.
    pub(crate) transport: Option<Transport>,
    pub(crate) session: Session,
}

pub(crate) enum Base {
    Known(Url),
    Probed(Box<Probed>),
}

/// With or without TLS, found out once.
pub(crate) struct Probed {
    plain: Url,
    secure: Url,
    found: OnceCell<Url>,
}

impl Base {
    pub(crate) fn probed(plain: Url, secure: Url) -> Self {
        Base::Probed(Box::new(Probed { plain, secure, found: OnceCell::new() }))
    }
}

/// Tries at a mirror: a connection that was just closed is forgiven, and no more.
const MIRROR_TRIES: u32 = 2;

/// The address that paths are joined to: ends with a slash, has neither query nor fragment.
pub(crate) fn base(text: &str) -> Result<Url> {
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

impl Registry {
    /// The name that references use.
    pub fn name(&self) -> &str {
        &self.endpoint.key.name
    }

    /// Whether it has copies of what a reference names elsewhere.
    pub fn is_mirror(&self) -> bool {
        self.endpoint.key.mirror
    }

    /// What is different here.
    pub fn quirk(&self) -> Quirk {
        Quirk::of(self.name())
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

    /// An address below the registry's. `path` begins with `v2/`, and is made of checked words only (names, tags, digests), so
    /// it needs no escapes.
    pub(crate) async fn url(&self, path: &str) -> Result<Url> {
        let Key { api, stands_for, .. } = &self.endpoint.key;
        let path = if api.is_empty() { path.strip_prefix("v2/").unwrap_or(path) } else { path };
        let base = match self.guess() {
            Some(guess) => guess,
            None => self.base().await?,
        };
        let mut url = base.join(path).map_err(|_| Error::Address(crate::error::printable(path)))?;
        if let Some(registry) = stands_for {
            url.query_pairs_mut().append_pair("ns", registry);
        }
        Ok(url)
    }

    /// The address that is tried first where nothing is known of a loopback host: the first question to it is the probe, too.
    pub(crate) fn guess(&self) -> Option<&Url> {
        match &self.endpoint.base {
            Base::Probed(probed) if probed.found.get().is_none() && hop::is_local(&probed.plain) => Some(&probed.plain),
            _ => None,
        }
    }

    /// Keeps that the guess was right.
    pub(crate) fn guessed(&self) {
        if let Base::Probed(probed) = &self.endpoint.base {
            // Where it fails somebody else has found it out.
            let _ = probed.found.set(probed.plain.clone());
        }
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

    /// Whether certificates of this host are not verified, and plain http will do: because the user named it so for all,
    /// or because it is this registry, and insecure.
    pub(crate) fn is_insecure(&self, url: &Url) -> bool {
        let options = &self.shared.options;
        if options.is_insecure(url) {
            return true;
        }
        let own = |base: &Url| base.host() == url.host() && base.port_or_known_default() == url.port_or_known_default();
        let here = match &self.endpoint.base {
            Base::Known(base) => own(base),
            Base::Probed(probed) => own(&probed.plain) || own(&probed.secure),
        };
        self.endpoint.key.insecure && options.tls_verify != Some(true) && here
    }

    /// When calls are tried again. A mirror is not waited for long: behind it stands what it is a copy of.
    pub(crate) fn retry(&self) -> crate::Retry {
        let policy = self.shared.options.retry;
        if self.is_mirror() { crate::Retry { attempts: policy.attempts.min(MIRROR_TRIES), ..policy } } else { policy }
    }

    /// Connections for a call to `url`, which answers of `from` led to (or which is `from` itself).
    pub(crate) fn pool(&self, from: &Url, url: &Url, sending: bool) -> Result<reqwest::Client> {
        let transport = self.endpoint.transport.as_ref().unwrap_or(&self.shared.transport);
        transport.pool(&self.shared.options, self.is_insecure(url), from, url, sending)
    }

    /// Asks, without credentials, what answers there. On loopback plain http is the rule and is tried first: a server of TLS
    /// answers it with 400 or in no HTTP at all. Elsewhere it is the exception and is tried last.
    async fn probe(&self, plain: &Url, secure: &Url) -> Result<Url> {
        if hop::is_local(plain) {
            return match self.knock(plain).await {
                Ok(status) if status != http::StatusCode::BAD_REQUEST => Ok(plain.clone()),
                Err(error) if error.is_connect() || error.is_timeout() => {
                    Err(self.transport_error("", "its base", error))
                }
                _ => Ok(secure.clone()),
            };
        }
        match self.knock(secure).await {
            Err(error) if error.is_connect() => match self.knock(plain).await {
                Ok(_) => Ok(plain.clone()),
                Err(error) => Err(self.transport_error("", "its base", error)),
            },
            _ => Ok(secure.clone()),
        }
    }

    async fn knock(&self, base: &Url) -> Result<http::StatusCode, reqwest::Error> {
        // A pool that cannot be made fails again, and is told, at the first call.
        let Ok(pool) = self.pool(base, base, false) else { return Ok(http::StatusCode::OK) };
        let mut asked = base.clone();
        asked.set_path(&format!("{}v2/", base.path()));
        let response = pool.get(asked).send().await?;
        self.endpoint.session.learn(&response);
        Ok(response.status())
    }

    pub(crate) fn place(&self, repository: &str) -> Place {
        Place { registry: self.name().to_owned(), repository: repository.to_owned() }
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
