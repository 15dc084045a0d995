//! `estiba manifest`: THE TABLE of its verbs. Manifests are looked at wherever they are; indexes are made in the store.

mod add;
mod annotate;
mod create;
mod entry;
mod inspect;
mod push;
mod remove;
mod rm;

use clap::{ArgMatches, Command};

use super::group::{self, Verb, verb};
use crate::context::Context;
use crate::error::Result;

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
    group::arguments(command.after_help(EXAMPLES), VERBS)
}

/// Runs one of them.
pub(super) fn run(matches: &ArgMatches, context: &Context) -> Result<u8> {
    group::run(matches, context, VERBS)
}
