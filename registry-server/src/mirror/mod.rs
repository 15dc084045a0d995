//! The mirror: content of other registries, fetched when somebody asks for it and kept.
//!
//! What an upstream holds as `NAME` lives here in the repository `NAMESPACE/NAME`, where the namespace is the upstream's
//! name (`docker.io/library/busybox`). So upstreams never mix, nobody can push into what is theirs
//! ([`Mirror::refuse_push`]), and pulls need the same proof as pulls of any other repository. [`Mirror::resolve`]
//! turns what a client asked for into that name, before the proof is asked for.
//!
//! Only upstreams of the configuration are ever called: a name in a request is a key to them, never an address.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, StatusCode};
use oci::{Digest, ErrorCode, RepositoryName, Tag};
use quick_cache::sync::Cache;
use tokio_util::sync::CancellationToken;

use crate::auth::Pull;
use crate::metadata::Metadata;
use crate::refusal::{Refusal, Result};
use crate::storage::Objects;

mod answer;
mod blob;
pub mod config;
mod expiry;
mod fetch;
mod figures;
mod flight;
mod lists;
mod manifest;
mod names;
mod passing;
mod turns;
mod upstream;

pub use answer::{Answer, Chunks, Freshness};
pub use config::Config;
pub use upstream::Error as UpstreamError;

use names::{Meaning, Names, Place};
use upstream::Upstream;

/// Tags, digests, absent blobs and repositories that are remembered, of each.
const REMEMBERED: usize = 20_000;

/// Why there is no mirror.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An upstream cannot be set up.
    #[error("[mirror] upstream {name}: {source}")]
    Upstream {
        /// Which.
        name: String,
        /// Why.
        source: UpstreamError,
    },
    /// A pattern of repositories.
    #[error("[mirror]: {0}")]
    Pattern(#[from] crate::auth::policy::pattern::Error),
    /// What earlier fetches left cannot be read.
    #[error(transparent)]
    Metadata(#[from] crate::metadata::Error),
}

/// The upstreams and what is being fetched from them.
pub struct Mirror {
    shared: Arc<Shared>,
    own: Option<String>,
    expiry: Duration,
}

impl fmt::Debug for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mirror").field("names", &self.shared.names).finish_non_exhaustive()
    }
}

/// What requests and fetches share.
struct Shared {
    names: Names,
    upstreams: Vec<Upstream>,
    patience: Duration,
    reserve: u64,
    objects: Arc<dyn Objects>,
    metadata: Arc<dyn Metadata>,
    tags: Cache<String, manifest::Checked>,
    /// Blobs that an upstream did not have when it was asked.
    absent: Cache<flight::Key, std::time::Instant>,
    /// Repositories that were here, by their generation then.
    here: Cache<RepositoryName, u64>,
    turns: turns::Turns,
    flights: flight::Flights,
    partials: fetch::Partials,
    figures: figures::Figures,
    stop: CancellationToken,
}

impl Drop for Mirror {
    /// Fetches under way are left where they are, for the next process.
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

impl Shared {
    fn upstream(&self, place: &Place) -> &Upstream {
        &self.upstreams[place.upstream]
    }

    async fn blocking<T, F>(self: &Arc<Self>, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Arc<Shared>) -> Result<T> + Send + 'static,
    {
        let shared = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || work(&shared)).await;
        done.unwrap_or_else(|error| Err(Refusal::internal(error)))
    }
}

/// How a manifest is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// By tag: the upstream is asked again when the last answer is older than the upstream's `ttl`.
    Tag(&'a Tag),
    /// By digest: what is here is never asked for again.
    Digest(&'a Digest),
}

impl Mirror {
    /// Sets up the upstreams of the configuration; `None` where there are none. `own`: the address under which clients
    /// know this registry. `reserve`: bytes that the disk must have left beside a blob that is kept. Blocking; calls nobody.
    ///
    /// # Errors
    /// When a file that the configuration names is missing or wrong.
    pub fn open(
        config: &Config,
        own: Option<&str>,
        reserve: u64,
        objects: Arc<dyn Objects>,
        metadata: Arc<dyn Metadata>,
    ) -> Result<Option<Arc<Self>>, Error> {
        if config.upstream.is_empty() {
            return Ok(None);
        }
        let agent = concat!("estiba-registry/", env!("CARGO_PKG_VERSION"));
        let open = |section: &config::Upstream| {
            Upstream::open(section, agent).map_err(|source| Error::Upstream { name: section.name.clone(), source })
        };
        let shared = Shared {
            names: Names::new(config)?,
            upstreams: config.upstream.iter().map(open).collect::<Result<_, _>>()?,
            patience: config.patience.get(),
            partials: fetch::Partials::find(&*metadata)?,
            reserve,
            objects,
            metadata,
            tags: Cache::new(REMEMBERED),
            absent: Cache::new(REMEMBERED),
            here: Cache::new(REMEMBERED),
            turns: turns::Turns::default(),
            flights: flight::Flights::default(),
            figures: figures::Figures::default(),
            stop: CancellationToken::new(),
        };
        let own = own.and_then(|url| url::Url::parse(url).ok()).and_then(|url| {
            let host = url.host_str()?.to_owned();
            Some(url.port().map_or(host.clone(), |port| format!("{host}:{port}")))
        });
        Ok(Some(Arc::new(Self { shared: Arc::new(shared), own, expiry: config.expiry.get() })))
    }

    /// Removes what nobody uses, now and then, until `stop`; then fetches under way stop, too, and are kept for later.
    pub async fn tend(self: Arc<Self>, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = expiry::tend(&self.shared, self.expiry) => {}
        }
        self.shared.stop.cancel();
    }

    /// Adds the mirror's figures to those of the registry.
    pub fn register(&self, registry: &mut prometheus_client::registry::Registry) {
        self.shared.figures.register(registry);
    }

    /// The repository in which a `GET` or `HEAD` is answered.
    ///
    /// - With `ns` (containerd's query parameter): the namespace of that upstream and `name`.
    /// - A name below an upstream's namespace: itself.
    /// - Any other name: itself where the repository exists here, else the default upstream's, if there is one. But where a
    ///   client `pushes` and asks what it need not send, what an upstream has under that name is no answer.
    ///
    /// # Errors
    /// `NAME_UNKNOWN` for an `ns` that is no upstream.
    pub async fn resolve(&self, name: &RepositoryName, ns: Option<&str>, pushes: bool) -> Result<RepositoryName> {
        match self.shared.names.meaning(name, ns, self.own.as_deref()) {
            Meaning::Here(name) => Ok(name),
            Meaning::Either(here, _) if pushes => Ok(here),
            Meaning::Either(here, mirrored) => Ok(if self.is_here(&here).await? { here } else { mirrored }),
            Meaning::Unknown => Err(Refusal::new(
                StatusCode::NOT_FOUND,
                ErrorCode::NameUnknown,
                "this registry mirrors no registry of that name",
            )),
        }
    }

    /// Whether a repository is here. One that is stays so until something in it is written.
    async fn is_here(&self, name: &RepositoryName) -> Result<bool> {
        let generation = self.shared.metadata.generation(name);
        if self.shared.here.get(name) == Some(generation) {
            return Ok(true);
        }
        let asked = name.clone();
        let exists = self.shared.blocking(move |shared| Ok(shared.metadata.repository(&asked)?.is_some())).await?;
        if exists {
            self.shared.here.insert(name.clone(), generation);
        }
        Ok(exists)
    }

    /// Refuses pushes into namespaces of upstreams: what is there comes from the upstream alone.
    ///
    /// # Errors
    /// `DENIED`.
    pub fn refuse_push(&self, name: &RepositoryName) -> Result<()> {
        if !self.shared.names.is_mirrored(name) {
            return Ok(());
        }
        let message = format!("{name} is a mirror: push to the registry that it mirrors, or under another name");
        Err(Refusal::new(StatusCode::FORBIDDEN, ErrorCode::Denied, message))
    }

    /// Sees to it that a manifest is in the metadata if its upstream has it. `None` where the repository is not
    /// an upstream's, or it was asked for by digest; then, as after `Some`, the metadata says what there is.
    ///
    /// # Errors
    /// When there is nothing here and the upstream refuses, fails or sends something else than it was asked for.
    pub async fn manifest(&self, pull: &Pull, wanted: Wanted<'_>) -> Result<Option<Freshness>> {
        match self.shared.names.place(pull.repository()) {
            Some(place) => self.shared.manifest(pull.repository(), &place, wanted).await,
            None => Ok(None),
        }
    }

    /// A page of an upstream's tags: at most `limit` after `after`, and whether there are more. `None` where the repository is
    /// not an upstream's, or the upstream is not there: then the metadata says what there is.
    ///
    /// # Errors
    /// `NAME_UNKNOWN` where the upstream has no such repository, or may not be asked for it.
    pub async fn tags(&self, pull: &Pull, after: Option<&str>, limit: usize) -> Result<Option<(Vec<String>, bool)>> {
        match self.shared.names.place(pull.repository()) {
            Some(place) if limit > 0 => self.shared.list_tags(&place, after, limit).await,
            _ => Ok(None),
        }
    }

    /// All that refers to a manifest at an upstream, by digest in order. `None` where the repository is not an upstream's, or
    /// the upstream is not there: then the metadata says what there is.
    pub async fn referrers(
        &self,
        pull: &Pull,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Option<Vec<oci::Descriptor>> {
        let place = self.shared.names.place(pull.repository())?;
        self.shared.list_referrers(pull.repository(), &place, subject, artifact_type).await
    }

    /// Answers for a blob that is not here, from the upstream, keeping what passes. `None` where the
    /// repository is not an upstream's.
    ///
    /// # Errors
    /// When the upstream has no such blob, refuses or fails.
    pub async fn blob(
        &self,
        pull: &Pull,
        digest: &Digest,
        method: &Method,
        range: Option<&HeaderValue>,
    ) -> Result<Option<Answer>> {
        match self.shared.names.place(pull.repository()) {
            Some(place) => self.shared.blob(pull.repository(), &place, digest, method, range).await.map(Some),
            None => Ok(None),
        }
    }
}
