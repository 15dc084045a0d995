//! The loopback interface.

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::os::fd::AsRawFd;

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
