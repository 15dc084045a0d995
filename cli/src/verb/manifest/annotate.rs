//! `estiba manifest annotate`.

use builder::transfer::copy::list;

use super::entry::{self, EntryArgs};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::{image, ui};

const EXAMPLES: &str = "\
Examples:
  estiba manifest annotate --arch arm --variant v7 app:1.2 sha256:0a1b2c
  estiba manifest annotate --annotation team=core app:1.2 linux/arm64
  estiba manifest annotate --index --annotation team=core app:1.2";

/// Arguments of `estiba manifest annotate`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The index's name
    #[arg(value_name = "INDEX")]
    index: String,
    /// One of its images: a digest, its beginning, a name of the store, or a platform
    #[arg(value_name = "IMAGE", required_unless_present = "whole")]
    image: Option<String>,
    /// Annotate the index itself
    #[arg(long = "index", id = "whole", conflicts_with = "image")]
    whole: bool,
    #[command(flatten)]
    entry: EntryArgs,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let name = entry::name(&args.index)?;
    if args.entry.is_empty() {
        return Err(
            Error::usage("nothing is to be changed").hint("`--os`, `--arch`, `--variant` or `--annotation` say what")
        );
    }
    let Some(store) = context.existing_store()? else { return Err(image::missing_without_store(&args.index)) };
    let mut index = list::read(&store, &name)?;
    match &args.image {
        Some(image) => {
            let at = entry::position(&store, &index, image)?;
            args.entry.apply(&mut index.manifests[at]);
        }
        None => {
            // An index has no platform: its annotations are all that it says of itself.
            let mut shape = oci::Descriptor::new("", oci::Digest::sha256(b""), 0);
            args.entry.apply(&mut shape);
            if shape.platform.is_some() {
                return Err(Error::usage("an index has no platform: name one of its images"));
            }
            index.annotations.extend(shape.annotations);
        }
    }
    let digest = list::write(&store, &name, &index)?;
    ui::out(&format!("{name}@{digest}\n"))?;
    Ok(0)
}
