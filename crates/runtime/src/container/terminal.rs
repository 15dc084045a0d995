//! The container's terminal: a pair made in its own `/dev/pts`, whose outer end goes to us.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;
use sys::Root;

use super::device::Attached;
use super::error::StartError;
use super::spec::WindowSize;

/// Both ends.
pub(super) struct Terminal {
    pub(super) outer: OwnedFd,
    pub(super) inner: OwnedFd,
}

/// Makes a terminal and puts it at `/dev/console` too. No path under `/dev/pts` is ever resolved: the kernel gives the
/// other end of the descriptor we hold.
pub(super) fn open(devices: &Option<Attached>, size: WindowSize) -> Result<Terminal, StartError> {
    let Some(devices) = devices else {
        return Err(StartError::Invalid("a terminal needs namespaces, which are refused here".to_owned()));
    };
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let outer = rustix::fs::openat(&devices.terminals, "ptmx", flags, Mode::empty()).map_err(failed("open ptmx"))?;
    let inner = peer(&outer, size)?;
    let console = rustix::fs::openat(
        &devices.tree,
        "console",
        OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC,
        Mode::from_raw_mode(0o600),
    );
    let console = console.map_err(failed("make /dev/console"))?;
    sys::mount::attach(sys::mount::copy(&inner, false)?, console, "/dev/console")?;
    Ok(Terminal { outer, inner })
}

/// A terminal of a container that runs: of the file system that it has at `/dev/pts`, which must be one of terminals, and
/// whose `ptmx` must be its own. No name that the container could have put there is followed.
pub(super) fn open_joined(root: &Root, size: WindowSize) -> Result<Terminal, StartError> {
    let none = || StartError::Invalid("a terminal needs /dev/pts, which this container does not have".to_owned());
    let terminals = root.open_dir_nofollow("dev/pts").map_err(|_| none())?;
    let kind = rustix::fs::fstatfs(&terminals).map_err(failed("statfs /dev/pts"))?.f_type;
    if kind as u64 != DEVPTS_MAGIC {
        return Err(none());
    }
    let how = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::BENEATH;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let outer = rustix::fs::openat2(&terminals, "ptmx", flags, Mode::empty(), how).map_err(failed("open ptmx"))?;
    let inner = peer(&outer, size)?;
    Ok(Terminal { outer, inner })
}

/// DEVPTS_SUPER_MAGIC.
const DEVPTS_MAGIC: u64 = 0x1cd1;

fn failed(what: &'static str) -> impl Fn(Errno) -> StartError {
    move |errno| StartError::setup(what, errno)
}

/// The other end: the kernel gives it for the one we hold.
fn peer(outer: &OwnedFd, size: WindowSize) -> Result<OwnedFd, StartError> {
    rustix::pty::unlockpt(outer).map_err(failed("unlock the terminal"))?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let inner = rustix::pty::ioctl_tiocgptpeer(outer, flags).map_err(failed("open the terminal's other end"))?;
    resize(outer, size).map_err(failed("size the terminal"))?;
    Ok(inner)
}

/// Tells a terminal its size; its foreground processes get SIGWINCH.
pub(super) fn resize(terminal: impl AsFd, size: WindowSize) -> Result<(), Errno> {
    let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(terminal, size)
}
