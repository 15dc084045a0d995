//! The loopback interface, and sockets of one interface.

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::os::fd::{AsFd, AsRawFd};

use crate::{Error, Result};

/// Brings `lo` up in the caller's network namespace; the kernel then gives it its addresses.
pub fn loopback_up() -> Result<()> {
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
        .map_err(|errno| Error::new("socket", "", errno))?;
    // SAFETY: ifreq is plain data, for which zero is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads one ifreq, which outlives the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, std::ptr::from_ref(&request)) };
    if result == 0 { Ok(()) } else { Err(Error::last("ioctl SIOCSIFFLAGS", "lo")) }
}

/// Has a socket hear and reach nobody but by one interface (SO_BINDTODEVICE of socket(7)). Nobody needs a right for that since Linux 5.7.
pub fn bind_to(socket: impl AsFd, interface: &str) -> Result<()> {
    let length = libc::socklen_t::try_from(interface.len()).unwrap_or(libc::socklen_t::MAX);
    // SAFETY: the kernel reads `length` bytes of the name, which outlives the call; it needs no zero behind them.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_BINDTODEVICE,
            interface.as_ptr().cast(),
            length,
        )
    };
    if result == 0 { Ok(()) } else { Err(Error::last("setsockopt SO_BINDTODEVICE", interface)) }
}
