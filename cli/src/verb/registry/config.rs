//! `estiba registry config`.

use super::Place;
use crate::context::Context;
use crate::error::Result;
use crate::ui;

const EXAMPLES: &str = "\
Examples:
  estiba registry config --default > registry.toml      A file to begin with: every field, documented
  estiba registry config --config registry.toml         What holds: file, environment and defaults together
  estiba registry config --config registry.toml --check";

/// Arguments of `estiba registry config`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    place: Place,
    /// Print the documented file with every field and its default instead
    #[arg(long, conflicts_with_all = ["config", "root"])]
    default: bool,
    /// Only say whether it is right
    #[arg(long, conflicts_with = "default")]
    check: bool,
}

/// Runs the verb.
pub(super) fn run(args: Args, _context: &Context) -> Result<u8> {
    if args.default {
        ui::out(registry_server::config::REFERENCE)?;
        return Ok(0);
    }
    let config = args.place.load(Vec::new())?;
    ui::out(&if args.check { "ok\n".to_owned() } else { config.to_toml() })?;
    Ok(0)
}
