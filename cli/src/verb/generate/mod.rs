//! `estiba generate`: THE TABLE of its verbs: units of systemd.

mod quadlet;
mod systemd;

use std::ffi::OsString;
use std::path::Path;

use clap::{ArgMatches, Command};

use super::group::{self, Verb, verb};
use crate::context::Context;
use crate::error::Result;

const VERBS: &[Verb] = &[
    verb!(systemd, "Print a unit that runs a container there is"),
    verb!(quadlet, "Make units of .container, .volume, .network, .image and .build files"),
];

/// Adds the verbs to `estiba generate`.
pub(super) fn arguments(command: Command) -> Command {
    group::arguments(command, VERBS)
}

/// Runs one of them.
pub(super) fn run(matches: &ArgMatches, context: &Context) -> Result<u8> {
    group::run(matches, context, VERBS)
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
