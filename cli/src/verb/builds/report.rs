//! `estiba builds report`.

use std::path::PathBuf;

use crate::context::Context;
use crate::error::Result;
use crate::{page, record, ui};

/// Arguments of `estiba builds report`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The build: its id, the beginning of it, or `latest`
    #[arg(value_name = "BUILD", default_value = "latest")]
    build: String,
    /// Where to; standard output without it
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let layout = store::Layout::new(context.root()?);
    let line = record::find(&layout, &args.build)?;
    let steps = record::steps(&layout, &line.id)?;
    match &args.output {
        Some(path) => page::write(path, &layout, &line, &steps)?,
        None => ui::out(&page::render(&layout, &line, &steps)?)?,
    }
    Ok(0)
}
