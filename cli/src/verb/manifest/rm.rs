//! `estiba manifest rm`.

use builder::transfer::copy::list;

use super::entry;
use crate::context::Context;
use crate::error::{Result, code};
use crate::{image, ui};

/// Arguments of `estiba manifest rm`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Names of indexes
    #[arg(value_name = "INDEX", required = true)]
    indexes: Vec<String>,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let mut exit = 0;
    for text in &args.indexes {
        match one(text, context) {
            Ok(line) => ui::out(&line)?,
            Err(error) => {
                error.report();
                exit = code::FAILED;
            }
        }
    }
    Ok(exit)
}

fn one(text: &str, context: &Context) -> Result<String> {
    let name = entry::name(text)?;
    let Some(store) = context.existing_store()? else { return Err(image::missing_without_store(text)) };
    // An image under this name is not ours to remove: `rmi` does that.
    list::read(&store, &name)?;
    store.index().remove_image(&name.to_string())?;
    Ok(format!("Removed manifest list {name}\n"))
}
