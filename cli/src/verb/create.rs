//! `estiba create`.

use super::run::make;
use crate::context::Context;
use crate::error::{Result, code};
use crate::ui;

const EXAMPLES: &str = "\
Examples:
  estiba create --name web -p 8080:80 app
  estiba start web

Options are those of `estiba run`.";

/// Arguments of `estiba create`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, disable_help_flag = true, override_usage = "estiba create [OPTIONS] IMAGE [COMMAND [ARG]...]")]
pub(super) struct Args {
    #[command(flatten)]
    make: make::Args,
    /// Print help
    #[arg(long, action = clap::ArgAction::HelpLong)]
    help: Option<bool>,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let new = args.make.make("create", context).map_err(|error| match error.exit_code() {
        code::FAILED => error.code(code::USAGE),
        _ => error,
    })?;
    ui::out(&format!("{}\n", new.container.config.id))?;
    Ok(0)
}
