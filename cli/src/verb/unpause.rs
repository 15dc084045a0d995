//! `estiba unpause`.

use containers::supervisor::protocol::Request;

use super::pause;
use crate::chosen::Chosen;
use crate::context::Context;
use crate::error::Result;

/// Arguments of `estiba unpause`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    chosen: Chosen,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    pause::ask(&args.chosen, context, &Request::Unpause, containers::Status::Paused)
}
