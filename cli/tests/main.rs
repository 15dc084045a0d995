//! The command line, run for real: a store of its own for each test, real builds of a busybox image.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod architecture;
mod attach;
mod attacks_build;
mod attesting;
mod build;
mod builds;
mod caches;
mod checks;
mod completions;
mod copy;
mod delete;
mod df;
mod doctor;
mod history;
mod images;
mod import;
mod info;
mod inspect;
mod limit;
mod lint;
mod load;
mod login;
mod man;
mod manifest;
mod mounts;
mod platforms;
mod prune;
mod pull;
mod push;
mod referrers;
mod registry;
mod rmi;
mod run;
mod rungs;
mod runner;
mod running;
mod save;
mod secrets;
mod sources;
mod tag;
mod tags;
mod usage;
mod version;
mod wire;
