//! The keeper, and what its child does before it is the program.

use std::convert::Infallible;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::DumpableBehavior;
use sys::clone::{Bulkhead, Forked, How};
use sys::signal::SignalSet;
use sys::{OpenFlags, Root};

use super::{Fate, Target};
use crate::container::become_user::{self, Becoming};
use crate::container::inside::{proc_of_caller, write_oom_score};
use crate::container::report::Report;
use crate::container::run::{ExitStatus, Launch};
use crate::container::stub::Stubs;
use crate::container::{StartError, limit, terminal};

/// Joins, forks, and waits. Never returns.
pub(super) fn keep(mut launch: Launch<'_>, target: &Target, tell: OwnedFd, group: Option<OwnedFd>) -> ! {
    let _bulkhead = Bulkhead;
    let socket = match sys::exec::raise(&launch.report, 3) {
        Ok(socket) => socket,
        Err(_) => sys::clone::exit(125),
    };
    let entered = enter(target, launch.spec.oom_score_adj).and_then(|host_proc| {
        let (forked, entered) = fork(group)?;
        launch.entered = entered;
        Ok((host_proc, forked))
    });
    match entered {
        Ok((host_proc, Forked::Child)) => {
            drop(tell);
            let error = match prepare(launch, target, host_proc) {
                Ok(never) => match never {},
                Err(error) => error,
            };
            fail(&socket, error)
        }
        Ok((_, Forked::Parent { pid, pidfd })) => {
            let told = Report::Joined { pid }.send(&socket, &[pidfd.as_fd()]);
            let tell = tell.as_raw_fd();
            if told.is_err() || sys::exec::close_inherited(0, &[tell]).is_err() {
                let _ = sys::signal::send(pid, SIGKILL);
            }
            wait(pid, tell)
        }
        Err(error) => fail(&socket, error),
    }
}

const SIGKILL: i32 = 9;

fn fail(socket: &OwnedFd, error: StartError) -> ! {
    let code = error.exit_code();
    // Where even this fails, the exit code says what can be said.
    let _ = Report::Failed { error, stubs: Stubs::default() }.send(socket, &[]);
    sys::clone::exit(code)
}

fn wait(pid: i32, tell: i32) -> ! {
    let status = match sys::clone::wait(pid, true) {
        Ok(Some(ended)) => match ended.how {
            How::Exited(code) => ExitStatus::Code(code),
            How::Signalled(signal) => ExitStatus::Signal(signal),
        },
        _ => ExitStatus::Signal(SIGKILL),
    };
    if let Ok(tell) = sys::inherit::duplicate(tell) {
        Fate::write(&tell, status);
    }
    sys::clone::exit(0)
}

/// Everything of us that could be looked into is closed to the container before anything of us is in it.
fn enter(target: &Target, oom_score_adj: Option<i32>) -> Result<Option<OwnedFd>, StartError> {
    SignalSet::full().block()?;
    let host_proc = proc_of_caller();
    // Before the files of this process are the machine's root's. The child inherits it.
    if let (Some(adjustment), Some(proc)) = (oom_score_adj, &host_proc) {
        write_oom_score(proc, adjustment);
    }
    hide()?;
    // Signals of our terminal are not the keeper's.
    rustix::process::setsid().map_err(|errno| StartError::setup("setsid", errno))?;
    target.enter()?;
    // Becoming somebody else may have opened it again.
    hide()?;
    Ok(host_proc)
}

/// Forks, into the control group where the kernel lets: moving a process there takes it some milliseconds.
fn fork(group: Option<OwnedFd>) -> Result<(Forked, bool), StartError> {
    if let Some(group) = group
        && let Ok(forked) = sys::clone::fork_again(Some(group.as_fd()))
    {
        return Ok((forked, true));
    }
    Ok((sys::clone::fork_again(None)?, false))
}

fn hide() -> Result<(), StartError> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|errno| StartError::setup("prctl", errno))
}

fn prepare(mut launch: Launch<'_>, target: &Target, host_proc: Option<OwnedFd>) -> Result<Infallible, StartError> {
    sys::signal::reset_handlers();
    SignalSet::empty().block()?;
    rustix::process::umask(Mode::empty());
    for door in launch.doors.iter().filter(|_| !launch.entered) {
        rustix::io::write(door, b"0")
            .map_err(|errno| StartError::setup("enter the container's control group", errno))?;
    }
    target.enter_groups()?;
    let spec = launch.spec;
    limit::apply(&spec.rlimits)?;
    let root = Root::open("/")?;
    let terminal = match spec.terminal {
        Some(size) => Some(terminal::open_joined(&root, size)?),
        None => {
            fill(&mut launch.stdio, &root)?;
            None
        }
    };
    let becoming = Becoming { launch, root: &root, devices: None, proc: host_proc, terminal, stubs: Stubs::default() };
    become_user::become_program(becoming)
}

/// Streams that nobody wants are the container's own `/dev/null`, if it is one.
fn fill(stdio: &mut [Option<OwnedFd>; 3], root: &Root) -> Result<(), StartError> {
    if stdio.iter().all(Option::is_some) {
        return Ok(());
    }
    let null = null(root)?;
    for missing in stdio.iter_mut().filter(|given| given.is_none()) {
        *missing = Some(null.try_clone().map_err(|error| sys::Error::from_io("dup", "/dev/null", &error))?);
    }
    Ok(())
}

fn null(root: &Root) -> Result<OwnedFd, StartError> {
    let is_null = |fd: &std::fs::File| {
        let stat = rustix::fs::statat(fd, "", AtFlags::EMPTY_PATH);
        stat.is_ok_and(|stat| {
            FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
                && (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev)) == (1, 3)
        })
    };
    let refused = || StartError::Invalid("/dev/null of the container is not the null device".to_owned());
    // Looked at before it is opened: opening something else may wait, or wake a device.
    if !is_null(&root.open_file("dev/null", OpenFlags::PATH | OpenFlags::NOFOLLOW).map_err(|_| refused())?) {
        return Err(refused());
    }
    let flags = OpenFlags::RDWR | OpenFlags::NOFOLLOW | OpenFlags::NONBLOCK;
    let opened = root.open_file("dev/null", flags).map_err(|_| refused())?;
    if !is_null(&opened) {
        return Err(refused());
    }
    rustix::fs::fcntl_setfl(&opened, OFlags::RDWR).map_err(|errno: Errno| StartError::setup("fcntl", errno))?;
    Ok(opened.into())
}

/// Answers for the one id that there is, in a process that nobody waits for: it ends with what it watches.
pub(super) fn monitor(listener: &OwnedFd, watched: i32, table: &Path, groups: &[u32]) -> Result<(), StartError> {
    let forked = sys::clone::fork(sys::clone::Namespaces::NONE)?;
    let Forked::Child = forked else { return Ok(()) };
    let _bulkhead = Bulkhead;
    let _ = rustix::process::setsid();
    let kept = sys::exec::close_inherited(0, &[listener.as_raw_fd()]);
    let code = match kept.and_then(|()| sys::inherit::duplicate(listener.as_raw_fd())) {
        Ok(listener) => crate::single_id::monitor_guest(listener, watched.unsigned_abs(), table, groups.to_vec()),
        Err(_) => 125,
    };
    sys::clone::exit(code)
}
