//! Descriptors that another process left open for us.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use rustix::io::Errno;

use crate::{Error, Result};

/// A duplicate of the descriptor with this number, closed on exec; the given one stays as it is.
/// Numbers below 3 are the standard streams, which are nobody's to take.
pub fn duplicate(number: RawFd) -> Result<OwnedFd> {
    if number < 3 {
        return Err(Error::new("fcntl F_DUPFD_CLOEXEC", number.to_string(), Errno::BADF));
    }
    // SAFETY: the call reads no memory; a number that is not open is refused.
    let duplicate = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) };
    if duplicate < 0 {
        return Err(Error::last("fcntl F_DUPFD_CLOEXEC", number.to_string()));
    }
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(duplicate) })
}

/// The descriptor with this number, which this process left open for itself when it executed itself again; closed on exec from
/// now on. Each number once: it is the owner's.
pub fn take(number: RawFd) -> Result<OwnedFd> {
    let taken = duplicate(number)?;
    // SAFETY: the contract above: nobody else in this process has this number.
    drop(unsafe { OwnedFd::from_raw_fd(number) });
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn only_what_is_open() {
        let file = tempfile::tempfile().unwrap();
        assert_ne!(duplicate(file.as_raw_fd()).unwrap().as_raw_fd(), file.as_raw_fd());
        assert!(duplicate(1).is_err() && duplicate(100_000).is_err() && duplicate(-1).is_err());
    }
}
