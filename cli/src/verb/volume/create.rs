//! `estiba volume create`.

use containers::ContainerId;

use super::volumes;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::keyed::pairs;
use crate::ui;
use crate::verb::run::mounts::check_driver;

/// Arguments of `estiba volume create`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Its name; one is made up where none is given
    name: Option<String>,
    /// The driver: local
    #[arg(short, long, default_value = "local", hide_default_value = true)]
    driver: String,
    /// Attach a label
    #[arg(short, long = "label", visible_alias = "labels", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// Options of the driver: type=tmpfs, o=size=64m,…; or type=none, o=bind, device=/FOLDER
    #[arg(short, long = "opt", value_name = "KEY=VALUE")]
    options: Vec<String>,
    /// A volume of that name may be there
    #[arg(long, hide = true)]
    ignore: bool,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    check_driver(&args.driver, "--driver")?;
    // The folder of a store that is none yet would be taken for another's.
    context.store()?;
    let volumes = volumes(context)?;
    let name = match args.name.filter(|name| !name.is_empty()) {
        Some(name) => name,
        None => ContainerId::random().map_err(|error| Error::failed(error.to_string()))?.to_string(),
    };
    let made = volumes.create(&name, pairs(&args.labels, "--label")?, pairs(&args.options, "--opt")?)?;
    ui::out(&format!("{}\n", made.name))?;
    Ok(0)
}
