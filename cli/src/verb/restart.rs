//! `estiba restart`.

use super::{start, stop};
use crate::chosen::{self, Chosen, One};
use crate::context::Context;
use crate::error::Result;

/// Arguments of `estiba restart`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    chosen: Chosen,
    /// Seconds between the stop signal and SIGKILL; -1 is for ever [default: the container's, else 10]
    #[arg(short, long = "time", visible_alias = "timeout", value_name = "SECONDS", allow_negative_numbers = true)]
    time: Option<i64>,
    /// Another signal than the container's
    #[arg(short, long, value_name = "SIGNAL")]
    signal: Option<String>,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let signal = args.signal.as_deref().map(stop::signal).transpose()?;
    let containers = chosen::containers(context)?;
    let found = args.chosen.find(&containers)?;
    let mut code = found.report();
    let ids: Vec<_> = found.ones.iter().map(|one| one.container.config.id.clone()).collect();
    let mut again = Vec::new();
    for ((written, stopped), id) in stop::stop_all(&containers, found.ones, signal, args.time).into_iter().zip(ids) {
        match (stopped, containers.get(&id)?) {
            (Ok(()), Some(container)) => again.push(One { written, container }),
            // It was one to go with its end.
            (Ok(()), None) => {
                crate::error::Error::failed(format!("{written} was removed when it ended, as --rm asked")).report();
                code = 1;
            }
            (Err(error), _) => {
                error.report();
                code = error.exit_code();
            }
        }
    }
    start::start_all(&containers, again, context, code)
}
