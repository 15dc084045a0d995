//! `estiba kill`.

use containers::client::{Client, ClientError};
use containers::signal::SIGKILL;
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
    // All are asked before the end of one is waited for.
    let asked: Vec<_> = ones.map(|one| (ask(&one, signal), one)).collect();
    let heard = asked.into_iter().map(|(asked, one)| {
        let answer = asked.and_then(|client| client.receive((signal == SIGKILL).then_some(stop::KILLING)));
        (one.written.clone(), settle(&one, answer))
    });
    chosen::tell(heard.collect::<Vec<_>>(), code)
}

/// SIGKILL is answered when the container has ended, another signal when it was sent.
fn ask(one: &One, signal: i32) -> Result<Client, ClientError> {
    let client = Client::connect(&one.container.folder)?;
    client.send(&Request::Kill { signal })?;
    Ok(client)
}

fn settle(one: &One, answer: Result<Reply, ClientError>) -> Result {
    let name = &one.container.config.name;
    match answer {
        Ok(Reply::Done | Reply::Ended(_) | Reply::Why(_)) => Ok(()),
        Ok(Reply::Failed(why)) => Err(Error::failed(format!("{name}: {why}"))),
        Err(ClientError::NotRunning | ClientError::Ended) => Err(Error::failed(format!("{name} does not run"))),
        Err(error) => Err(Error::from(error).context(name)),
    }
}
