//! `estiba registry`: the registry server, and what its keeper does with it.

mod serve;

use crate::context::Context;
use crate::error::Result;

/// Arguments of `estiba registry`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

/// What can be done with a registry.
#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Serve images to clients
    Serve(serve::Args),
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    match args.verb {
        Verb::Serve(args) => serve::run(args, context),
    }
}
