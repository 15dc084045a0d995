//! `estiba tag`.

use oci::Reference;
use store::Blobs;

use crate::context::Context;
use crate::duration;
use crate::error::{Error, Result};
use crate::image;

const EXAMPLES: &str = "\
Examples:
  estiba tag app team/app:1.0
  estiba tag 0a1b2c3d4e5f app:old";

/// Arguments of `estiba tag`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The image, by name or id
    source: String,
    /// The name it gets
    target: String,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let target: Reference = args.target.parse()?;
    if target.digest().is_some() {
        return Err(Error::usage(format!(
            "`{}` holds a digest: an image's digest is not given but computed",
            args.target
        )));
    }
    let Some(store) = context.existing_store()? else { return Err(image::missing_without_store(&args.source)) };
    let (found, meant) = image::find(&store, &args.source, None)?;
    // A name may point at an index of several platforms: the new one points at the same.
    let manifest = match meant {
        image::Meant::Name(name) => store.index().image(&name)?.map(|row| row.manifest),
        image::Meant::Id => None,
    };
    let manifest = manifest.unwrap_or_else(|| found.manifest.digest());
    // Its other name may go, and a collector come, before this one is there.
    let lease = store.lease()?;
    lease.pin(&[manifest])?;
    if store.blobs().size(&manifest)?.is_none() {
        return Err(Error::failed(format!("`{}` was removed meanwhile", args.source)));
    }
    store.index().put_image(&target.to_string(), &manifest, duration::now())?;
    Ok(0)
}
