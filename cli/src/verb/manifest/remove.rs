//! `estiba manifest remove`.

use builder::transfer::copy::list;

use super::entry;
use crate::context::Context;
use crate::error::Result;
use crate::{image, ui};

const EXAMPLES: &str = "\
Examples:
  estiba manifest remove app:1.2 sha256:0a1b2c
  estiba manifest remove app:1.2 linux/arm64

`estiba manifest rm` removes a whole index.";

/// Arguments of `estiba manifest remove`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The index's name
    #[arg(value_name = "INDEX")]
    index: String,
    /// Its images: digests, their beginnings, names of the store, or platforms
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let name = entry::name(&args.index)?;
    let Some(store) = context.existing_store()? else { return Err(image::missing_without_store(&args.index)) };
    let mut index = list::read(&store, &name)?;
    for image in &args.images {
        let at = entry::position(&store, &index, image)?;
        index.manifests.remove(at);
    }
    let digest = list::write(&store, &name, &index)?;
    ui::out(&format!("{name}@{digest}\n"))?;
    Ok(0)
}
