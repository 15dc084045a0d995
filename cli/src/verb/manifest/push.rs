//! `estiba manifest push`.

use builder::transfer::copy::{self, CopyOptions, Place, list};

use super::entry;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::place::{self, Ready};
use crate::ui::transfer::{Progress, ProgressArgs};
use crate::wire::{self, WireArgs};
use crate::{image, ui};

const EXAMPLES: &str = "\
Examples:
  estiba manifest push localhost:5000/app:1.2
  estiba manifest push app:1.2 registry.example.com/team/app:1.2
  estiba manifest push --rm app:1.2 docker://localhost:5000/app:1.2

The images go first: those of the store are sent, those of the same registry are mounted, those of other registries pass
through. Then goes the index.";

/// Arguments of `estiba manifest push`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The index's name
    #[arg(value_name = "INDEX")]
    index: String,
    /// Where to, if not to the index's own name
    #[arg(value_name = "TARGET")]
    target: Option<String>,
    /// Remove the index from the store afterwards
    #[arg(long, visible_alias = "purge", short = 'p')]
    rm: bool,
    /// Accepted for buildah's sake: all images are sent, always
    #[arg(long, hide = true)]
    all: bool,
    #[command(flatten)]
    progress: ProgressArgs,
    #[command(flatten)]
    wire: WireArgs,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let name = entry::name(&args.index)?;
    let target = match &args.target {
        Some(target) => place::reference(target, "manifest push")?,
        None => name.clone(),
    };
    let ready = Ready::remote(wire::client(&args.wire.setup_for(&target.to_string())?)?).with_trees(context, false)?;
    let Some(store) = &ready.store else { return Err(image::missing_without_store(&args.index)) };
    let index = list::read(store, &name)?;
    if index.manifests.is_empty() {
        return Err(
            Error::failed(format!("`{}` lists no image", name.familiar())).hint("`estiba manifest add` adds some")
        );
    }
    let options = CopyOptions { all: true, ..CopyOptions::default() };
    let progress = Progress::start(args.progress.mode());
    let sink = progress.sink();
    let (from, to) = (Place::Store(name.to_string()), Place::Registry(target.clone()));
    let pushed = wire::together(async {
        match copy::copy(&ready.hands(&sink), &from, &to, &options).await {
            Ok(pushed) => Ok(pushed),
            Err(error) => Err(place::explain(error, &ready.target, &from).await),
        }
    })?;
    progress.finish();
    let digest = pushed?.descriptor.digest;
    if args.rm {
        store.index().remove_image(&name.to_string())?;
    }
    let shown = if args.progress.quiet { digest.to_string() } else { format!("{}@{digest}", target.familiar_name()) };
    ui::out(&format!("{shown}\n"))?;
    Ok(0)
}
