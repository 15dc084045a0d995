//! `estiba container`: THE TABLE of its verbs. Most are other names of verbs without the word before them.

mod prune;

use clap::{ArgMatches, Command};

use super::group::{self, Verb, verb};
use crate::context::Context;
use crate::error::Result;

const VERBS: &[Verb] = &[verb!(prune, "Remove all containers that have ended")];

const OTHERS: &str = "\
Also, as without the word `container`:
  attach commit cp create diff exec export inspect kill logs ls pause port rename restart rm run
  start stats stop top unpause update wait";

/// Adds the verbs to `estiba container`.
pub(super) fn arguments(command: Command) -> Command {
    group::arguments(command.after_help(OTHERS), VERBS)
}

/// Runs one of them.
pub(super) fn run(matches: &ArgMatches, context: &Context) -> Result<u8> {
    group::run(matches, context, VERBS)
}
