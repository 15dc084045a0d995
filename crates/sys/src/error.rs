//! What a failed kernel call says: the call, the path it was about, the errno.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// The result of a call in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A kernel call that failed.
///
/// Converts into [`io::Error`] without losing its kind or its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    call: &'static str,
    path: PathBuf,
    errno: Errno,
}

impl Error {
    /// The failure of `call` on `path` (which may be empty, when the call has none).
    pub fn new(call: &'static str, path: impl AsRef<Path>, errno: Errno) -> Self {
        Self { call, path: path.as_ref().to_owned(), errno }
    }

    /// The failure of `call` on `path`, of which the standard library told us.
    pub fn from_io(call: &'static str, path: impl AsRef<Path>, error: &io::Error) -> Self {
        Self::new(call, path, Errno::from_io_error(error).unwrap_or(Errno::IO))
    }

    /// The calling thread's errno after a failed raw call.
    pub fn last(call: &'static str, path: impl AsRef<Path>) -> Self {
        Self::from_io(call, path, &io::Error::last_os_error())
    }

    /// The name of the call, such as `openat2`.
    pub fn call(&self) -> &'static str {
        self.call
    }

    /// The path that the call was about; empty when it had none.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The kernel's error number.
    pub fn errno(&self) -> Errno {
        self.errno
    }

    /// The kind that the standard library gives this error number.
    pub fn kind(&self) -> io::ErrorKind {
        self.errno.kind()
    }

    /// Whether nothing exists under that name.
    pub fn is_not_found(&self) -> bool {
        self.errno == Errno::NOENT
    }

    /// The same error, about another path (a caller that knows a longer name says it here).
    #[must_use]
    pub fn at(mut self, path: impl AsRef<Path>) -> Self {
        self.path = path.as_ref().to_owned();
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = io::Error::from_raw_os_error(self.errno.raw_os_error()).to_string();
        let reason = reason.split(" (os error").next().unwrap_or_default().to_lowercase();
        if self.path.as_os_str().is_empty() {
            write!(f, "{}: {reason}", self.call)
        } else {
            write!(f, "{} {}: {reason}", self.call, self.path.display())
        }
    }
}

impl std::error::Error for Error {}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        io::Error::new(error.kind(), error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_call_and_the_path() {
        let error = Error::new("openat2", "etc/passwd", Errno::NOENT);
        assert_eq!(error.to_string(), "openat2 etc/passwd: no such file or directory");
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::NotFound);
    }
}
