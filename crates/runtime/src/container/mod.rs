//! Containers: a [`Spec`] in, a process out.
//!
//! [`run`] must be called by a process that has one thread. The child that it clones prepares everything inside its own
//! namespaces, reports over a socket what went wrong, and becomes the user's program.

mod bare;
mod become_user;
mod boundary;
pub mod caps;
mod device;
mod error;
mod inside;
pub mod join;
mod kernel_fs;
mod labels;
pub mod limit;
mod mount;
mod namespaces;
mod program;
mod reaper;
mod report;
mod rootfs;
mod run;
pub mod seccomp;
mod spec;
mod stub;
mod sysctl;
mod terminal;
mod user;
mod users;
mod visit;

pub(crate) use become_user::environment;
pub use boundary::{Boundary, Device, Namespace, Namespaces, Paths, Users};
pub use caps::CapSet;
pub use error::StartError;
pub(crate) use kernel_fs::has_unified_groups;
pub use mount::{Bind, Flags, Memory, Propagation};
pub(crate) use rootfs::mount as mount_tree;
pub use run::{ExitStatus, Finished, Left, Running, Stdio, Usage, run, run_while};
pub(crate) use run::{Progress, Starting, prepare};
pub use seccomp::Seccomp;
pub use spec::{DEFAULT_SHM_SIZE, Ids, Isolation, Mount, Network, Rlimit, Source, Spec, WindowSize};

pub(crate) use user::User;
pub use visit::Visit;

pub use crate::snapshot::RootFs;
