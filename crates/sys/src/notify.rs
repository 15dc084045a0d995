//! seccomp user notification: answering another process's system calls.
//!
//! A notification names a process by number and memory by address, both of which may mean something else by the time
//! they are looked at. So: read what the call points to, open what it names, *then* ask [`Listener::is_valid`]; only
//! if that says yes was it the caller's. See seccomp_unotify(2).

use std::ffi::CString;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::Pid;

use crate::{Error, Result};

const RECEIVE: libc::Ioctl = 0xc050_2100_u32 as libc::Ioctl;
const SEND: libc::Ioctl = 0xc018_2101_u32 as libc::Ioctl;
const ID_VALID: libc::Ioctl = 0x4008_2102_u32 as libc::Ioctl;
const ADD_FD: libc::Ioctl = 0x4018_2103_u32 as libc::Ioctl;
const SET_FLAGS: libc::Ioctl = 0x4008_2104_u32 as libc::Ioctl;
/// Wake the other side on the same processor: it has nothing else to do (`SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP`).
const SYNC_WAKE_UP: u64 = 1;
/// Since Linux 5.19: a caller whose notification was received is no longer interrupted by signals that don't kill.
const WAIT_KILLABLE_RECV: libc::c_ulong = 1 << 5;
/// Let the kernel run the call after all.
const CONTINUE: u32 = 1;
/// No page is smaller, so a read within one either works or doesn't.
const PAGE: u64 = 4096;

/// One instruction of a classic BPF program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// What to do.
    pub code: u16,
    /// How far to jump if true.
    pub if_true: u8,
    /// How far to jump if false.
    pub if_false: u8,
    /// The operand.
    pub operand: u32,
}

/// A call that waits for an answer.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct Notification {
    /// Names it in the answer.
    pub id: u64,
    /// The calling thread, in our pid namespace; 0 if it isn't visible there.
    pub pid: u32,
    flags: u32,
    /// The call's number.
    pub call: i32,
    /// The `AUDIT_ARCH_*` whose numbers those are.
    pub architecture: u32,
    instruction_pointer: u64,
    /// The raw arguments.
    pub arguments: [u64; 6],
}

/// What the caller shall see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The call returns this.
    Value(i64),
    /// The call fails.
    Error(Errno),
    /// The kernel runs the call. It reads the caller's memory again: no decision of ours may rest on what we read.
    Continue,
}

#[repr(C)]
struct Response {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

#[repr(C)]
struct AddFd {
    id: u64,
    flags: u32,
    source: u32,
    target: u32,
    target_flags: u32,
}

/// The end at which notifications arrive.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
}

/// Puts this thread (and what it forks) under `program`, whose notifications arrive at the descriptor given back.
///
/// Needs CAP_SYS_ADMIN in the user namespace, or no_new_privs. There can be one such program above a thread.
pub fn install(program: &[Instruction]) -> Result<OwnedFd> {
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    match install_with(program, flags | WAIT_KILLABLE_RECV) {
        Err(error) if error.errno() == Errno::INVAL => install_with(program, flags),
        other => other,
    }
}

fn install_with(program: &[Instruction], flags: libc::c_ulong) -> Result<OwnedFd> {
    let length = u16::try_from(program.len()).map_err(|_| Error::new("seccomp", "", Errno::TOOBIG))?;
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut().cast() };
    // SAFETY: `Instruction` has the layout of `sock_filter`; the kernel only reads the program, during the call.
    let fd = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    let fd = i32::try_from(fd).unwrap_or(-1);
    if fd < 0 {
        return Err(Error::last("seccomp", ""));
    }
    // SAFETY: a new descriptor, ours alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

impl Listener {
    /// Takes the descriptor that [`install`] gave, here or in another process.
    pub fn new(fd: OwnedFd) -> Self {
        // Linux 6.6; it's only faster with it.
        // SAFETY: the argument is a plain number.
        let _ = unsafe { libc::ioctl(fd.as_raw_fd(), SET_FLAGS, SYNC_WAKE_UP) };
        Self { fd }
    }

    /// Waits for the next call; `None` when nobody is left under the program.
    pub fn receive(&self) -> Result<Option<Notification>> {
        loop {
            if self.is_over()? {
                return Ok(None);
            }
            let mut notification = Notification::default();
            match self.ioctl("seccomp receive", RECEIVE, &mut notification) {
                Ok(()) => return Ok(Some(notification)),
                // Interrupted, or the caller was killed before we got to it.
                Err(error) if matches!(error.errno(), Errno::INTR | Errno::NOENT) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits for a call to receive or for the end; says whether it is the end.
    fn is_over(&self) -> Result<bool> {
        use rustix::event::{PollFd, PollFlags, poll};
        loop {
            let mut polled = [PollFd::new(&self.fd, PollFlags::IN)];
            match poll(&mut polled, None) {
                Ok(_) => {
                    let events = polled[0].revents();
                    return Ok(!events.contains(PollFlags::IN) && events.intersects(PollFlags::HUP | PollFlags::ERR));
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::new("poll", "", errno)),
            }
        }
    }

    /// Whether the caller still waits: what was read of it up to now was its own.
    pub fn is_valid(&self, id: u64) -> bool {
        let mut id = id;
        self.ioctl("seccomp id_valid", ID_VALID, &mut id).is_ok()
    }

    /// Answers; fine if the caller is gone.
    pub fn answer(&self, id: u64, answer: Answer) -> Result<()> {
        let mut response = match answer {
            Answer::Value(value) => Response { id, value, error: 0, flags: 0 },
            Answer::Error(errno) => Response { id, value: 0, error: -errno.raw_os_error(), flags: 0 },
            Answer::Continue => Response { id, value: 0, error: 0, flags: CONTINUE },
        };
        match self.ioctl("seccomp send", SEND, &mut response) {
            Err(error) if error.errno() == Errno::NOENT => Ok(()),
            other => other,
        }
    }

    /// Gives the caller a copy of a descriptor, closed on exec if `cloexec`; its number there.
    pub fn add_fd(&self, id: u64, fd: BorrowedFd<'_>, cloexec: bool) -> Result<i32> {
        let source = fd.as_raw_fd().unsigned_abs();
        let target_flags = if cloexec { libc::O_CLOEXEC.unsigned_abs() } else { 0 };
        let mut request = AddFd { id, flags: 0, source, target: 0, target_flags };
        // SAFETY: the request has the layout that its number says.
        let number = unsafe { libc::ioctl(self.fd.as_raw_fd(), ADD_FD, &raw mut request) };
        if number < 0 { Err(Error::last("seccomp addfd", "")) } else { Ok(number) }
    }

    fn ioctl<T>(&self, name: &'static str, request: libc::Ioctl, argument: &mut T) -> Result<()> {
        // SAFETY: each caller passes the struct whose size is part of `request`.
        let result = unsafe { libc::ioctl(self.fd.as_raw_fd(), request, &raw mut *argument) };
        if result < 0 { Err(Error::last(name, "")) } else { Ok(()) }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Reads another process's memory; EFAULT unless all of it can be.
pub fn read_memory(pid: u32, address: u64, buffer: &mut [u8]) -> Result<()> {
    let wanted = buffer.len();
    let read = read_some(pid, address, buffer)?;
    if read == wanted { Ok(()) } else { Err(Error::new("process_vm_readv", "", Errno::FAULT)) }
}

/// Reads a C string of at most `limit` bytes; ENAMETOOLONG where it doesn't end by then.
pub fn read_c_string(pid: u32, address: u64, limit: usize) -> Result<CString> {
    let mut bytes = Vec::new();
    let mut buffer = [0; PAGE as usize];
    while bytes.len() < limit {
        let at = address.wrapping_add(bytes.len() as u64);
        // Never across a page in one read: the string may end right before one that isn't there.
        let within = usize::try_from(PAGE - at % PAGE).unwrap_or(buffer.len()).min(limit - bytes.len());
        let read = read_some(pid, at, &mut buffer[..within])?;
        if read == 0 {
            return Err(Error::new("process_vm_readv", "", Errno::FAULT));
        }
        if let Some(end) = buffer[..read].iter().position(|byte| *byte == 0) {
            bytes.extend_from_slice(&buffer[..end]);
            return CString::new(bytes).map_err(|_| Error::new("process_vm_readv", "", Errno::INVAL));
        }
        bytes.extend_from_slice(&buffer[..read]);
    }
    Err(Error::new("process_vm_readv", "", Errno::NAMETOOLONG))
}

/// Writes another process's memory; EFAULT unless all of it can be.
pub fn write_memory(pid: u32, address: u64, bytes: &[u8]) -> Result<()> {
    let pid = pid_of(pid)?;
    let local = IoSlice::new(bytes);
    let remote = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: bytes.len() };
    // SAFETY: `local` has the layout of one iovec and is only read; `remote` is not our memory.
    let written = unsafe {
        libc::process_vm_writev(pid.as_raw_nonzero().get(), (&raw const local).cast(), 1, &raw const remote, 1, 0)
    };
    match usize::try_from(written) {
        Ok(written) if written == bytes.len() => Ok(()),
        Ok(_) => Err(Error::new("process_vm_writev", "", Errno::FAULT)),
        Err(_) => Err(Error::last("process_vm_writev", "")),
    }
}

fn read_some(pid: u32, address: u64, buffer: &mut [u8]) -> Result<usize> {
    let pid = pid_of(pid)?;
    let length = buffer.len();
    let local = IoSliceMut::new(buffer);
    let remote = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: length };
    // SAFETY: `local` has the layout of one iovec, of memory that is ours to write; `remote` is not our memory.
    let read = unsafe {
        libc::process_vm_readv(pid.as_raw_nonzero().get(), (&raw const local).cast(), 1, &raw const remote, 1, 0)
    };
    usize::try_from(read).map_err(|_| Error::last("process_vm_readv", ""))
}

fn pid_of(pid: u32) -> Result<Pid> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.ok_or(Error::new("process_vm_readv", "", Errno::SRCH))
}

#[cfg(test)]
mod tests;
