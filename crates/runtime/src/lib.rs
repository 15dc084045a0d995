//! File trees, snapshots, namespaces and the processes in them.

pub mod bundle;
pub mod cgroup;
pub mod channel;
pub mod container;
pub mod emulation;
pub mod ladder;
pub mod single_id;
pub mod snapshot;
pub mod spawner;
pub mod tree;
