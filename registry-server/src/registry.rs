//! The state that all requests share.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci::RepositoryName;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::auth::{self, Audit, Gate};
use crate::body::Maps;
use crate::cache::Manifests;
use crate::collect::{Collector, Rules, quota};
use crate::config::Config;
use crate::control::{self, RootLock};
use crate::cursor::{self, Cursors};
use crate::metadata::{self, Metadata, Quota, SqliteMetadata};
use crate::mirror::{self, Mirror};
use crate::observe::Metrics;
use crate::refusal::{Refusal, Result};
use crate::storage::{self, FsObjects, Objects};
use crate::time::Instant;
use crate::upload::Uploads;
use crate::webhook::{Event, Events};

/// KiB of manifests that are received and checked at once. More get 429, so that many clients with large manifests
/// do not fill the memory.
const MANIFEST_ROOM: usize = 64 << 10;

/// A registry: what its endpoints work with.
pub struct Registry {
    /// Choices of whoever runs it.
    pub config: Arc<Config>,
    /// Bytes.
    pub objects: Arc<dyn Objects>,
    /// Objects that are mapped for being sent.
    pub maps: Arc<Maps>,
    /// Objects in the making.
    pub uploads: Arc<Uploads>,
    /// What is known about the bytes.
    pub metadata: Arc<dyn Metadata>,
    /// Who may do what.
    pub gate: Arc<Gate>,
    /// Who did what.
    pub audit: Arc<Audit>,
    /// What is told to others.
    pub events: Events,
    /// Other registries whose content is served here.
    pub mirror: Option<Arc<Mirror>>,
    /// Figures that the page shows and that are not found out every time.
    pub figures: crate::page::Figures,
    /// Figures for those who watch.
    pub metrics: Arc<Metrics>,
    /// Takes away what nothing needs.
    pub collector: Arc<Collector>,
    /// Cancelled when the registry is to end: requests under way may finish.
    pub stop: CancellationToken,
    /// The data directory.
    pub(crate) root: PathBuf,
    /// Manifests that were asked for lately.
    pub(crate) manifests: Manifests,
    /// Room for manifests that arrive, in KiB.
    pub(crate) manifest_room: Semaphore,
    /// Seals places in lists.
    pub(crate) cursors: Cursors,
    /// Held as long as the registry lives: one process owns a data directory.
    _lock: RootLock,
}

/// Why a registry cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The data directory is another's, or cannot be made.
    #[error(transparent)]
    Root(#[from] control::Error),
    /// The data directory is of another version, or none of ours.
    #[error(transparent)]
    Data(#[from] crate::data::Error),
    /// Its bytes cannot be reached.
    #[error("the registry's storage: {0}")]
    Storage(#[from] storage::Error),
    /// Its metadata cannot be opened.
    #[error("the registry's metadata: {0}")]
    Metadata(#[from] metadata::Error),
    /// What the configuration says of callers cannot be obeyed.
    #[error(transparent)]
    Gate(#[from] auth::Error),
    /// The kernel gave no random bytes for a key.
    #[error(transparent)]
    Cursor(#[from] cursor::Error),
    /// The audit log cannot be written.
    #[error(transparent)]
    Audit(#[from] auth::audit::Error),
    /// What is to be mirrored cannot be.
    #[error(transparent)]
    Mirror(#[from] mirror::Error),
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Registry {
    /// Opens the data directory `root`, making it where there is none. Costs no walk of what is stored.
    ///
    /// # Errors
    /// When another process owns it, or something that the configuration names is missing or wrong.
    pub fn open(config: Config, root: &Path) -> Result<Arc<Self>, OpenError> {
        let lock = RootLock::take(root)?;
        crate::data::migrate::prepare(&lock)?;
        let objects: Arc<dyn Objects> = Arc::new(FsObjects::open(root)?);
        let metadata: Arc<dyn Metadata> = Arc::new(SqliteMetadata::open(root)?);
        let surroundings = auth::Surroundings {
            keys: root.join("keys"),
            url: config.server.url.clone(),
            local: config.server.address.0.iter().all(crate::config::Address::is_local),
        };
        let gate = Arc::new(Gate::open(&config.auth, &surroundings)?);
        let audit = Arc::new(match &config.log.audit {
            Some(path) => Audit::open(path)?,
            None => Audit::off(),
        });
        let source = config.server.url.clone().unwrap_or_else(|| "urn:estiba:registry".to_owned());
        let events = Events::new(Arc::clone(&metadata), &config.webhook, &source);
        let maps = Arc::<Maps>::default();
        let rules = Rules::new(&config.gc, &config.storage);
        let collector = Arc::new(Collector::new(Arc::clone(&metadata), Arc::clone(&objects), rules).with_maps(&maps));
        let uploads = Uploads::new(Arc::clone(&objects), Arc::clone(&metadata), &config.storage, &config.server.limits);
        let mirror = Mirror::open(
            &config.mirror,
            config.server.url.as_deref(),
            config.storage.reserve.get(),
            Arc::clone(&objects),
            Arc::clone(&metadata),
        )?;
        Ok(Arc::new(Self {
            config: Arc::new(config),
            collector,
            metrics: Arc::new(Metrics::beside(|registry| {
                if let Some(mirror) = &mirror {
                    mirror.register(registry);
                }
            })),
            root: root.to_path_buf(),
            stop: CancellationToken::new(),
            objects,
            maps,
            uploads,
            metadata,
            gate,
            audit,
            events,
            mirror,
            figures: crate::page::Figures::default(),
            manifests: Manifests::new(),
            manifest_room: Semaphore::new(MANIFEST_ROOM),
            cursors: Cursors::new()?,
            _lock: lock,
        }))
    }

    /// Whether it is ending: it takes no new connections.
    pub fn draining(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Reads again what may change while it serves: the files of `[auth]` and the audit log. The configuration
    /// itself stays what it was at the start.
    ///
    /// # Errors
    /// In words for people; what was read before still holds.
    pub fn reload(&self) -> std::result::Result<(), String> {
        self.gate.reload();
        self.audit.reopen();
        Ok(())
    }

    /// Runs what blocks off the reactor.
    ///
    /// # Errors
    /// What `work` gives; a panic within it is a failure of ours.
    pub async fn blocking<T, F>(self: &Arc<Self>, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Registry) -> Result<T> + Send + 'static,
    {
        let registry = Arc::clone(self);
        let span = tracing::Span::current();
        let done = tokio::task::spawn_blocking(move || span.in_scope(|| work(&registry))).await;
        done.unwrap_or_else(|error| Err(Refusal::internal(error)))
    }

    /// The quotas that hold for a repository.
    pub fn quotas(&self, repository: &RepositoryName) -> Vec<Quota> {
        quota::of(&self.config.quota, repository)
    }

    /// Tells others of a write that was made. Blocking. That it cannot be told is logged and undoes nothing.
    pub fn tell(&self, repository: &RepositoryName, actor: &str, at: Instant, events: &[Event]) {
        if let Err(error) = self.events.record(repository, actor, at, events) {
            tracing::error!(%repository, %error, "events of a write were lost");
        }
    }

    /// The refusal of a write that the metadata refused; a quota that is used up is told to others. Blocking.
    pub fn refuse_write(&self, repository: &RepositoryName, actor: &str, error: metadata::Error) -> Refusal {
        if let metadata::Error::Quota { prefix, limit, used } = &error {
            let event = Event::QuotaExceeded { prefix: prefix.clone(), limit: *limit, used: *used };
            self.tell(repository, actor, Instant::now(), &[event]);
        }
        error.into()
    }
}
