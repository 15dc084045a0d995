//! `estiba builds`: THE TABLE of its verbs. The history of builds, and what each left.

mod inspect;
mod ls;
mod report;
mod rm;
mod shell;

use clap::{ArgMatches, Args as _, Command, FromArgMatches as _};

use crate::context::Context;
use crate::error::Result;

/// One verb.
struct Verb {
    name: &'static str,
    arguments: fn() -> Command,
    run: fn(&ArgMatches, &Context) -> Result<u8>,
}

macro_rules! verb {
    ($name:ident, $about:literal) => {
        Verb {
            name: stringify!($name),
            // The documentation of `Args` would take the place of the verb's.
            arguments: || {
                $name::Args::augment_args(Command::new(stringify!($name)).about($about)).about($about).long_about(None)
            },
            run: |matches, context| $name::run($name::Args::from_arg_matches(matches)?, context),
        }
    };
}

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
    VERBS.iter().fold(command, |command, verb| command.subcommand((verb.arguments)()))
}

/// Runs one of them.
pub(super) fn run(matches: &ArgMatches, context: &Context) -> Result<u8> {
    let Some((name, inner)) = matches.subcommand() else {
        return ls::run(ls::Args::from_arg_matches(matches)?, context);
    };
    match VERBS.iter().find(|verb| verb.name == name) {
        Some(verb) => (verb.run)(inner, context),
        None => Ok(crate::error::code::USAGE),
    }
}
