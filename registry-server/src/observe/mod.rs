//! What the outside gets to see: logs, metrics, traces, health.

pub mod health;
pub mod log;
pub mod metrics;
mod process;
mod requests;
pub mod side;
pub mod trace;

pub use metrics::Metrics;
