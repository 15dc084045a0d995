//! File trees, snapshots, namespaces and the processes in them.

pub mod ladder;
pub mod single_id;
pub mod snapshot;
