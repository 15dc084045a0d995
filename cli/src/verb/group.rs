//! A verb with verbs of its own, as `estiba volume`: its table, its parser, and the way to one of them.

use clap::{ArgMatches, Command};

use crate::context::Context;
use crate::error::{Result, code};

/// One verb of a group.
pub(super) struct Verb {
    pub(super) name: &'static str,
    /// Other names that serve.
    pub(super) aliases: &'static [&'static str],
    pub(super) arguments: fn() -> Command,
    pub(super) run: fn(&ArgMatches, &Context) -> Result<u8>,
}

/// A line of a group's table: the verb is a module beside it with `Args` and `run`.
macro_rules! verb {
    ($name:ident, $about:literal) => {
        verb!($name, &[], $about)
    };
    ($name:ident, $aliases:expr, $about:literal) => {
        $crate::verb::group::Verb {
            name: stringify!($name),
            aliases: $aliases,
            // The documentation of `Args` would take the place of the verb's.
            arguments: || {
                let command = clap::Command::new(stringify!($name)).about($about);
                <$name::Args as clap::Args>::augment_args(command).about($about).long_about(None)
            },
            run: |matches, context| {
                $name::run(<$name::Args as clap::FromArgMatches>::from_arg_matches(matches)?, context)
            },
        }
    };
}

pub(super) use verb;

/// Adds the verbs to the command of a group, which does nothing without one.
pub(super) fn arguments(command: Command, verbs: &[Verb]) -> Command {
    subcommands(command.subcommand_required(true).arg_required_else_help(true), verbs)
}

/// Adds the verbs to a command.
pub(super) fn subcommands(command: Command, verbs: &[Verb]) -> Command {
    verbs.iter().fold(command, |command, verb| command.subcommand((verb.arguments)().aliases(verb.aliases)))
}

/// Runs the verb that was named. Gives its exit code.
pub(super) fn run(matches: &ArgMatches, context: &Context, verbs: &[Verb]) -> Result<u8> {
    let named = matches.subcommand();
    match named.and_then(|(name, inner)| Some((verbs.iter().find(|verb| verb.name == name)?, inner))) {
        Some((verb, inner)) => (verb.run)(inner, context),
        None => Ok(code::USAGE),
    }
}
