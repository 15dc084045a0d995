//! `estiba lock`.

use crate::context::Context;
use crate::error::Result;
use crate::verb::build::locking::{self, Task};

const EXAMPLES: &str = "\
Examples:
  estiba lock .                       Write Dockerfile.lock: images, commits and files that the Dockerfile names
  estiba build --locked -t app .      Build exactly these
  estiba lock --update .              Look again what all names mean now
  estiba lock --update=debian:12 .    Look again what one of them means
  estiba lock --check .               Fail if the lock file is not that of the Dockerfile, and write nothing

It takes the arguments of `estiba build`, and looks at every stage; `--platform a,b` locks the bases of both.";

/// Arguments of `estiba lock`.
#[derive(Debug, clap::Args)]
// Its group would have the name of that of `build`'s.
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    // What `--check` asks of a build, it asks of a lock file here.
    /// Ask again what these names mean, or without names, what all mean
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    update: Vec<String>,
    #[command(flatten)]
    build: super::build::Args,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let task = match (args.build.checks(), args.update.is_empty()) {
        (true, _) => Task::Check,
        (false, true) => Task::Complete,
        // A bare --update is for all.
        (false, false) if args.update.iter().any(String::is_empty) => Task::Update(Vec::new()),
        (false, false) => Task::Update(args.update),
    };
    locking::lock(&args.build, &task, context)
}
