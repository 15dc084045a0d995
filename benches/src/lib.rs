//! Benchmarks of whole processes, beside peers: what a user waits for.
//!
//! Every figure is a median of runs that alternate between the tools, so that a machine that slows down
//! slows all of them. `benches/README.md` says how to run this and what bounds each figure.

mod containers;
mod content;
mod measure;
mod registry;
mod remote_cache;
mod report;
mod tool;
mod transfer;
mod workload;

pub use containers::sink;
pub use measure::{Sample, drop_page_cache, helper, median};
pub use report::Report;
pub use tool::{Bed, Tool};
pub use workload::{WORKLOADS, Workload};
