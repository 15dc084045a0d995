//! The processes beside a container that serve its network: what carries its traffic, and the forwarder of its ports. Children of its
//! supervisor, which end with it.

use std::fs::File;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::error::NetworkError;
use crate::state::ProcessId;

pub(super) const SIGKILL: i32 = 9;

/// The longest that the carrier of a container may take to set itself up: on a busy machine it takes a second, and it hangs where it has no device.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// The longest that killed ones are waited for, all together.
const FAREWELL: Duration = Duration::from_secs(2);

/// How much of what a program says is kept: it must not fill the memory of the machine.
const MAX_SAID: u64 = 16 << 10;

/// A process that serves a container. Dropped, it is killed.
#[derive(Debug)]
pub struct Sidecar {
    process: ProcessId,
    kept: bool,
}

impl Sidecar {
    /// One that was forked.
    pub(super) fn of(pid: u32) -> Result<Self, NetworkError> {
        let pid = pid.cast_signed();
        match ProcessId::of(pid) {
            Some(process) => Ok(Self { process, kept: false }),
            None => Err(sys::Error::new("open", format!("/proc/{pid}/stat"), rustix::io::Errno::SRCH).into()),
        }
    }

    /// Which process.
    pub fn process(&self) -> ProcessId {
        self.process
    }

    /// Lets it run when this is gone: who calls has it written down, and ends it with [`end`].
    pub fn keep(mut self) -> ProcessId {
        self.kept = true;
        self.process
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        if !self.kept {
            end(&[self.process]);
        }
    }
}

/// Ends sidecars, and takes note of the end of those that are children of ours.
pub fn end(sidecars: &[ProcessId]) {
    Leaving::begin(sidecars.to_vec(), false).wait();
}

/// Sidecars that were killed: a carrier takes tens of milliseconds to go, in which the kernel gives up its device.
#[derive(Debug, Default)]
pub struct Leaving {
    sidecars: Vec<ProcessId>,
    /// Whether they listen on ports of the host.
    ports: bool,
}

impl Leaving {
    /// Kills them.
    pub fn begin(sidecars: Vec<ProcessId>, ports: bool) -> Self {
        for pidfd in sidecars.iter().filter_map(|sidecar| sidecar.open()) {
            // One that may not be killed is waited for in vain.
            let _ = sys::signal::send_to(&pidfd, SIGKILL);
        }
        Self { sidecars, ports }
    }

    /// Waits until others can have the ports that they listened on.
    pub fn free_ports(&mut self) {
        if self.ports {
            std::mem::take(self).wait();
        }
    }

    /// Waits until all are gone, and takes note of the end of those that are children of ours.
    pub fn wait(self) {
        let until = Instant::now() + FAREWELL;
        for sidecar in &self.sidecars {
            if let Some(pidfd) = sidecar.open() {
                crate::process::has_ended(&pidfd, until.saturating_duration_since(Instant::now()));
            }
            // Another's child is its parent's to wait for.
            let _ = sys::clone::wait(sidecar.pid, false);
        }
    }
}

/// Where a program is, by `$PATH` and the places that it may be in all the same.
pub(super) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/bin", "/usr/local/bin", "/bin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(usual).map(|dir| dir.join(program)).find(|path| path.is_file())
}

/// What a program is started with besides its arguments.
pub(super) struct Start<'s> {
    /// Its name, for errors.
    pub(super) name: &'static str,
    pub(super) command: Command,
    /// The user namespace that it enters, as root there.
    pub(super) users: Option<BorrowedFd<'s>>,
    /// Where at least one byte comes when it is ready.
    pub(super) ready: OwnedFd,
    /// Its descriptor 3, if it wants one.
    pub(super) third: Option<OwnedFd>,
}

/// A program that was started, and need not be ready. Dropped, it is killed.
#[derive(Debug)]
pub(super) struct Starting {
    name: &'static str,
    sidecar: Sidecar,
    ready: OwnedFd,
    said: File,
}

/// Starts a program.
pub(super) fn start(start: Start<'_>) -> Result<Starting, NetworkError> {
    let Start { name, mut command, users, ready, third } = start;
    let said = notebook()?;
    // Out of the way of the number that the program gets.
    let copy = || sys::exec::raise(&said, 10);
    command.current_dir("/").stdin(Stdio::null()).stdout(copy()?).stderr(copy()?);
    let users = users.map(|users| users.try_clone_to_owned()).transpose();
    let users = users.map_err(|error| sys::Error::from_io("dup", "", &error))?;
    let parent = rustix::process::getpid();
    let child = sys::fork::child(|| {
        if users.is_some_and(|users| enter(users).is_err()) {
            return 125;
        }
        // Forgotten when the ids change.
        if !sys::fork::end_with(parent) {
            return 125;
        }
        let _ = sys::signal::SignalSet::empty().block();
        if third.as_ref().is_some_and(|third| sys::exec::place(third, 3).is_err()) {
            return 125;
        }
        let _ = sys::exec::close_on_exec_from(if third.is_some() { 4 } else { 3 });
        drop(command.exec());
        126
    })?;
    let sidecar = Sidecar::of(child.pid())?;
    drop(third);
    Ok(Starting { name, sidecar, ready, said })
}

/// Becomes root of a user namespace, with nothing of what we are outside.
fn enter(users: OwnedFd) -> sys::Result<()> {
    sys::ns::join_users(users)?;
    let dropped = rustix::thread::set_thread_groups(&[]);
    dropped.map_err(|errno| sys::Error::new("setgroups", "", errno))?;
    sys::ns::become_ids(0, 0)
}

impl Starting {
    /// Waits until the program is ready, has ended, or has taken too long.
    pub(super) fn wait(self, patience: Duration) -> Result<Sidecar, NetworkError> {
        let Self { name, sidecar, ready, said } = self;
        let until = Instant::now() + patience;
        let failed = |why: &str| NetworkError::Carrier { program: name, said: words(&said, why) };
        let pidfd = Pid::from_raw(sidecar.process.pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        let Some(pidfd) = pidfd else { return Err(failed("it ended at once")) };
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let timeout = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
            let mut waited = [PollFd::new(&ready, PollFlags::IN), PollFd::new(&pidfd, PollFlags::IN)];
            match poll(&mut waited, Some(&timeout)) {
                Ok(0) => return Err(failed(&format!("it was not ready after {} s", patience.as_secs()))),
                Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => {}
                Err(errno) => return Err(sys::Error::new("poll", "", errno).into()),
            }
            let [spoke, ended] = [0, 1].map(|at: usize| waited[at].revents());
            if spoke.contains(PollFlags::IN) && rustix::io::read(&ready, &mut [0; 64]).is_ok_and(|length| length > 0) {
                return Ok(sidecar);
            }
            if !ended.is_empty() || !spoke.is_empty() {
                return Err(failed("it ended without a word"));
            }
        }
    }
}

/// A file in memory of a fixed size: what does not fit is refused, and nobody has to read along.
fn notebook() -> Result<File, NetworkError> {
    let file = sys::memfd::create("said")?;
    file.set_len(MAX_SAID).map_err(|error| sys::Error::from_io("ftruncate", "said", &error))?;
    let seals = rustix::fs::SealFlags::GROW | rustix::fs::SealFlags::SHRINK;
    rustix::fs::fcntl_add_seals(&file, seals).map_err(|errno| sys::Error::new("fcntl F_ADD_SEALS", "said", errno))?;
    Ok(file)
}

/// The last lines of what a program said, without what it says about the system's log.
fn words(said: &File, otherwise: &str) -> String {
    let mut bytes = vec![0; usize::try_from(MAX_SAID).unwrap_or_default()];
    let length = std::os::unix::fs::FileExt::read_at(said, &mut bytes, 0).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes[..length]);
    let text = text.trim_end_matches('\0');
    let lines: Vec<&str> =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.contains("syslog")).collect();
    let last = lines[lines.len().saturating_sub(3)..].join("; ");
    if last.is_empty() { otherwise.to_owned() } else { last.chars().filter(|c| !c.is_control()).collect() }
}
