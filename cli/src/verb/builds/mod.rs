//! `estiba builds`: THE TABLE of its verbs. The history of builds, and what each left.

mod inspect;
mod ls;
mod report;
mod rm;
mod shell;

use clap::{ArgMatches, Args as _, Command, FromArgMatches as _};

use super::group::{self, Verb, verb};
use crate::context::Context;
use crate::error::Result;

const VERBS: &[Verb] = &[
    verb!(ls, "List builds, the newest first"),
    verb!(inspect, "Show what became of each step of a build, and how long it took"),
    verb!(report, "Write the page of a build"),
    verb!(shell, "Open a shell where a build's step failed"),
    verb!(rm, "Forget builds and their logs"),
];

const EXAMPLES: &str = "\
Examples:
  estiba builds                       The last builds
  estiba builds inspect latest        Each step of the last one
  estiba builds report latest -o p.html
  estiba builds shell latest          Look around where it failed
  estiba builds rm --all

`estiba logs BUILD` prints what its steps said.";

/// Adds the verbs to `estiba builds`, which lists when none is named.
pub(super) fn arguments(command: Command) -> Command {
    let command = ls::Args::augment_args(command).after_help(EXAMPLES).args_conflicts_with_subcommands(true);
    group::subcommands(command, VERBS)
}

/// Runs one of them.
pub(super) fn run(matches: &ArgMatches, context: &Context) -> Result<u8> {
    match matches.subcommand() {
        Some(_) => group::run(matches, context, VERBS),
        None => ls::run(ls::Args::from_arg_matches(matches)?, context),
    }
}
