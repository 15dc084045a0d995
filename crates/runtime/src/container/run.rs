//! The outer side of a container.

use std::io::{PipeWriter, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sys::clone::{Forked, How};
use sys::exec::Trampoline;

use super::inside;
use super::namespaces::{self, Shared};
use super::program::exec_failed;
use super::report::Report;
use super::spec::Network;
use super::stub::Stubs;
use super::{Spec, StartError};
use crate::bundle::Foreign;
use crate::cgroup::Group;
use crate::channel::{self, Received};
use crate::snapshot::RootFs;

/// What a container is connected to.
#[derive(Debug, Default)]
pub struct Stdio {
    /// Its standard input; `None` is `/dev/null`.
    pub stdin: Option<OwnedFd>,
    /// Its standard output; `None` is `/dev/null`.
    pub stdout: Option<OwnedFd>,
    /// Its standard error; `None` is `/dev/null`.
    pub stderr: Option<OwnedFd>,
    /// Descriptors (`O_PATH` serves) that [`super::Source::File`] names by their place here.
    pub files: Vec<OwnedFd>,
    /// Descriptors that the program has from 3 on, in this order: [`sys::exec::MAX_HANDED`] at most. Where its environment has a
    /// `LISTEN_PID`, that is made the program's own number.
    pub handed: Vec<OwnedFd>,
}

/// How the program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitStatus {
    /// It exited, with this code.
    Code(u8),
    /// A signal ended it.
    Signal(i32),
}

impl ExitStatus {
    /// The code that a shell reports: 128 + the signal.
    pub fn code(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
        }
    }

    /// Whether it exited with 0.
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }
}

/// What the container used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Processor time of its own.
    pub user: Duration,
    /// Processor time of the kernel on its behalf.
    pub system: Duration,
    /// The most memory that one of its processes held, in KiB.
    pub max_rss_kib: u64,
}

/// The end of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// How the program ended.
    pub status: ExitStatus,
    /// What it used.
    pub usage: Usage,
    /// How many of its processes the kernel killed because its group ran out of memory.
    pub oom_kills: u64,
}

/// What the child is born with.
pub(super) struct Launch<'a> {
    pub(super) spec: &'a Spec,
    pub(super) stdio: [Option<OwnedFd>; 3],
    /// Detached mounts of what [`Stdio::files`] holds.
    pub(super) files: Vec<Option<OwnedFd>>,
    /// Descriptors that the program has from 3 on.
    pub(super) handed: Vec<OwnedFd>,
    /// Where it reports.
    pub(super) report: OwnedFd,
    pub(super) filter: Option<Vec<sys::seccomp::Instruction>>,
    /// The monitor's filter, if there is to be a monitor.
    pub(super) monitored: Option<Vec<sys::notify::Instruction>>,
    pub(super) trampoline: &'static Trampoline,
    /// Whose namespaces it shares.
    pub(super) shared: Shared,
    /// Their `/dev/shm`.
    pub(super) shm: Option<OwnedFd>,
    /// By which it enters its control groups.
    pub(super) doors: Vec<OwnedFd>,
    /// Whether it was born in them.
    pub(super) entered: bool,
    /// Where a byte comes when it may go on to the program; `None` where nobody makes anything meanwhile.
    pub(super) gate: Option<OwnedFd>,
    /// Whether it joins a container that is there: it does not end with who started it, and makes nothing of its own.
    pub(super) guest: bool,
}

/// One for all containers of a process.
pub(super) fn trampoline() -> Result<&'static Trampoline, StartError> {
    static TRAMPOLINE: OnceLock<Trampoline> = OnceLock::new();
    match TRAMPOLINE.get() {
        Some(trampoline) => Ok(trampoline),
        None => {
            let made = Trampoline::new()?;
            Ok(TRAMPOLINE.get_or_init(|| made))
        }
    }
}

/// Makes beforehand what all containers share, and gives the number of the descriptor that must stay open for it.
pub(crate) fn prepare() -> Result<RawFd, StartError> {
    Ok(trampoline()?.as_fd().as_raw_fd())
}

/// A container between its birth and its program. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Starting {
    pid: i32,
    pidfd: OwnedFd,
    reports: OwnedFd,
    terminal: Option<OwnedFd>,
    monitor: Option<sys::fork::Forked>,
    monitor_table: Option<PathBuf>,
    program: Option<String>,
    /// By which it is let on; a gate that is closed unopened ends it.
    gate: Option<PipeWriter>,
    cleanup: Cleanup,
    done: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Cleanup {
    foreign: Option<Foreign>,
    rootfs: RootFs,
    stubs: Stubs,
    group: Group,
}

/// What a container that is starting has come to.
#[derive(Debug)]
pub(crate) enum Progress {
    /// Nothing new.
    Starting,
    /// The program has taken over.
    Started,
}

impl Starting {
    /// Clones the child; where it is `gated`, it waits at a gate when it is prepared. What remains is to [`Starting::advance`].
    pub(crate) fn begin(spec: &Spec, stdio: Stdio, gated: bool) -> Result<Self, StartError> {
        if spec.args.is_empty() {
            return Err(StartError::Invalid("no program to run".to_owned()));
        }
        if stdio.handed.len() > sys::exec::MAX_HANDED {
            let (given, most) = (stdio.handed.len(), sys::exec::MAX_HANDED);
            return Err(StartError::Invalid(format!(
                "{given} descriptors are more than the {most} that can be handed on"
            )));
        }
        let filter = if spec.privileged { None } else { spec.seccomp.program(spec.caps)? };
        let trampoline = trampoline()?;
        // Here, not in the child: a copy of a mount can be made only in the mount namespace that has it.
        let (files, shared) = gather(spec, stdio.files)?;
        let shm = namespaces::shm(spec, &shared)?;
        let monitored = spec.monitor.as_ref().map(|_| crate::single_id::filter());
        let (ours, theirs) = channel::pair()?;
        let pipe = gated.then(std::io::pipe).transpose();
        let (gate, opener) = pipe.map_err(|error| sys::Error::from_io("pipe", "", &error))?.unzip();
        let (group, doors) = spec.cgroup.as_ref().map(Group::make).transpose()?.unwrap_or_default();
        let (forked, entered) = namespaces::fork(spec, &shared, &group).inspect_err(|_| group.remove())?;
        match forked {
            Forked::Child => {
                // With our ends open here it would not see that we are gone, where that was before it asked to end with us.
                drop((ours, opener));
                let handed = stdio.handed;
                let stdio = [stdio.stdin, stdio.stdout, stdio.stderr];
                inside::start(Launch {
                    spec,
                    stdio,
                    files,
                    handed,
                    report: theirs,
                    filter,
                    monitored,
                    trampoline,
                    shared,
                    shm,
                    doors,
                    entered,
                    gate: gate.map(OwnedFd::from),
                    guest: false,
                })
            }
            Forked::Parent { pid, pidfd } => Ok(Self {
                pid,
                pidfd,
                reports: ours,
                terminal: None,
                monitor: None,
                monitor_table: spec.monitor.clone(),
                program: None,
                gate: opener,
                cleanup: Cleanup { foreign: None, rootfs: spec.rootfs.clone(), stubs: Stubs::default(), group },
                done: false,
            }),
        }
    }

    /// Where the next step announces itself.
    pub(crate) fn reports(&self) -> BorrowedFd<'_> {
        self.reports.as_fd()
    }

    /// Takes one step; with `block`, waits for it.
    pub(crate) fn advance(&mut self, block: bool) -> Result<Progress, StartError> {
        let (bytes, mut fds) = match channel::receive(&self.reports, block)? {
            Received::Nothing => return Ok(Progress::Starting),
            Received::End if self.program.is_some() => return Ok(Progress::Started),
            Received::End => return Err(self.ended_early()),
            Received::Packet(bytes, fds) => (bytes, fds),
        };
        if let Ok(errno) = <[u8; 4]>::try_from(bytes.as_slice()) {
            let program = self.program.take().unwrap_or_default();
            return Err(exec_failed(&program, i32::from_ne_bytes(errno)));
        }
        let report = serde_json::from_slice(&bytes).map_err(|error| StartError::Invalid(error.to_string()))?;
        match report {
            Report::Joined { .. } => return Err(StartError::Invalid("nobody was asked to join".to_owned())),
            Report::Terminal => self.terminal = fds.pop(),
            Report::Listener { groups } => self.start_monitor(fds.pop(), groups)?,
            Report::Ready { program, stubs } => {
                self.program = Some(program);
                self.cleanup.stubs = stubs;
            }
            Report::Failed { error, stubs } => {
                self.cleanup.stubs = stubs;
                return Err(error);
            }
        }
        Ok(Progress::Starting)
    }

    /// The container, once it has [`Progress::Started`].
    pub(crate) fn finish(mut self) -> Result<Running, StartError> {
        self.done = true;
        let pidfd = self.pidfd.try_clone().map_err(|error| sys::Error::from_io("dup", "", &error))?;
        let cleanup = Cleanup {
            foreign: None,
            rootfs: std::mem::replace(&mut self.cleanup.rootfs, RootFs::Dir(PathBuf::new())),
            stubs: std::mem::take(&mut self.cleanup.stubs),
            group: std::mem::take(&mut self.cleanup.group),
        };
        let (terminal, monitor) = (self.terminal.take(), self.monitor.take());
        Ok(Running { pid: self.pid, pidfd, terminal, monitor, cleanup: Some(cleanup) })
    }

    fn start_monitor(&mut self, listener: Option<OwnedFd>, groups: Vec<u32>) -> Result<(), StartError> {
        let (Some(listener), Some(table)) = (listener, self.monitor_table.take()) else {
            return Err(StartError::Invalid("a listener that nobody asked for".to_owned()));
        };
        let pid = self.pid.unsigned_abs();
        self.monitor = Some(sys::fork::child(move || {
            // What the container's end depends on must not be held open by who watches it.
            let _ = sys::exec::close_inherited(3, &[listener.as_raw_fd()]);
            crate::single_id::monitor(listener, pid, table, groups)
        })?);
        Ok(())
    }

    fn ended_early(&mut self) -> StartError {
        let how = match sys::clone::wait(self.pid, true) {
            Ok(Some(ended)) => {
                self.done = true;
                self.cleanup.group.remove();
                match ended.how {
                    How::Exited(code) => format!("exited with {code}"),
                    How::Signalled(signal) => format!("was ended by signal {signal}"),
                }
            }
            _ => "ended".to_owned(),
        };
        StartError::Invalid(format!("the container's first process {how} before the program could start"))
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if !self.done {
            let _ = sys::signal::send_to(&self.pidfd, SIGKILL);
            let _ = sys::clone::wait(self.pid, true);
            // The error that brought us here is the one to report.
            let _ = self.cleanup.stubs.remove(&self.cleanup.rootfs);
            self.cleanup.group.remove();
            if let Some(monitor) = self.monitor.take() {
                let _ = monitor.wait();
            }
        }
    }
}

const SIGKILL: i32 = 9;

/// Detached mounts of the files, and the processes and the network that are among them.
fn gather(spec: &Spec, files: Vec<OwnedFd>) -> Result<(Vec<Option<OwnedFd>>, Shared), StartError> {
    let network = if let Network::Joined { index } = spec.network { Some(index) } else { None };
    let processes: Vec<usize> = spec.boundary.processes().chain(network).collect();
    let (mut copies, mut shared) = (Vec::with_capacity(files.len()), Shared::default());
    for (index, file) in files.into_iter().enumerate() {
        if processes.contains(&index) {
            shared.add(index, file);
            copies.push(None);
        } else {
            copies.push(Some(copy_mount(&file)?));
        }
    }
    Ok((copies, shared))
}

/// In a user namespace what is mounted below may be locked to its place: then it comes along.
fn copy_mount(file: &OwnedFd) -> sys::Result<OwnedFd> {
    match sys::mount::copy(file, false) {
        Err(error) if error.errno() == Errno::INVAL => sys::mount::copy(file, true),
        other => other,
    }
}

/// A container whose program runs. Dropping it without waiting kills it.
#[derive(Debug)]
pub struct Running {
    pid: i32,
    pidfd: OwnedFd,
    terminal: Option<OwnedFd>,
    monitor: Option<sys::fork::Forked>,
    cleanup: Option<Cleanup>,
}

impl Running {
    /// One that another runtime has started, as a child of ours by now.
    pub(crate) fn foreign(pid: i32, pidfd: OwnedFd, terminal: Option<OwnedFd>, group: Group, foreign: Foreign) -> Self {
        let rootfs = RootFs::Dir(PathBuf::new());
        let cleanup = Cleanup { foreign: Some(foreign), rootfs, stubs: Stubs::default(), group };
        Self { pid, pidfd, terminal, monitor: None, cleanup: Some(cleanup) }
    }

    /// Its first process, as we see it.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Its control group.
    pub fn group(&self) -> &Group {
        static NONE: Group = Group::none();
        self.cleanup.as_ref().map_or(&NONE, |cleanup| &cleanup.group)
    }

    /// Our end of its terminal, once.
    pub fn terminal(&mut self) -> Option<OwnedFd> {
        self.terminal.take()
    }

    /// A descriptor that polls readable when it has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Sends a signal to its first process.
    ///
    /// # Errors
    /// The kernel's refusal; a process that has ended is not an error.
    pub fn kill(&self, signal: i32) -> Result<(), StartError> {
        match sys::signal::send_to(&self.pidfd, signal) {
            Err(error) if error.errno() != Errno::SRCH => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// What this process needs to [`Left::resume`] it once it has executed itself again; where that fails, this is still it. Its
    /// terminal is not in it.
    pub fn left(&self) -> Left {
        let monitor = self.monitor.as_ref().map(sys::fork::Forked::pid);
        Left { pid: self.pid, monitor, cleanup: self.cleanup.clone() }
    }

    /// Waits for the end and removes the mount points that were made for it.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn wait(mut self) -> Result<Finished, StartError> {
        self.end()
    }

    fn end(&mut self) -> Result<Finished, StartError> {
        let ended = sys::clone::wait(self.pid, true)?;
        let cleanup = self.cleanup.take();
        if let Some(monitor) = self.monitor.take() {
            // Its table is complete only when it has ended.
            monitor.wait()?;
        }
        let mut oom_kills = 0;
        if let Some(cleanup) = cleanup {
            oom_kills = cleanup.group.oom_kills();
            if let Some(foreign) = &cleanup.foreign {
                foreign.remove();
            }
            cleanup.group.remove();
            cleanup.stubs.remove(&cleanup.rootfs)?;
        }
        match ended {
            Some(ended) => Ok(Finished {
                status: match ended.how {
                    How::Exited(code) => ExitStatus::Code(code),
                    How::Signalled(signal) => ExitStatus::Signal(signal),
                },
                usage: Usage { user: ended.user, system: ended.system, max_rss_kib: ended.max_rss_kib },
                oom_kills,
            }),
            None => Err(StartError::setup("wait4", Errno::CHILD)),
        }
    }
}

/// A running container between two programs of the one process that has it for a child.
#[derive(Debug, Serialize, Deserialize)]
pub struct Left {
    pid: i32,
    monitor: Option<u32>,
    cleanup: Option<Cleanup>,
}

impl Left {
    /// The container again. Only in the process that left it: its number is sure to be its own there.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn resume(self) -> Result<Running, StartError> {
        let pid =
            rustix::process::Pid::from_raw(self.pid).ok_or_else(|| StartError::setup("pidfd_open", Errno::SRCH))?;
        let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())
            .map_err(|errno| StartError::setup("pidfd_open", errno))?;
        let monitor = self.monitor.and_then(sys::fork::Forked::again);
        Ok(Running { pid: self.pid, pidfd, terminal: None, monitor, cleanup: self.cleanup })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.cleanup.is_some() {
            let _ = self.kill(SIGKILL);
            let _ = self.end();
        }
    }
}

/// Starts a container and returns when its program has taken over.
///
/// # Errors
/// [`StartError`], whose [`StartError::exit_code`] is docker's.
pub fn run(spec: &Spec, stdio: Stdio) -> Result<Running, StartError> {
    let mut starting = Starting::begin(spec, stdio, false)?;
    while let Progress::Starting = starting.advance(true)? {}
    starting.finish()
}

/// The same; `meanwhile` is done while the container's first process prepares itself, and the program does not begin before that went
/// well. Where the two are a network and a file tree, neither waits for the other.
///
/// # Errors
/// [`StartError`], or what `meanwhile` says: then nothing is left of the container.
pub fn run_while<E: From<StartError>>(
    spec: &Spec,
    stdio: Stdio,
    meanwhile: impl FnOnce() -> Result<(), E>,
) -> Result<Running, E> {
    let mut starting = Starting::begin(spec, stdio, true)?;
    meanwhile()?;
    if let Some(mut gate) = starting.gate.take() {
        // Nobody is there any more where it could not be prepared: then it says why.
        let _ = gate.write_all(&[1]);
    }
    while let Progress::Starting = starting.advance(true)? {}
    Ok(starting.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::Ids;
    use crate::ladder::{Entry, Rung};

    /// As it is for one whose starter was killed before the kernel was told to end both together.
    #[test]
    fn who_waits_at_a_gate_sees_that_nobody_will_open_it() {
        let dir = tempfile::tempdir().unwrap();
        let child = sys::fork::child(|| {
            let mut spec = Spec::new(RootFs::Dir(dir.path().to_owned()), vec!["none".to_owned()]);
            if !rustix::process::geteuid().is_root() {
                Entry::Own(Rung::SingleId).enter().unwrap();
                spec.ids = Ids::Single;
            }
            let mut starting = Starting::begin(&spec, Stdio::default(), true).unwrap();
            drop(starting.gate.take());
            let error = loop {
                if let Err(error) = starting.advance(true) {
                    break error.to_string();
                }
            };
            assert!(error.contains("gate"), "{error}");
            0
        });
        assert_eq!(child.unwrap().wait().unwrap(), 0);
    }
}
