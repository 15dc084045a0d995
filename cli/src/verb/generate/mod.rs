//! `estiba generate`: THE TABLE of its verbs: units of systemd.

mod quadlet;
mod systemd;

use std::ffi::OsString;
use std::path::Path;

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
    verb!(systemd, "Print a unit that runs a container there is"),
    verb!(quadlet, "Make units of .container, .volume, .network, .image and .build files"),
];

/// Adds the verbs to `estiba generate`.
pub(super) fn arguments(command: Command) -> Command {
    let command = command.subcommand_required(true).arg_required_else_help(true);
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

/// The names under which systemd calls us, by a link among its generators, and the options that they stand for.
const GENERATORS: [(&str, &[&str]); 2] = [("estiba-system-generator", &[]), ("estiba-user-generator", &["--user"])];

/// The command line that is meant where systemd calls us as one of its generators (systemd.generator(7)).
pub(super) fn as_generator(arguments: Vec<OsString>) -> Vec<OsString> {
    let called = arguments.first().and_then(|program| Path::new(program).file_name()).and_then(|name| name.to_str());
    let Some((_, options)) = GENERATORS.iter().find(|(name, _)| Some(*name) == called) else { return arguments };
    let meant = ["estiba", "generate", "quadlet"].iter().chain(*options).map(OsString::from);
    meant.chain(arguments.into_iter().skip(1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_among_the_generators_is_a_command() {
        let words = |all: &[&str]| all.iter().map(OsString::from).collect::<Vec<_>>();
        let called = words(&["/usr/lib/systemd/user-generators/estiba-user-generator", "a", "b", "c"]);
        assert_eq!(as_generator(called), words(&["estiba", "generate", "quadlet", "--user", "a", "b", "c"]));
        assert_eq!(as_generator(words(&["/bin/estiba", "ps"])), words(&["/bin/estiba", "ps"]));
    }
}
