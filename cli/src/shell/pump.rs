//! Between our terminal and the shell's, until its end. The build's threads are there and take the signals, so that this one
//! looks at the window's size itself.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};

use runtime::container::Stdio;
use runtime::spawner::Child;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::error::{Result, While};
use crate::terminal::{Raw, resize, window_size};

/// How often the window's size is looked at.
const GLANCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 300_000_000 };

/// Our own descriptors, for a shell without a terminal.
pub(super) fn own_stdio() -> Result<Stdio> {
    Ok(Stdio {
        stdin: Some(io::stdin().as_fd().try_clone_to_owned()?),
        stdout: Some(io::stdout().as_fd().try_clone_to_owned()?),
        stderr: Some(io::stderr().as_fd().try_clone_to_owned()?),
        ..Stdio::default()
    })
}

/// Copies both ways until the shell ends.
pub(super) fn copy(child: &Child, terminal: &OwnedFd) -> Result {
    rustix::io::ioctl_fionbio(terminal, true)?;
    let raw = Raw::enter()?;
    let mut size = window_size();
    let mut typed: Vec<u8> = Vec::new();
    let mut listens = true;
    loop {
        let (pidfd, stdin) = (child.pidfd(), io::stdin());
        let asked = if listens && typed.is_empty() { PollFlags::IN } else { PollFlags::empty() };
        let wants = if typed.is_empty() { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT };
        let mut waited = [PollFd::new(&pidfd, PollFlags::IN), PollFd::new(&stdin, asked), PollFd::new(terminal, wants)];
        match poll(&mut waited, Some(&GLANCE)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno).during("poll"),
        }
        let [ended, typing, spoken] = [0, 1, 2].map(|at| !waited[at].revents().is_empty());
        if typing {
            let mut buffer = [0; 4 << 10];
            match rustix::io::read(&stdin, &mut buffer) {
                Ok(length) if length > 0 => typed.extend_from_slice(&buffer[..length]),
                Err(Errno::AGAIN | Errno::INTR) => {}
                _ => listens = false,
            }
        }
        if spoken {
            show(terminal)?;
            if !typed.is_empty()
                && let Ok(length) = rustix::io::write(terminal, &typed)
            {
                typed.drain(..length);
            }
        }
        if ended {
            while show(terminal)? {}
            drop(raw);
            return Ok(());
        }
        let now = window_size();
        if now != size {
            size = now;
            resize(terminal, size);
        }
    }
}

/// Copies what the shell wrote. Gives whether there was anything.
fn show(terminal: &OwnedFd) -> Result<bool> {
    let mut buffer = [0; 16 << 10];
    match rustix::io::read(terminal, &mut buffer) {
        Ok(0) | Err(_) => Ok(false),
        Ok(length) => {
            let mut out = io::stdout().lock();
            out.write_all(&buffer[..length])?;
            out.flush()?;
            Ok(true)
        }
    }
}
