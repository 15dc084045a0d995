//! Signals: blocking, taking and sending them.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

use crate::{Error, Result};

/// A set of signals.
#[derive(Clone, Copy)]
pub struct SignalSet(libc::sigset_t);

impl SignalSet {
    /// No signal.
    pub fn empty() -> Self {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigemptyset fills the set in.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            Self(set.assume_init())
        }
    }

    /// Every signal.
    pub fn full() -> Self {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigfillset fills the set in.
        unsafe {
            libc::sigfillset(set.as_mut_ptr());
            Self(set.assume_init())
        }
    }

    /// These and no others; numbers that no signal has are left out.
    pub fn of(signals: &[i32]) -> Self {
        let mut set = Self::empty();
        for signal in signals {
            // SAFETY: the set is initialised; a bad number is refused with an error that changes nothing.
            unsafe { libc::sigaddset(&mut set.0, *signal) };
        }
        set
    }

    /// Blocks exactly these signals in the calling thread, and gives those that were blocked before.
    pub fn block(&self) -> Result<SignalSet> {
        let mut old = SignalSet::empty();
        // SAFETY: both sets are initialised and outlive the call.
        let result = unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, &mut old.0) };
        if result == 0 { Ok(old) } else { Err(Error::new("sigprocmask", "", Errno::from_raw_os_error(result))) }
    }

    /// Waits until one of these signals, which must be blocked, is there to take.
    pub fn wait(&self) -> Result<i32> {
        loop {
            // SAFETY: the set is initialised; no details of the signal are asked for.
            let signal = unsafe { libc::sigwaitinfo(&self.0, std::ptr::null_mut()) };
            if signal > 0 {
                return Ok(signal);
            }
            let error = Error::last("sigwaitinfo", "");
            if error.errno() != Errno::INTR {
                return Err(error);
            }
        }
    }
}

impl std::fmt::Debug for SignalSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // SAFETY: the set is initialised.
        let member = |signal: &i32| unsafe { libc::sigismember(&self.0, *signal) == 1 };
        f.debug_set().entries((1..=64).filter(member)).finish()
    }
}

/// Signals that arrive as something to read instead of interrupting: poll it, then [`Signals::take`].
#[derive(Debug)]
pub struct Signals(OwnedFd);

impl Signals {
    /// Blocks `set` in the calling thread (and so in threads started later) and delivers it here from now on.
    pub fn block(set: &SignalSet) -> Result<Self> {
        let mut old = SignalSet::empty();
        // SAFETY: both sets are initialised and outlive the call.
        let result = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set.0, &mut old.0) };
        if result != 0 {
            return Err(Error::new("sigprocmask", "", Errno::from_raw_os_error(result)));
        }
        // SAFETY: the set is initialised and outlives the call.
        let fd = unsafe { libc::signalfd(-1, &set.0, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(Error::last("signalfd", ""));
        }
        // SAFETY: the kernel has just opened it for us.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The next signal; `None` when there is none now.
    pub fn take(&self) -> Result<Option<i32>> {
        let mut info = [0u8; size_of::<libc::signalfd_siginfo>()];
        match rustix::io::read(&self.0, &mut info) {
            Ok(length) if length >= 4 => Ok(Some(i32::from_ne_bytes([info[0], info[1], info[2], info[3]]))),
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(errno) => Err(Error::new("read signalfd", "", errno)),
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Gives every signal its default effect again. An ignored signal stays ignored across exec: Rust programs ignore SIGPIPE.
pub fn reset_handlers() {
    for signal in 1..=64 {
        // SAFETY: SIG_DFL is always a valid handler; signals that take none (9, 19) refuse harmlessly.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Sends a signal to a process; a negative number means a process group.
pub fn send(pid: i32, signal: i32) -> Result<()> {
    // SAFETY: kill reads nothing of ours.
    let result = unsafe { libc::kill(pid, signal) };
    if result == 0 { Ok(()) } else { Err(Error::last("kill", "")) }
}

/// Sends a signal to the group of the process that a pidfd names; kernels before 6.9 refuse (EINVAL).
pub fn send_to_group(pidfd: impl AsFd, signal: i32) -> Result<()> {
    // SAFETY: a null siginfo asks for that of kill(2).
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_fd().as_raw_fd(),
            signal,
            std::ptr::null::<u8>(),
            PIDFD_SIGNAL_PROCESS_GROUP,
        )
    };
    if result == 0 { Ok(()) } else { Err(Error::last("pidfd_send_signal", "")) }
}

/// Of linux/pidfd.h.
const PIDFD_SIGNAL_PROCESS_GROUP: u32 = 1 << 2;

/// Sends a signal to the process that a pidfd names; one that has ended is an ESRCH.
pub fn send_to(pidfd: impl AsFd, signal: i32) -> Result<()> {
    // SAFETY: a null siginfo asks for that of kill(2).
    let result = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_fd().as_raw_fd(), signal, std::ptr::null::<u8>(), 0)
    };
    if result == 0 { Ok(()) } else { Err(Error::last("pidfd_send_signal", "")) }
}
