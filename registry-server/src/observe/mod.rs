//! What the outside gets to see: logs, metrics, traces, health.

pub mod health;
pub mod log;
