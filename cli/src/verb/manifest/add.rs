//! `estiba manifest add`.

use builder::transfer::copy::list;

use super::entry::{self, EntryArgs};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::place::{self, Ready};
use crate::ui;
use crate::wire::{self, WireArgs};

const EXAMPLES: &str = "\
Examples:
  estiba manifest add app:1.2 localhost:5000/app:1.2-riscv64
  estiba manifest add --os linux --arch arm --variant v7 app:1.2 store:app-arm";

/// Arguments of `estiba manifest add`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The index's name
    #[arg(value_name = "INDEX")]
    index: String,
    /// What it is to list
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
    /// Accepted for buildah's sake: an index among the images adds all that it lists
    #[arg(long, hide = true)]
    all: bool,
    #[command(flatten)]
    entry: EntryArgs,
    #[command(flatten)]
    wire: WireArgs,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let name = entry::name(&args.index)?;
    let ready = Ready::remote(wire::client(&entry::setup(&args.wire, &args.images)?)?).with_documents(context, true)?;
    let store = ready.store.as_ref().ok_or_else(|| Error::failed("there is no store"))?;
    // Until the index names them, only the lease keeps a collector away from what is fetched.
    let _lease = store.lease()?;
    let mut index = list::read(store, &name)?;
    let sink = place::silence();
    let mut entries = entry::entries(&ready, &sink, &args.images)?;
    if !args.entry.is_empty() && entries.len() > 1 {
        return Err(Error::usage(format!("these options are for one image, and here are {}", entries.len()))
            .hint("add them one by one, or use `estiba manifest annotate`"));
    }
    entries.iter_mut().for_each(|entry| args.entry.apply(entry));
    entry::insert(&mut index, entries);
    entry::warn_of_doubles(&index);
    let digest = list::write(store, &name, &index)?;
    ui::out(&format!("{name}@{digest}\n"))?;
    Ok(0)
}
