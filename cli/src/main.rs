//! The `estiba` binary: builds and runs container images without a daemon and without root.
//!
//! The order matters. The supervisor's entry point comes first: it is to stay small. Then the worker's: that process enters
//! namespaces, which only a single-threaded process may. Then the command line is parsed and one verb runs.

mod attached;
mod attachment;
mod chosen;
mod confinement;
mod context;
mod duration;
mod error;
mod image;
mod inside;
mod keyed;
mod launch;
mod limit;
mod lockfile;
mod moment;
mod near;
mod page;
mod place;
mod present;
mod record;
mod remedy;
mod resolve;
mod rootfs;
mod sandbox;
mod session;
mod shell;
mod template;
mod terminal;
mod ui;
mod verb;
mod wire;
mod worker;

use std::process::ExitCode;

use containers::network::keeper;
use containers::supervisor;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    if let Some(luggage) = supervisor::entry(&arguments) {
        return ExitCode::from(supervisor::resume(luggage));
    }
    if let Some(descriptors) = supervisor::disk_entry(&arguments) {
        return ExitCode::from(supervisor::measure_disk(descriptors, context::room));
    }
    if let Some(plan) = keeper::entry(&arguments) {
        return ExitCode::from(keeper::main(&plan));
    }
    let result = match worker::entry(&arguments) {
        Some(plan) => worker::main(plan),
        None => verb::dispatch(arguments),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            error.report();
            ExitCode::from(error.exit_code())
        }
    }
}
