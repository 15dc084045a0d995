//! The life of a container: what is kept of it, who watches over it, and what it is connected to.
//!
//! A container is a folder ([`layout::Folder`]). [`config::Config`] says what was asked, and never what happens;
//! [`state::State`] says what happens. While a container runs, a *supervisor* ([`supervisor`]) holds its lock: a state is believed
//! only as far as that lock says the same, and whoever finds otherwise sets it right ([`containers::Containers::list`]). There is no
//! daemon: processes meet in these folders.

pub mod client;
pub mod config;
pub mod containers;
pub mod copy;
pub mod error;
pub mod event;
pub mod exec;
pub mod id;
pub mod launch;
pub mod layout;
pub mod log;
mod names;
pub mod network;
pub mod process;
pub mod processes;
pub mod record;
pub mod signal;
pub mod state;
pub mod stats;
pub mod supervisor;
pub mod systemd;
pub mod time;
pub mod volume;

pub use config::Config;
pub use containers::{Container, Containers};
pub use error::{ContainersError, Result};
pub use id::ContainerId;
pub use state::{State, Status};
