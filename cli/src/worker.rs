//! Jobs for this program, executed again: work that must begin in a process which never had a thread.
//!
//! A fast path (a build that changes nothing, a push of what is there) stays free of what namespaces cost; and a process may
//! only enter them while it has one thread. So what is to be done goes into a file in memory, the program executes itself,
//! enters the namespaces, and only then starts threads. [`execute`] stays the same process, with its terminal and its working
//! folder; [`child`] is waited for, by a process that must not have threads itself; [`detached`] outlives us.

use std::ffi::OsString;
use std::fs::File;
use std::io::BufReader;
use std::os::fd::AsRawFd;
use std::os::unix::process::{CommandExt, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use builder::{Built, Request, S3Keys, Sandbox};
use remote::Setup;
use runtime::spawner::Spawner;
use serde::{Deserialize, Serialize};
use store::{LayerId, Store};

use crate::context;
use crate::error::{Error, Result, While};
use crate::verb::{Report, build, pull, push};
use crate::{rootfs, sandbox, wire};

/// The first argument of a worker, which no user types.
const MARK: &str = "\u{1}estiba-worker";

/// How much a detached worker gives way to others.
const NICE: i32 = 19;

/// What a worker does, and in which store.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// The store.
    pub(crate) root: PathBuf,
    /// What to do.
    pub(crate) job: Job,
}

/// What a worker does.
#[derive(Debug, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "there is one of it in a process")]
pub(crate) enum Job {
    /// A build whose next step needs a sandbox.
    Build {
        /// The build.
        request: Request,
        /// What to tell at its end.
        report: Report,
        /// Fetches layers that are not in the store.
        setup: Setup,
        /// Keys of buckets, which are no part of the request.
        #[serde(default)]
        keys: Vec<Option<S3Keys>>,
        /// Lines to show first.
        #[serde(default)]
        notes: Vec<String>,
    },
    /// The end of a build that found everything, but whose push needs a sandbox.
    Conclude {
        /// What to tell.
        report: Report,
        /// What was found.
        built: Built,
    },
    /// A shell where a build's step failed.
    Shell {
        /// The build's id.
        build: String,
    },
    /// A pull, for a process that may have no threads.
    Pull(pull::Job),
    /// A push that reads trees.
    Push(push::Job),
    /// Layers to bring to the disk.
    Sync {
        /// Which.
        layers: Vec<LayerId>,
    },
}

/// The number of the plan's descriptor, when this process is a worker.
pub(crate) fn entry(arguments: &[OsString]) -> Option<u32> {
    match arguments {
        [_, mark, descriptor] if mark == MARK => descriptor.to_str()?.parse().ok(),
        _ => None,
    }
}

/// The plan in a file, and the program with its descriptor.
fn command(plan: &Plan) -> Result<(Command, File)> {
    let file = sys::memfd::sealed("estiba-plan", &serde_json::to_vec(plan)?)?;
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty())?;
    // Not current_exe(): its path is wrong once the binary was replaced by an upgrade.
    let mut command = Command::new("/proc/self/exe");
    command.arg0("estiba").arg(MARK).arg(file.as_raw_fd().to_string());
    Ok((command, file))
}

/// Becomes the worker of `plan`. Returns only when that fails.
pub(crate) fn execute(plan: &Plan) -> Result<u8> {
    let (mut command, _file) = command(plan)?;
    Err(Error::failed(format!("execute the worker: {}", command.exec())))
}

/// Lets a child do it, and waits. Gives its exit code; it has said itself what went wrong.
pub(crate) fn child(plan: &Plan) -> Result<u8> {
    let (mut command, _file) = command(plan)?;
    let status = command.stdin(Stdio::null()).status().during("execute the worker")?;
    let signalled = status.signal().map(|signal| 128 + signal);
    Ok(status.code().or(signalled).and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// Lets a child do it that nobody waits for: it outlives us, says nothing, and gives way to everybody.
pub(crate) fn detached(plan: &Plan) -> Result {
    let (mut command, _file) = command(plan)?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/");
    command.spawn().map(drop).during("execute the worker")
}

/// The worker's whole life.
pub(crate) fn main(descriptor: u32) -> Result<u8> {
    let Plan { root, job } = read_plan(descriptor)?;
    sys::heap::return_large_buffers();
    match job {
        Job::Build { mut request, report, setup, keys, notes } => {
            request.options.caching.keys = keys;
            sandboxed_build(&root, request, report, &setup, notes)
        }
        Job::Conclude { report, built } => {
            let (store, probe) = rootfs::enter(context::open(&root)?)?;
            report.finish(&Arc::new(store), &built, Some(&probe))
        }
        Job::Shell { build } => {
            // Which platform the step was for is found in the store, which is opened too late for that.
            let (probe, emulation) = sandbox::enter_for(&store::Layout::new(&root), &runtime::emulation::known())?;
            if !sandbox::can_run(&probe.rung) {
                return Err(sandbox::refused(&probe, "a shell"));
            }
            let spawner = Spawner::fork()?;
            // Opened after the fork: a database connection must not cross one.
            let store = context::open(&root)?;
            crate::shell::open_build(&store, &Sandbox { probe, spawner, emulation }, &build)
        }
        Job::Pull(job) => pull::run_job(job, context::open(&root)?),
        Job::Push(job) => push::in_sandbox(&job, context::open(&root)?),
        Job::Sync { layers } => sync(&root, &layers),
    }
}

fn read_plan(descriptor: u32) -> Result<Plan> {
    let path = format!("/proc/self/fd/{descriptor}");
    let file = File::open(&path).during("open the worker's plan")?;
    let plan = serde_json::from_reader(BufReader::new(file)).during("read the worker's plan")?;
    // Nothing of ours above standard error may be open in a container.
    sys::exec::close_on_exec_from(3)?;
    Ok(plan)
}

fn sandboxed_build(root: &Path, request: Request, report: Report, setup: &Setup, earlier: Vec<String>) -> Result<u8> {
    // Files of credentials are read as who we are, before we become root inside.
    let (client, note) = wire::client_or_note(setup);
    request.options.running.read()?;
    let (probe, emulation) = sandbox::enter_for(&store::Layout::new(root), &request.foreign_platforms())?;
    if !sandbox::can_run(&probe.rung) {
        return Err(sandbox::refused(&probe, "RUN"));
    }
    let spawner = Spawner::fork()?;
    // Opened after the fork: a database connection must not cross one.
    let store = Arc::new(context::open(root)?);
    let notes = earlier.into_iter().chain(sandbox::overlay_note(&probe)).chain(note).collect();
    build::work::build(request, report, &store, Some(Sandbox { probe, spawner, emulation }), client, notes)
}

/// The life of a detached worker. Nobody listens: an error costs a later pull, and nothing else.
fn sync(root: &Path, layers: &[LayerId]) -> Result<u8> {
    // A terminal that closes is no reason to stop; one of these fails only where it is so already.
    let _ = rustix::process::setsid();
    let _ = rustix::process::nice(NICE);
    builder::transfer::pull::sync(&Store::open_existing(root)?, layers)?;
    Ok(0)
}
