//! `estiba builds shell`.

use builder::failed::Failed;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::record;
use crate::worker::{self, Job};

/// Arguments of `estiba builds shell`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The build: its id, the beginning of it, or `latest`
    #[arg(value_name = "BUILD", default_value = "latest")]
    build: String,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let root = context.root()?.to_path_buf();
    let line = record::find(&store::Layout::new(&root), &args.build)?;
    if let Some(store) = context.existing_store()?
        && Failed::of(&store, &line.id)?.is_none()
    {
        return Err(Error::failed(format!(
            "build {} left no file system: none of its steps ended with an exit code",
            line.id
        )));
    }
    worker::execute(&worker::Plan { root, job: Job::Shell { build: line.id } })
}
