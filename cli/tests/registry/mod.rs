//! `estiba registry`: a file for each of its verbs.

mod config;
mod fsck;
mod gc;
mod htpasswd;
mod policy;
pub(crate) mod serve;
mod status;
