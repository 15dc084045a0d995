//! Descriptors that another process left open for us.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use rustix::io::Errno;

use crate::{Error, Result};

/// A duplicate of the descriptor with this number, closed on exec; the given one stays as it is.
/// Numbers below 3 are the standard streams, which are nobody's to take.
pub fn duplicate(number: RawFd) -> Result<OwnedFd> {
    duplicate_above(number, 3)
}

fn duplicate_above(number: RawFd, lowest: RawFd) -> Result<OwnedFd> {
    if number < 3 {
        return Err(Error::new("fcntl F_DUPFD_CLOEXEC", number.to_string(), Errno::BADF));
    }
    // SAFETY: the call reads no memory; a number that is not open is refused.
    let duplicate = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, lowest) };
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

/// So many descriptors from the number `first` on, all of which whoever started this process left open for it: each as [`take`] gives it.
/// Where one is not open, its number is the error's, and none is taken. Once, before others use such numbers.
pub fn take_all(first: RawFd, count: usize) -> Result<Vec<OwnedFd>> {
    let end = RawFd::try_from(count).ok().and_then(|count| first.checked_add(count));
    let end = end.ok_or_else(|| Error::new("fcntl F_DUPFD_CLOEXEC", count.to_string(), Errno::BADF))?;
    // None of the new ones may fill a gap.
    let taken = (first..end).map(|number| duplicate_above(number, end)).collect::<Result<Vec<_>>>()?;
    // SAFETY: the contract above: nobody in this process has these numbers, and all of them are open.
    (first..end).for_each(|number| drop(unsafe { OwnedFd::from_raw_fd(number) }));
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
