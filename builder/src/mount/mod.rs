//! RUN mounts: from what the syntax means to what a container gets. Nothing in them becomes part of a layer.

mod bind;
mod cache;

use std::path::{Path, PathBuf};

use graph::{Exec, Mount as Wanted, MountKind};
use runtime::container::{Mount, Source};

use crate::build::Build;
use crate::layers::LayerError;
use crate::solver::state::V;

/// Why a mount cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MountError {
    /// A later version will have it.
    #[error("--mount=type={kind} on {target} is not in this version: it comes with a later one")]
    NotYet {
        /// `secret` or `ssh`.
        kind: &'static str,
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
    /// Locks of cache mounts.
    _held: Vec<sys::lock::Lock>,
}

/// Prepares all mounts of a RUN; `scratch` is a folder that goes with it.
pub(crate) fn prepare(build: &Build<'_>, v: V, exec: &Exec, scratch: &Path) -> Result<Prepared, MountError> {
    let (held, mut caches) = cache::take(build, v, exec)?;
    let mut mounts = Vec::new();
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
            MountKind::Secret { required: false, .. } | MountKind::Ssh { required: false, .. } => continue,
            MountKind::Secret { .. } => return Err(not_yet("secret", wanted)),
            MountKind::Ssh { .. } => return Err(not_yet("ssh", wanted)),
        };
        mounts.push(Mount { target: target(exec, wanted), source, readonly: wanted.readonly });
    }
    Ok(Prepared { mounts, _held: held })
}

fn not_yet(kind: &'static str, wanted: &Wanted) -> MountError {
    MountError::NotYet { kind, target: wanted.target.clone() }
}

/// A mount's target; a relative one begins at the working directory.
fn target(exec: &Exec, wanted: &Wanted) -> String {
    if wanted.target.starts_with('/') {
        return wanted.target.clone();
    }
    format!("{}/{}", exec.cwd.trim_end_matches('/'), wanted.target)
}
