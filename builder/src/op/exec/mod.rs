//! RUN: a container over the layers below, and what it changed as a new layer.

mod ca;
pub(crate) mod entitlement;
mod mask;
mod network;
mod output;
mod surroundings;
mod truststore;

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use graph::{Exec, Network, Security};
use runtime::container::{Ids, Isolation, Network as ContainerNetwork, Spec, StartError, Stdio};
use runtime::ladder::{Overlay, Rung};
use runtime::snapshot::{self, ActiveSnapshot, SnapshotError, Snapshotter};
use runtime::spawner::SpawnerError;
use runtime::tree::WalkError;
use store::{LayerId, LayerRow, TreeForm};

use crate::build::Build;
use crate::gc;
use crate::layers::{self, LayerError};
use crate::mount::{self, MountError};
use crate::solver::state::V;

/// A host name of its own keeps that of the machine out of what programs write.
const HOST_NAME: &str = "estiba";

/// Why a RUN gave no layer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExecError {
    /// Its process ended with another code than 0.
    #[error("process {args:?} did not complete successfully: exit code: {code}")]
    Exit {
        /// The command.
        args: String,
        /// The code; 128 and more: killed by that signal less 128.
        code: u8,
        /// What it said.
        log: Box<StepLog>,
    },
    /// Its process did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Nothing starts here.
    #[error("RUN needs a sandbox, and this process has none")]
    NoSandbox,
    /// The process that starts containers.
    #[error(transparent)]
    Spawner(SpawnerError),
    /// A mount.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// A layer below.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The tree it runs in.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// What it changed cannot be read.
    #[error("read what it changed: {0}")]
    Walk(#[from] WalkError),
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A kernel call.
    #[error(transparent)]
    Sys(#[from] sys::Error),
    /// Its log.
    #[error("{call} {path}: {source}")]
    Io {
        /// The call.
        call: &'static str,
        /// The path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What it wrote is more than the store may take.
    #[error(transparent)]
    Room(#[from] store::RoomError),
    /// The build was stopped.
    #[error("cancelled")]
    Cancelled,
}

/// The log of one step.
#[derive(Clone, Debug, Default)]
pub(crate) struct StepLog {
    /// The whole of it.
    pub(crate) path: PathBuf,
    /// Its last lines.
    pub(crate) tail: Vec<String>,
}

impl ExecError {
    /// The code that the step failed with.
    pub(crate) fn exit_code(&self) -> Option<i32> {
        match self {
            Self::Exit { code, .. } => Some(i32::from(*code)),
            Self::Start(error) | Self::Spawner(SpawnerError::Start(error)) => Some(i32::from(error.exit_code())),
            _ => None,
        }
    }

    /// The step's log, where it has one.
    pub(crate) fn log(&self) -> Option<StepLog> {
        match self {
            Self::Exit { log, .. } => Some((**log).clone()),
            _ => None,
        }
    }
}

/// Runs it. `None`: it changed nothing.
pub(crate) fn run(build: &Build<'_>, v: V, exec: &Exec) -> Result<Option<LayerId>, ExecError> {
    let sandbox = build.sandbox.ok_or(ExecError::NoSandbox)?;
    let chain = build.chain(build.inputs(v)[0]);
    let lowers = build.layers.trees(chain)?;
    let snapshotter = snapshotter(build, &sandbox.probe.overlay);
    let id = LayerId::mint();
    build.lease.pin(&[&id]).map_err(ExecError::Store)?;
    let active = snapshotter.prepare(id.as_str(), &lowers)?;
    let scratch = active.dir().join("mounts");
    let ran = contain(build, v, exec, &active, &scratch);
    layers::remove(&scratch)?;
    if let Err(ExecError::Exit { code, .. }) = &ran {
        crate::failed::keep(build, v, exec, i32::from(*code), active, id, chain)?;
        return ran.map(|()| None);
    }
    ran?;
    keep(build, active, id, chain)
}

/// Runs the container to its end.
fn contain(
    build: &Build<'_>,
    v: V,
    exec: &Exec,
    active: &ActiveSnapshot,
    scratch: &std::path::Path,
) -> Result<(), ExecError> {
    let sandbox = build.sandbox.ok_or(ExecError::NoSandbox)?;
    let mut mounts = mount::prepare(build, v, exec, scratch)?;
    let mut spec = Spec::new(active.root_fs().clone(), exec.args.clone());
    spec.env.clone_from(&exec.env);
    let set = |name: &str| exec.env.iter().chain(&exec.proxy_env).any(|(known, _)| known == name);
    if let Some(bundle) = &build.request.options.running.ca_bundle {
        let trusted = ca::inject(build, v, bundle, scratch)?;
        spec.env.extend(trusted.env.into_iter().filter(|(name, _)| !set(name)));
        mounts.mounts.extend(trusted.mounts);
    }
    let platform = build.vertex(v).meta().platform.as_ref();
    if let Some(Ok(Some(interpreter))) = platform.map(|platform| sandbox.emulation.interpreter(platform)) {
        mounts.mounts.push(runtime::emulation::mount(interpreter));
    }
    spec.cwd.clone_from(&exec.cwd);
    spec.user.clone_from(&exec.user);
    let host_name = exec.hostname.as_deref().unwrap_or(HOST_NAME);
    surroundings::apply(build, exec, host_name, &mut mounts, &mut spec);
    spec.network = match exec.network {
        Network::Default | Network::Host => ContainerNetwork::Host,
        Network::None => ContainerNetwork::None,
    };
    spec.privileged = exec.security == Security::Insecure;
    match &sandbox.probe.rung {
        Rung::SingleId => {
            spec.ids = Ids::Single;
            spec.monitor = Some(active.owners());
        }
        Rung::Chroot => spec.isolation = Isolation::Chroot,
        Rung::Root | Rung::SubordinateIds { .. } | Rung::Unprivileged => {}
    }
    let (out, out_end) = pipe()?;
    let (err, err_end) = pipe()?;
    let stdin = build.request.options.running.stdin.then(|| std::io::stdin().as_fd().try_clone_to_owned());
    let stdin =
        stdin.transpose().map_err(|source| ExecError::Io { call: "dup", path: "standard input".into(), source })?;
    let stdio = Stdio { stdin, stdout: Some(out_end), stderr: Some(err_end), ..Stdio::default() };
    if build.stop.is_cancelled() {
        return Err(ExecError::Cancelled);
    }
    // A limit that cannot be read is said before anything runs.
    build.store.room().limit()?;
    let child = Arc::new(sandbox.spawner.spawn(&spec, stdio).map_err(|error| match error {
        SpawnerError::Start(error) => ExecError::Start(error),
        other => ExecError::Spawner(other),
    })?);
    let killer = child.clone();
    // Its log is of its making, too.
    let old: Vec<PathBuf> = mounts.caches.iter().chain([&build.logs]).cloned().collect();
    let watch = gc::watch(build.store, &[active.dir().to_path_buf()], &old, move || {
        drop(killer.kill(rustix::process::Signal::KILL.as_raw()));
    })?;
    let killer = child.clone();
    // A process that has ended already needs no signal.
    let guard = build.stop.on_cancel(move || drop(killer.kill(rustix::process::Signal::KILL.as_raw())));
    let mask = mask::Mask::new(&mounts.secrets);
    let log = output::follow(build, v, out, err, mask.as_ref())?;
    let finished = child.wait().map_err(ExecError::Spawner)?;
    drop(guard);
    if let Some(watch) = watch {
        watch.finish()?;
    }
    if build.stop.is_cancelled() && !finished.status.success() {
        return Err(ExecError::Cancelled);
    }
    surroundings::explain(build, finished.status);
    match finished.status.code() {
        0 => Ok(()),
        code => Err(ExecError::Exit { args: exec.args.join(" "), code, log: Box::new(log) }),
    }
}

fn pipe() -> Result<(OwnedFd, OwnedFd), ExecError> {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(|errno| ExecError::Sys(sys::Error::new("pipe2", "", errno)))
}

/// Keeps what changed as a layer.
fn keep(
    build: &Build<'_>,
    active: ActiveSnapshot,
    id: LayerId,
    chain: &crate::cache::key::Chain,
) -> Result<Option<LayerId>, ExecError> {
    let snapshot = active.commit()?;
    if is_unchanged(build, snapshot.fs(), chain)? {
        layers::remove(&build.store.layout().snapshot(id.as_str()))?;
        return Ok(None);
    }
    let tree = TreeForm { boot: Some(build.records.boot().to_owned()) };
    let row = LayerRow { id: id.clone(), tree: Some(tree), blob: None, size: 0, created: build.now };
    build.store.index().put_layer(&row).map_err(store::Error::from)?;
    Ok(Some(id))
}

fn is_unchanged(build: &Build<'_>, fs: &std::path::Path, chain: &crate::cache::key::Chain) -> Result<bool, ExecError> {
    let root = sys::Root::open(fs)?;
    let empty = root.read_dir("")?.next_borrowed()?.is_none();
    if empty {
        return Ok(true);
    }
    let view = build.layers.view(chain)?;
    let options = runtime::tree::WalkOptions { ids: build.layers.ids(fs), lower: Some(&view) };
    Ok(runtime::tree::Walk::new(&root, options)?.next_entry()?.is_none())
}

/// The way of making snapshots that works here.
fn snapshotter(build: &Build<'_>, overlay: &Overlay) -> Box<dyn Snapshotter> {
    snapshot::for_overlay(overlay, &build.store.layout().snapshots())
}
