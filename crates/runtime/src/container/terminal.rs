//! The container's terminal: a pair made in its own `/dev/pts`, whose outer end goes to us.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

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
    let failed = |what: &'static str| move |errno| StartError::setup(what, errno);
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let outer = rustix::fs::openat(&devices.terminals, "ptmx", flags, Mode::empty()).map_err(failed("open ptmx"))?;
    rustix::pty::unlockpt(&outer).map_err(failed("unlock the terminal"))?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let inner = rustix::pty::ioctl_tiocgptpeer(&outer, flags).map_err(failed("open the terminal's other end"))?;
    resize(&outer, size).map_err(failed("size the terminal"))?;
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

/// Tells a terminal its size; its foreground processes get SIGWINCH.
pub(super) fn resize(terminal: impl AsFd, size: WindowSize) -> Result<(), rustix::io::Errno> {
    let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(terminal, size)
}
