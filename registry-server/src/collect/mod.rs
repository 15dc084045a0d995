//! What goes by itself: what nothing references, tags by rule. And what may not come: bytes above a quota.

mod collector;
mod config;
mod litter;
#[cfg(test)]
mod model;
pub mod quota;
mod report;
pub mod retention;
mod rules;
mod schedule;
#[cfg(test)]
mod tests;

pub use collector::{Collector, Error, Progress, Result};
pub use config::{Gc, Untagged};
pub use report::Report;
pub use rules::{Pressure, Rules};
