//! What is said on a supervisor's socket: packets of JSON, descriptors beside them, one request a connection unless said otherwise.

use serde::{Deserialize, Serialize};

/// What a command asks of a supervisor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// End the container: its stop signal, then SIGKILL. Answered when it has ended.
    Stop {
        /// Another signal than its own.
        signal: Option<i32>,
        /// Another time than its own, in seconds; negative: never kill it.
        timeout: Option<i64>,
    },
    /// Send its first process a signal.
    Kill {
        /// Which.
        signal: i32,
    },
    /// Freeze it.
    Pause,
    /// Thaw it.
    Unpause,
    /// Read `config.json` again: it was renamed, or its limits were changed.
    Reload,
    /// Join its streams: the connection goes on with frames of [`Stream`].
    Attach {
        /// Whether what comes is its standard input.
        stdin: bool,
        /// Whether its output is wanted.
        output: bool,
        /// Whether the container waits for who reads too slowly; else he is let go.
        #[serde(default)]
        foreground: bool,
        /// The size of the terminal of who attaches.
        size: Option<runtime::container::WindowSize>,
    },
    /// Answered when it has ended (and, where it is to be removed, when it is).
    Wait,
}

/// What a supervisor answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// It is done.
    Done,
    /// It is not; why.
    Failed(String),
    /// The container ended, with this code.
    Ended(i32),
    /// Why we ended it: to who is attached, before [`Reply::Ended`].
    Why(String),
}

/// How much input is under way to a container that does not read.
pub const WINDOW: usize = 64 << 10;

/// The most bytes of a frame, its first one excepted.
pub const MAX_FRAME: usize = 64 << 10;

/// What a frame of an attached connection carries: one packet is this byte, then the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Stream {
    /// Standard input, or what is typed; without bytes: it is closed. From the supervisor: how many bytes of it were taken, as 4
    /// bytes, little-endian: who attaches has [`WINDOW`] of them under way at most.
    Stdin = 0,
    /// Standard output, or the terminal's.
    Stdout = 1,
    /// Standard error.
    Stderr = 2,
    /// JSON: [`Control`] from who attaches, [`Reply::Ended`] from the supervisor.
    Control = 3,
}

/// What who attaches says besides input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Control {
    /// The terminal has another size.
    Resize(runtime::container::WindowSize),
    /// Pass a signal on.
    Signal(i32),
}

/// The first packet to who started a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hello {
    /// Its program runs.
    Started {
        /// The number of its first process.
        pid: i32,
        /// What he who asked for it is to know: what of it could not be had.
        notes: Vec<String>,
    },
    /// It does not.
    Failed(StartFailure),
}

/// Why a container did not start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct StartFailure {
    /// What went wrong.
    pub message: String,
    /// docker's exit code for it.
    pub code: u8,
}

impl From<runtime::container::StartError> for StartFailure {
    fn from(error: runtime::container::StartError) -> Self {
        Self { message: error.to_string(), code: error.exit_code() }
    }
}

impl StartFailure {
    /// Something of ours could not be done.
    pub fn ours(message: impl std::fmt::Display) -> Self {
        Self { message: message.to_string(), code: 125 }
    }
}

/// Sends a value as a packet.
///
/// # Errors
/// The kernel's refusal.
pub(crate) fn send(socket: impl std::os::fd::AsFd, value: &impl Serialize) -> sys::Result<()> {
    let bytes = serde_json::to_vec(value)
        .map_err(|error| sys::Error::from_io("serialize", "", &std::io::Error::other(error)))?;
    runtime::channel::send(socket, &bytes, &[])
}

impl Stream {
    /// What a frame begins with.
    pub fn of(byte: u8) -> Option<Self> {
        [Self::Stdin, Self::Stdout, Self::Stderr, Self::Control].into_iter().find(|stream| *stream as u8 == byte)
    }
}
