//! `estiba volume rm`.

use super::volumes;
use crate::context::Context;
use crate::error::Result;

/// Arguments of `estiba volume rm`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The volumes
    #[arg(required_unless_present = "all", value_name = "VOLUME")]
    names: Vec<String>,
    /// All volumes
    #[arg(short, long, conflicts_with = "names")]
    all: bool,
    /// A volume that is not there is no error
    #[arg(short, long)]
    force: bool,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let volumes = volumes(context)?;
    let names = match args.all {
        true => volumes.list()?.into_iter().map(|volume| volume.name).collect(),
        false => args.names,
    };
    super::remove(context, &volumes, &names, args.force)?;
    Ok(0)
}
