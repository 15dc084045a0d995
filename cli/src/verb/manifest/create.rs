//! `estiba manifest create`.

use builder::transfer::copy::{CopyError, list};
use oci::{Index, media_type};

use super::entry;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::place::{self, Ready};
use crate::ui;
use crate::wire::{self, WireArgs};

const EXAMPLES: &str = "\
Examples:
  estiba manifest create localhost:5000/app:1.2 localhost:5000/app:1.2-amd64 localhost:5000/app:1.2-arm64
  estiba manifest create --amend app:1.2 app:1.2-riscv64
  estiba manifest create --annotation org.opencontainers.image.version=1.2 app:1.2 app-amd64 app-arm64

An image that the store has by this name is taken from there (`store:NAME`), all others from their registry
(`docker://NAME`), of which only the documents are fetched. Platforms are those of the images' configurations. An index
among them adds all that it lists.";

/// Arguments of `estiba manifest create`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The index's name
    #[arg(value_name = "INDEX")]
    index: String,
    /// What it lists
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
    /// Add to an index that is there already
    #[arg(short, long)]
    amend: bool,
    /// An annotation of the index
    #[arg(long = "annotation", value_name = "NAME=VALUE", value_parser = entry::annotation)]
    annotations: Vec<(String, String)>,
    /// Accepted for buildah's sake: an index among the images adds all that it lists
    #[arg(long, hide = true)]
    all: bool,
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
    let mut index = match list::read(store, &name) {
        Ok(index) if args.amend => index,
        Ok(_) => {
            return Err(Error::failed(format!("`{}` is there already", name.familiar()))
                .hint("`--amend` adds to it, `estiba manifest rm` removes it"));
        }
        Err(CopyError::Choice { .. }) => Index::new(Vec::new()),
        Err(error) => {
            return Err(Error::from(error).hint("give the index a name of its own"));
        }
    };
    let sink = place::silence();
    entry::insert(&mut index, entry::entries(&ready, &sink, &args.images)?);
    index.annotations.extend(args.annotations.iter().cloned());
    index.media_type.get_or_insert_with(|| media_type::OCI_INDEX.to_owned());
    entry::warn_of_doubles(&index);
    list::write(store, &name, &index)?;
    ui::out(&format!("Created manifest list {name}\n"))?;
    Ok(0)
}
