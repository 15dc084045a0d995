//! `estiba volume inspect`.

use super::{shown, volumes};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::template;
use crate::ui;

/// Arguments of `estiba volume inspect`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The volumes
    #[arg(required = true, value_name = "VOLUME")]
    names: Vec<String>,
    /// Print by a Go template
    #[arg(short, long, value_name = "TEMPLATE")]
    format: Option<String>,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let volumes = volumes(context)?;
    let (mut found, mut failed) = (Vec::new(), Vec::new());
    for name in &args.names {
        match volumes.get(name) {
            Ok(volume) => found.push(shown(&volumes, &volume)),
            Err(error) => failed.push(error.to_string()),
        }
    }
    match &args.format {
        Some(format) => {
            let template = template::Template::parse(format)?;
            for volume in &found {
                ui::out(&format!("{}\n", template.render(volume)?))?;
            }
        }
        None => ui::out(&format!("{}\n", serde_json::to_string_pretty(&found)?))?,
    }
    if failed.is_empty() { Ok(0) } else { Err(Error::failed(failed.join("\n"))) }
}
