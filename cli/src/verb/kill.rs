//! `estiba kill`.

use containers::client::{Client, ClientError};
use containers::supervisor::protocol::{Reply, Request};

use super::stop;
use crate::chosen::{self, Chosen, One};
use crate::context::Context;
use crate::error::{Error, Result};

/// Arguments of `estiba kill`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    chosen: Chosen,
    /// Which signal
    #[arg(short, long, value_name = "SIGNAL", default_value = "KILL")]
    signal: String,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let signal = stop::signal(&args.signal)?;
    let containers = chosen::containers(context)?;
    let found = args.chosen.find(&containers)?;
    let code = found.report();
    let by_name = args.chosen.is_by_name();
    let ones = found.ones.into_iter().filter(|one| by_name || one.container.state.is_active());
    chosen::tell(ones.map(|one| (one.written.clone(), kill(&one, signal))).collect::<Vec<_>>(), code)
}

fn kill(one: &One, signal: i32) -> Result {
    let name = &one.container.config.name;
    let answer = Client::connect(&one.container.folder).and_then(|client| client.ask(&Request::Kill { signal }, None));
    match answer {
        Ok(Reply::Done | Reply::Ended(_) | Reply::Why(_)) => Ok(()),
        Ok(Reply::Failed(why)) => Err(Error::failed(format!("{name}: {why}"))),
        Err(ClientError::NotRunning | ClientError::Ended) => Err(Error::failed(format!("{name} does not run"))),
        Err(error) => Err(Error::from(error).context(name)),
    }
}
