//! Owners and identities where there is only one id.
//!
//! In a user namespace with a single id the kernel refuses to give a file to anyone, or to become anyone. Here a
//! monitor, a process outside of the container, answers those calls in the kernel's place (seccomp user notification):
//!
//! - chown and its kin *record* the owner ([`owner`]): an attribute on files and directories, a table beside the snapshot
//!   for the rest. What makes a layer of the tree reads the record.
//! - set*id, setgroups and get*id keep a set of [`credentials`] for each process, by the kernel's rules. A program that
//!   drops its privileges sees them dropped, and can't get them back; children inherit; executing a set-user-id file
//!   changes the effective id.
//! - A container whose user isn't root has that user's id mapped instead, natively; afterwards what it made is recorded
//!   as that user's ([`adopt`]).
//!
//! None of it guards anything: to the kernel all processes are the one user, and that is the wall. What it can't do:
//! stat doesn't show recorded owners; a process that became someone else may still do what root may, and its new files
//! are root's; exec of a set-user-id file is seen only of a process that had given up being root.

mod adopt;
mod chown;
mod credentials;
mod filter;
mod monitor;
pub mod owner;
mod process;
mod target;

pub(crate) use adopt::adopt_new;
pub use filter::filter;
pub use monitor::monitor;
pub(crate) use monitor::monitor_guest;
