//! `estiba manifest`: THE TABLE of its verbs. Manifests are looked at wherever they are; indexes are made in the store.

mod add;
mod annotate;
mod create;
mod entry;
mod inspect;
mod push;
mod remove;
mod rm;

use clap::{ArgMatches, Args as _, Command, FromArgMatches as _};

use crate::context::Context;
use crate::error::{Result, code};

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
    verb!(inspect, "Show a manifest or an index, of a registry or elsewhere"),
    verb!(create, "Make an index in the store, of images for several platforms"),
    verb!(add, "Add images to an index of the store"),
    verb!(annotate, "Change what an index says of one of its images"),
    verb!(remove, "Take an image out of an index of the store"),
    verb!(push, "Send an index of the store, and its images, to a registry"),
    verb!(rm, "Remove indexes from the store"),
];

const EXAMPLES: &str = "\
Examples:
  estiba manifest inspect debian:bookworm
  estiba manifest create localhost:5000/app:1.2 localhost:5000/app:1.2-amd64 localhost:5000/app:1.2-arm64
  estiba manifest push localhost:5000/app:1.2";

/// Adds the verbs to `estiba manifest`.
pub(super) fn arguments(command: Command) -> Command {
    let command = command.after_help(EXAMPLES).subcommand_required(true).arg_required_else_help(true);
    VERBS.iter().fold(command, |command, verb| command.subcommand((verb.arguments)()))
}

/// Runs one of them.
pub(super) fn run(matches: &ArgMatches, context: &Context) -> Result<u8> {
    let Some((name, matches)) = matches.subcommand() else { return Ok(code::USAGE) };
    match VERBS.iter().find(|verb| verb.name == name) {
        Some(verb) => (verb.run)(matches, context),
        None => Ok(code::USAGE),
    }
}
