//! Why a container didn't start.

use serde::{Deserialize, Serialize};

/// Why a container didn't start. It crosses from the container's first process to us, so it holds words, not sources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum StartError {
    /// Something that we do before the program could not be done.
    #[error("{what}: {}", words(*.errno))]
    Setup {
        /// The step, with the path that it was about.
        what: String,
        /// The kernel's error number; 0 where the kernel had no part in it.
        errno: i32,
    },
    /// The specification contradicts itself or the image.
    #[error("{0}")]
    Invalid(String),
    /// No such user or group in the image.
    #[error("unable to find {what} {name:?}: no such entry in the image's {file}")]
    NoSuchUser {
        /// `user` or `group`.
        what: String,
        /// As written.
        name: String,
        /// `/etc/passwd` or `/etc/group`.
        file: String,
    },
    /// The program is not there.
    #[error("{program}: {}", if *.searched { "executable file not found in $PATH" } else { "no such file or directory" })]
    NotFound {
        /// As written.
        program: String,
        /// Whether `PATH` was searched.
        searched: bool,
    },
    /// The program is there, but what it needs to start is not.
    #[error("{program}: its interpreter {interpreter} does not exist in the image")]
    NoInterpreter {
        /// The path found.
        program: String,
        /// What its first line or its ELF header names.
        interpreter: String,
    },
    /// The program is there and can't be executed.
    #[error("{program}: {}", words(*.errno))]
    NotExecutable {
        /// The path found.
        program: String,
        /// The kernel's error number.
        errno: i32,
    },
}

impl StartError {
    /// docker's exit code for it: 125 ours, 126 not executable, 127 not found.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Setup { .. } | Self::Invalid(_) | Self::NoSuchUser { .. } => 125,
            Self::NotExecutable { .. } => 126,
            Self::NotFound { .. } | Self::NoInterpreter { .. } => 127,
        }
    }

    pub(crate) fn setup(what: impl Into<String>, errno: rustix::io::Errno) -> Self {
        Self::Setup { what: what.into(), errno: errno.raw_os_error() }
    }
}

/// What the kernel's error number says, in the words of its manual.
fn words(errno: i32) -> String {
    let text = std::io::Error::from_raw_os_error(errno).to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

impl From<sys::Error> for StartError {
    fn from(error: sys::Error) -> Self {
        let what = if error.path().as_os_str().is_empty() {
            error.call().to_owned()
        } else {
            format!("{} {}", error.call(), error.path().display())
        };
        Self::setup(what, error.errno())
    }
}
