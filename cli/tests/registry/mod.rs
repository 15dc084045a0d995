//! `estiba registry`: a file for each of its verbs.

mod config;
mod gc;
pub(crate) mod serve;
mod status;
