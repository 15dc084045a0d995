//! `estiba pause`, and `estiba unpause`.

use std::time::Duration;

use containers::client::Client;
use containers::supervisor::protocol::{Reply, Request};

use crate::chosen::{self, Chosen, One};
use crate::context::Context;
use crate::error::{Error, Result};

const EXAMPLES: &str = "\
Examples:
  estiba pause web
  estiba unpause --all

A container that is paused keeps its memory and its connections, and does nothing. It takes a control group:
`estiba doctor` says whether this machine has them for you.";

/// A supervisor answers when all processes stand still, which takes it two seconds at most.
const PATIENCE: Duration = Duration::from_secs(10);

/// Arguments of `estiba pause`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    chosen: Chosen,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    ask(&args.chosen, context, &Request::Pause, containers::Status::Running)
}

/// Asks all supervisors; of `--all` only those whose container is so.
pub(super) fn ask(chosen: &Chosen, context: &Context, request: &Request, meant: containers::Status) -> Result<u8> {
    let containers = chosen::containers(context)?;
    let found = chosen.find(&containers)?;
    let code = found.report();
    let by_name = chosen.is_by_name();
    let ones = found.ones.into_iter().filter(|one| by_name || one.container.state.status == meant);
    chosen::tell(ones.map(|one| (one.written.clone(), ask_one(&one, request))).collect::<Vec<_>>(), code)
}

fn ask_one(one: &One, request: &Request) -> Result {
    let name = &one.container.config.name;
    let answer = Client::connect(&one.container.folder).and_then(|client| client.ask(request, Some(PATIENCE)));
    match answer {
        Ok(Reply::Done) => Ok(()),
        Ok(Reply::Failed(why)) => Err(Error::failed(format!("{name}: {why}"))),
        Ok(Reply::Ended(_) | Reply::Why(_)) => Err(Error::failed(format!("{name}: it has ended"))),
        Err(error) => Err(Error::from(error).context(name)),
    }
}
