//! RUN mounts: from what the syntax means to what a container gets. Nothing in them becomes part of a layer.

mod bind;
mod cache;
mod secret;
mod ssh;
pub(crate) mod travel;

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use graph::{Exec, Mount as Wanted, MountKind, Op};
use runtime::container::{Mount, Source};
use runtime::ladder::Rung;

use crate::Secret;
use crate::build::Build;
use crate::cache::backend::{self, Backend};
use crate::layers::LayerError;
use crate::request::CacheFrom;
use crate::solver::state::V;
use crate::ssh::Listener;

/// Why a mount cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MountError {
    /// A secret that must be there was not given.
    #[error(
        "secret {id:?} is required and was not given: add `--secret id={id},src=FILE` or `--secret id={id},env=NAME`"
    )]
    NoSecret {
        /// Its name.
        id: String,
    },
    /// A secret that must be there was to come from a variable that is not.
    #[error("secret {id:?} is required, and the variable ${name} that `--secret` takes it from is not set")]
    NoVariable {
        /// Its name.
        id: String,
        /// The variable.
        name: String,
    },
    /// A secret that no variable can hold.
    #[error("secret {id:?} is no text, so ${name} cannot hold it: mount it as a file (`target=` instead of `env=`)")]
    NoText {
        /// Its name.
        id: String,
        /// The variable.
        name: String,
    },
    /// A secret that was given and cannot be read.
    #[error(transparent)]
    Secret(#[from] crate::SecretError),
    /// An agent that must be there was not given.
    #[error("the agent {id:?} is required and was not given: add `--ssh {id}`, or `--ssh {id}=KEYFILE`")]
    NoAgent {
        /// Its name.
        id: String,
    },
    /// An agent that was given and cannot be had.
    #[error(transparent)]
    Agent(#[from] crate::ssh::AgentError),
    /// Something that never touches a disk, where nothing can be mounted.
    #[error("mount on {target}: {what} takes a mount, and this machine allows none; `estiba doctor` says what would")]
    NoMounts {
        /// What was wanted.
        what: &'static str,
        /// Where it was wanted.
        target: String,
    },
    /// What is mounted is not there.
    #[error("mount on {target}: {what} does not exist")]
    Missing {
        /// Where it was wanted.
        target: String,
        /// What.
        what: String,
    },
    /// A layer.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A kernel call.
    #[error(transparent)]
    Sys(#[from] sys::Error),
    /// A file or directory.
    #[error("{call} {path}: {source}")]
    Io {
        /// The call.
        call: &'static str,
        /// The path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Anything that copying says.
    #[error("mount on {target}: {source}")]
    Copy {
        /// Where it was wanted.
        target: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The build was stopped while it waited for a cache.
    #[error("cancelled")]
    Cancelled,
}

/// Mounts, and what must be held while they are in use.
#[derive(Default)]
pub(crate) struct Prepared {
    /// In the order of the instruction.
    pub(crate) mounts: Vec<Mount>,
    /// Variables that come with them.
    pub(crate) env: Vec<(String, String)>,
    /// Secrets that the RUN gets.
    pub(crate) secrets: Vec<Secret>,
    /// Sockets that answer as long as the RUN runs.
    pub(crate) agents: Vec<Listener>,
    /// Folders of cache mounts, each once.
    pub(crate) caches: Vec<PathBuf>,
    /// Locks of cache mounts.
    _held: Vec<sys::lock::Lock>,
}

/// Where cache mounts come from when a RUN wants one; and which were looked for.
#[derive(Default)]
pub(crate) struct Travelling {
    from: OnceLock<Vec<Arc<dyn Backend>>>,
    sought: Mutex<HashSet<String>>,
}

impl Travelling {
    /// The places to ask for a mount: none, if that was done in this build.
    fn places(&self, build: &Build<'_>, id: &str) -> &[Arc<dyn Backend>] {
        let places = self.from.get_or_init(|| open(build));
        let is_first = || self.sought.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned());
        if places.is_empty() || !is_first() { &[] } else { places }
    }
}

/// Opens the caches that mounts come from; what cannot be opened was said when results were looked for.
fn open(build: &Build<'_>) -> Vec<Arc<dyn Backend>> {
    let caching = &build.request.options.caching;
    let from: Vec<_> = caching.from.iter().filter(|from| from.mounts).collect();
    if from.is_empty() {
        return Vec::new();
    }
    let Ok(runtime) = build.runtime() else { return Vec::new() };
    let open = |from: &&CacheFrom| backend::open(&from.place, caching, build.client, runtime.handle()).ok();
    from.iter().filter_map(open).collect()
}

/// The ids of all cache mounts that the RUNs of a graph name, each once.
pub(crate) fn cache_ids<'g>(operations: impl Iterator<Item = &'g Op>) -> Vec<String> {
    let mut ids = BTreeSet::new();
    for operation in operations {
        let Op::Exec(exec) = operation else { continue };
        for mount in &exec.mounts {
            if let MountKind::Cache { id, .. } = &mount.kind {
                ids.insert(id.clone());
            }
        }
    }
    ids.into_iter().collect()
}

/// Prepares all mounts of a RUN; `scratch` is a folder that goes with it.
pub(crate) fn prepare(build: &Build<'_>, v: V, exec: &Exec, scratch: &Path) -> Result<Prepared, MountError> {
    let (held, mut caches) = cache::take(build, v, exec)?;
    let folders: BTreeSet<PathBuf> = caches.values().cloned().collect();
    let mut prepared = Prepared { caches: folders.into_iter().collect(), _held: held, ..Prepared::default() };
    for (number, wanted) in exec.mounts.iter().enumerate() {
        let source = match &wanted.kind {
            MountKind::Bind { input, source } => {
                let place = scratch.join(number.to_string());
                bind::source(
                    build,
                    v,
                    &bind::Wanted { input: *input, source, target: &wanted.target, readonly: wanted.readonly },
                    &place,
                )?
            }
            MountKind::Cache { .. } => match caches.remove(&number) {
                Some(path) => Source::Path { path, recursive: false },
                None => continue,
            },
            MountKind::Tmpfs { size } => Source::Tmpfs { size: *size, mode: 0o1777 },
            MountKind::File { data, mode } => Source::Data { data: data.clone(), mode: *mode, uid: 0, gid: 0 },
            MountKind::Secret { .. } => {
                secret::add(build, exec, wanted, &mut prepared)?;
                continue;
            }
            MountKind::Ssh { .. } => {
                ssh::add(build, exec, wanted, &scratch.join(format!("ssh-{number}")), &mut prepared)?;
                continue;
            }
        };
        prepared.mounts.push(Mount { target: target(exec, wanted), source, readonly: wanted.readonly });
    }
    Ok(prepared)
}

/// Whether nothing can be mounted here.
fn is_chroot(build: &Build<'_>) -> bool {
    build.sandbox.is_some_and(|sandbox| matches!(sandbox.probe.rung, Rung::Chroot))
}

/// A mount's target; a relative one begins at the working directory.
fn target(exec: &Exec, wanted: &Wanted) -> String {
    if wanted.target.starts_with('/') {
        return wanted.target.clone();
    }
    format!("{}/{}", exec.cwd.trim_end_matches('/'), wanted.target)
}
