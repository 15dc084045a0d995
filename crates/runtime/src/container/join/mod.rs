//! One more process in a container that runs: `exec`, and the questions for its health.
//!
//! Three processes take part. *We* stay outside, with our files and our terminal. A *keeper*, forked by us, joins the
//! container's namespaces in one step, and forks there; it waits for its child and tells us how it ended. The child becomes
//! the program, as a container's first process does ([`super::become_user`]), with the same rights, filters and limits.
//!
//! The keeper outlives us: when a container ends, the kernel lets its first process go only when every other has been waited
//! for, and those that joined are waited for from outside. A command that is stopped, or slow, must not hold that up.
//! It never waits for us, holds nothing of ours open, and takes no signal but SIGKILL.
//!
//! Nothing is looked up by the container's `/proc`: it is what the container made of it.

mod inside;
mod target;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::io::Errno;
use sys::clone::Forked;

use super::namespaces::Shared;
use super::program::exec_failed;
use super::report::Report;
use super::run::{ExitStatus, Launch, Progress, trampoline};
use super::{Ids, Spec, StartError, Stdio};
use crate::cgroup::Group;
use crate::channel::{self, Received};

pub use target::Target;

/// What is to run inside, and as what.
#[derive(Debug)]
pub struct Guest<'a> {
    /// The program, its user, directory, variables, terminal; and the rights and limits of the container. What it says of
    /// mounts, network and names is the container's, and not looked at.
    pub spec: &'a Spec,
    /// The container's control groups, a folder a hierarchy.
    pub groups: &'a [PathBuf],
}

/// A process that is about to be in a container. Dropping it kills it.
#[derive(Debug)]
pub struct Joining {
    keeper: i32,
    reports: OwnedFd,
    fate: OwnedFd,
    child: Option<(i32, OwnedFd)>,
    terminal: Option<OwnedFd>,
    monitor: Option<PathBuf>,
    listener: Option<(OwnedFd, Vec<u32>)>,
    program: Option<String>,
    started: bool,
}

impl Joining {
    /// Forks the keeper. What remains is to [`Joining::advance`]. Only in a process with one thread.
    ///
    /// # Errors
    /// What can be said before: no program, a control group that may not be entered.
    pub fn begin(target: &Target, guest: &Guest<'_>, stdio: Stdio) -> Result<Self, StartError> {
        let spec = guest.spec;
        if spec.args.is_empty() {
            return Err(StartError::Invalid("no program to run".to_owned()));
        }
        let filter = if spec.privileged { None } else { spec.seccomp.program(spec.caps)? };
        let monitored = spec.monitor.as_ref().map(|_| crate::single_id::filter());
        let group = Group::at(guest.groups.to_vec());
        group.approach();
        let folder = group.folder();
        let doors = group.doors()?;
        let trampoline = trampoline()?;
        // Where there is one id only, who the program is, is settled anew.
        let inhabitant = target.inhabitant().filter(|_| spec.ids == Ids::Mapped);
        let host = inhabitant.map(|pidfd| pidfd.try_clone_to_owned()).transpose();
        let host = host.map_err(|error| sys::Error::from_io("dup", "", &error))?;
        let (reports, report) = channel::pair()?;
        let (fate, tell) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
            .map_err(|errno| StartError::setup("pipe", errno))?;
        match sys::clone::fork(sys::clone::Namespaces::NONE)? {
            Forked::Child => {
                let stdio = [stdio.stdin, stdio.stdout, stdio.stderr];
                let files = Vec::new();
                let (shared, shm, entered, guest) = (Shared::guest(host), None, false, true);
                let launch = Launch {
                    spec,
                    stdio,
                    files,
                    handed: Vec::new(),
                    report,
                    filter,
                    monitored,
                    trampoline,
                    shared,
                    shm,
                    doors,
                    entered,
                    gate: None,
                    guest,
                };
                inside::keep(launch, target, tell, folder)
            }
            Forked::Parent { pid: keeper, .. } => Ok(Self {
                keeper,
                reports,
                fate,
                child: None,
                terminal: None,
                monitor: spec.monitor.clone(),
                listener: None,
                program: None,
                started: false,
            }),
        }
    }

    /// Where the next step announces itself.
    pub fn reports(&self) -> BorrowedFd<'_> {
        self.reports.as_fd()
    }

    /// Takes one step; with `block`, waits for it. Gives whether the program has taken over.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn advance(&mut self, block: bool) -> Result<bool, StartError> {
        self.step(block).map(|progress| matches!(progress, Progress::Started))
    }

    fn step(&mut self, block: bool) -> Result<Progress, StartError> {
        let (bytes, mut fds) = match channel::receive(&self.reports, block)? {
            Received::Nothing => return Ok(Progress::Starting),
            Received::End if self.program.is_some() && self.child.is_some() => return Ok(Progress::Started),
            Received::End => return Err(self.ended_early()),
            Received::Packet(bytes, fds) => (bytes, fds),
        };
        if let Ok(errno) = <[u8; 4]>::try_from(bytes.as_slice()) {
            let program = self.program.take().unwrap_or_default();
            return Err(exec_failed(&program, i32::from_ne_bytes(errno)));
        }
        match serde_json::from_slice(&bytes).map_err(|error| StartError::Invalid(error.to_string()))? {
            Report::Joined { pid } => self.child = fds.pop().map(|pidfd| (pid, pidfd)),
            Report::Terminal => self.terminal = fds.pop(),
            Report::Listener { groups } => self.listener = fds.pop().map(|listener| (listener, groups)),
            Report::Ready { program, .. } => self.program = Some(program),
            Report::Failed { error, .. } => return Err(error),
        }
        self.start_monitor()?;
        Ok(Progress::Starting)
    }

    /// The process, once [`Joining::advance`] said that the program has taken over.
    ///
    /// # Errors
    /// The program has not taken over.
    pub fn finish(mut self) -> Result<Joined, StartError> {
        let Some((pid, pidfd)) = self.child.take() else {
            return Err(StartError::Invalid("the program has not started".to_owned()));
        };
        self.started = true;
        let fate = self.fate.try_clone().map_err(|error| sys::Error::from_io("dup", "", &error))?;
        Ok(Joined { pid, pidfd, keeper: self.keeper, fate, terminal: self.terminal.take() })
    }

    /// Once it is known whom it watches: the keeper and its child do not wait for each other.
    fn start_monitor(&mut self) -> Result<(), StartError> {
        if let (Some(table), Some((pid, _)), Some(listener)) = (&self.monitor, &self.child, &self.listener) {
            let (listener, groups) = listener;
            inside::monitor(listener, *pid, table, groups)?;
            self.listener = None;
        }
        Ok(())
    }

    fn ended_early(&self) -> StartError {
        let how = match Fate::read(&self.fate) {
            Some(ExitStatus::Code(code)) => format!("exited with {code}"),
            Some(ExitStatus::Signal(signal)) => format!("was ended by signal {signal}"),
            None => "ended".to_owned(),
        };
        StartError::Invalid(format!("the process that joined the container {how} before the program could start"))
    }
}

impl Drop for Joining {
    fn drop(&mut self) {
        if !self.started {
            if let Some((_, pidfd)) = &self.child {
                let _ = sys::signal::send_to(pidfd, SIGKILL);
            } else {
                // It has no child that we know of: nothing is left without someone who waits for it.
                let _ = sys::signal::send(self.keeper, SIGKILL);
            }
            // One that waits for a disk dies later; it is not waited for here for long.
            for _ in 0..TRIES {
                match sys::clone::wait(self.keeper, false) {
                    Ok(None) => std::thread::sleep(PAUSE),
                    _ => return,
                }
            }
        }
    }
}

/// How often a killed process is waited for, and how long apart.
const TRIES: u32 = 50;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(2);

const SIGKILL: i32 = 9;

/// A process in a container whose program runs. Dropping it leaves it alone.
#[derive(Debug)]
pub struct Joined {
    pid: i32,
    pidfd: OwnedFd,
    keeper: i32,
    fate: OwnedFd,
    terminal: Option<OwnedFd>,
}

impl Joined {
    /// Its number, as we see it.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Our end of its terminal, once.
    pub fn terminal(&mut self) -> Option<OwnedFd> {
        self.terminal.take()
    }

    /// A descriptor that polls readable (or hung up) when it has ended.
    pub fn fate(&self) -> BorrowedFd<'_> {
        self.fate.as_fd()
    }

    /// Sends it a signal; one that has ended is no error.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn kill(&self, signal: i32) -> Result<(), StartError> {
        match sys::signal::send_to(&self.pidfd, signal) {
            Err(error) if error.errno() != Errno::SRCH => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Kills it and what it started, as far as that stayed in its group of processes.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn kill_all(&self) -> Result<(), StartError> {
        // It began a session, so the group has its number.
        let _ = sys::signal::send_to_group(&self.pidfd, SIGKILL);
        self.kill(SIGKILL)
    }

    /// Leaves it alone. Gives the keeper's number: our child, to be waited for some time.
    pub fn leave(self) -> i32 {
        self.keeper
    }

    /// Waits for its end. A keeper that was killed has taken the answer along: then it counts as killed.
    pub fn wait(self) -> ExitStatus {
        let status = Fate::read(&self.fate).unwrap_or(ExitStatus::Signal(SIGKILL));
        let _ = sys::clone::wait(self.keeper, true);
        status
    }
}

/// How a process ended, as two bytes in a pipe.
struct Fate;

impl Fate {
    fn write(to: &OwnedFd, status: ExitStatus) {
        let bytes = match status {
            ExitStatus::Code(code) => [0, code],
            ExitStatus::Signal(signal) => [1, u8::try_from(signal).unwrap_or(u8::MAX)],
        };
        // Who does not listen any more does not want to know.
        let _ = rustix::io::write(to, &bytes);
    }

    fn read(from: &OwnedFd) -> Option<ExitStatus> {
        let mut bytes = [0; 2];
        loop {
            match rustix::io::read(from, &mut bytes) {
                Ok(2) if bytes[0] == 0 => return Some(ExitStatus::Code(bytes[1])),
                Ok(2) => return Some(ExitStatus::Signal(i32::from(bytes[1]))),
                Err(Errno::INTR) => {}
                _ => return None,
            }
        }
    }
}

/// Starts a process in a running container and returns when its program has taken over.
///
/// # Errors
/// [`StartError`].
pub fn join(target: &Target, guest: &Guest<'_>, stdio: Stdio) -> Result<Joined, StartError> {
    let mut joining = Joining::begin(target, guest, stdio)?;
    while !joining.advance(true)? {}
    joining.finish()
}
