//! What a container says, kept.
//!
//! A log is a series of files in the container's folder: `log` is written, `log.1` came before it, and so on. The supervisor alone
//! writes; readers need no lock. The format of our own driver is made for speed ([`record`]): what came at once is one record,
//! whatever lines it holds. `json-file` is docker's, a line each ([`json`]).
//!
//! A file is opened by descriptor and never through a link ([`series`]): the folder is the user's, and what writes may be root.

pub mod journald;
pub mod json;
pub mod reader;
pub mod record;
pub mod series;
pub mod settings;
mod sink;
mod tail;
#[cfg(test)]
pub(crate) mod tests;
mod writer;

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

pub use reader::{Entry, Reader, Selection};
pub use settings::{Driver, Settings};
pub use sink::Sink;

/// Which of its two streams a container wrote to. A terminal is the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Source {
    /// Standard output.
    Stdout = 1,
    /// Standard error.
    Stderr = 2,
}

/// What is wrong with a log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The system refused.
    #[error("{what} {path}: {source}", path = .path.display())]
    Io {
        /// What was done.
        what: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// What is there is not a log of ours.
    #[error("{path} is {what}, not a log: remove it", path = .path.display())]
    Foreign {
        /// The path.
        path: PathBuf,
        /// What is there.
        what: &'static str,
    },
    /// An option, or its value, that there is not.
    #[error("{0}")]
    Option(String),
    /// This driver keeps nothing that could be read.
    #[error("the log driver `{0}` keeps nothing here")]
    NotKept(&'static str),
}

impl LogError {
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { what, path, source }
    }

    fn errno(what: &'static str, path: &Path) -> impl FnOnce(Errno) -> Self {
        let failed = Self::io(what, path);
        move |errno| failed(errno.into())
    }
}
