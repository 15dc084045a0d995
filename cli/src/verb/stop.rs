//! `estiba stop`.

use std::time::Duration;

use containers::client::{Client, ClientError};
use containers::config::STOP_TIMEOUT;
use containers::supervisor::protocol::{Reply, Request};
use containers::{Container, Containers};

use crate::chosen::{self, Chosen, One};
use crate::context::Context;
use crate::error::{Error, Result};

const EXAMPLES: &str = "\
Examples:
  estiba stop web
  estiba stop -t 60 db             A minute before it is killed
  estiba stop -s QUIT proxy
  estiba stop --all";

/// How long a killed container may take to go: the kernel frees its memory first.
pub(super) const KILLING: Duration = Duration::from_secs(60);

/// Arguments of `estiba stop`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    chosen: Chosen,
    /// Seconds between the stop signal and SIGKILL; -1 is for ever [default: the container's, else 10]
    #[arg(short, long = "time", visible_alias = "timeout", value_name = "SECONDS", allow_negative_numbers = true)]
    time: Option<i64>,
    /// Another signal than the container's
    #[arg(short, long, value_name = "SIGNAL")]
    signal: Option<String>,
    /// Say nothing of containers that are not there
    #[arg(short, long)]
    ignore: bool,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let signal = args.signal.as_deref().map(signal).transpose()?;
    let containers = chosen::containers(context)?;
    let found = args.chosen.find(&containers)?;
    let code = if args.ignore { found.report_but_absent() } else { found.report() };
    let by_name = args.chosen.is_by_name();
    let ones = found.ones.into_iter().filter(|one| by_name || one.container.state.is_active()).collect();
    chosen::tell(stop_all(&containers, ones, signal, args.time), code)
}

/// A signal as it is written.
pub(super) fn signal(written: &str) -> Result<i32> {
    containers::signal::parse(written).ok_or_else(|| Error::usage(format!("--signal {written}: no such signal")))
}

/// Stops containers side by side: all are asked before one is waited for.
pub(super) fn stop_all(
    containers: &Containers,
    ones: Vec<One>,
    signal: Option<i32>,
    timeout: Option<i64>,
) -> Vec<(String, Result<()>)> {
    let ask = |one: &One| -> Result<Option<Client>, ClientError> {
        if !one.container.state.is_active() {
            return Ok(None);
        }
        let client = Client::connect(&one.container.folder)?;
        client.send(&Request::Stop { signal, timeout })?;
        Ok(Some(client))
    };
    let asked: Vec<_> = ones.into_iter().map(|one| (ask(&one), one)).collect();
    let heard = asked.into_iter().map(|(asked, One { written, container })| {
        let patience = patience(timeout.or(container.config.life.stop_timeout));
        let answer = asked.and_then(|client| client.map(|client| client.receive(patience)).transpose());
        (written, settle(containers, &container, answer))
    });
    heard.collect()
}

/// How long an answer may take: the time that the container has, and that in which a killed one goes. `None`: for ever.
fn patience(timeout: Option<i64>) -> Option<Duration> {
    let seconds = u64::try_from(timeout.unwrap_or(STOP_TIMEOUT.cast_signed())).ok()?;
    Some(Duration::from_secs(seconds).saturating_add(KILLING))
}

fn settle(containers: &Containers, container: &Container, answer: Result<Option<Reply>, ClientError>) -> Result {
    let name = &container.config.name;
    match answer {
        Ok(None | Some(Reply::Done | Reply::Ended(_) | Reply::Why(_))) => Ok(()),
        Ok(Some(Reply::Failed(why))) => Err(Error::failed(format!("{name}: {why}"))),
        // It ended by itself just now, or its supervisor was killed: looking sets that right.
        Err(ClientError::NotRunning | ClientError::Ended) => {
            containers.get(&container.config.id)?;
            Ok(())
        }
        Err(error @ ClientError::Silent(_)) => Err(Error::from(error)
            .context(name)
            .hint(format!("`estiba rm -f {name}` ends its supervisor, too; `estiba kill {name}` only its program"))),
        Err(error) => Err(Error::from(error).context(name)),
    }
}
