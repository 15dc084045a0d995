//! `estiba container`: THE TABLE of its verbs. Most are other names of verbs without the word before them.

mod prune;

use clap::{ArgMatches, Args as _, Command, FromArgMatches as _};

use crate::context::Context;
use crate::error::Result;

const OTHERS: &str = "\
Also, as without the word `container`:
  attach commit cp create diff exec export inspect kill logs ls pause port rename restart rm run
  start stats stop top unpause update wait";

/// Adds the verbs to `estiba container`.
pub(super) fn arguments(command: Command) -> Command {
    let about = "Remove all containers that have ended";
    let prune = prune::Args::augment_args(Command::new("prune").about(about)).about(about).long_about(None);
    command.subcommand_required(true).arg_required_else_help(true).after_help(OTHERS).subcommand(prune)
}

/// Runs one of them.
pub(super) fn run(matches: &ArgMatches, context: &Context) -> Result<u8> {
    match matches.subcommand() {
        Some(("prune", inner)) => prune::run(&prune::Args::from_arg_matches(inner)?, context),
        _ => Ok(crate::error::code::USAGE),
    }
}
