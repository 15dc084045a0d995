//! `estiba wait`.

use std::time::Duration;

use containers::client::{Client, ClientError};
use containers::supervisor::protocol::{Reply, Request};
use containers::{Container, Containers};

use crate::chosen::{self, Chosen, status};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::ui;

/// How often a state is looked at that no supervisor tells.
const INTERVAL: Duration = Duration::from_millis(50);

/// Arguments of `estiba wait`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    chosen: Chosen,
    /// What is waited for
    #[arg(long, value_name = "CONDITION", default_value = "stopped", hide_default_value = true)]
    condition: Condition,
    /// Accepted for podman's sake: nothing is asked again and again
    #[arg(short, long, hide = true)]
    interval: Option<String>,
    /// Say -1 for containers that are not there
    #[arg(long)]
    ignore: bool,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Condition {
    #[value(aliases = ["not-running", "exited", "stopped"])]
    Stopped,
    NextExit,
    Removed,
    Running,
    Created,
    Paused,
    Healthy,
    Unhealthy,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let containers = chosen::containers(context)?;
    let found = args.chosen.find(&containers)?;
    let code = if args.ignore { found.report_but_absent() } else { found.report() };
    for one in &found.ones {
        let ended = wait(&containers, &one.container, args.condition)?;
        ui::out(&format!("{ended}\n"))?;
    }
    if args.ignore {
        for _ in 0..found.absent {
            ui::out("-1\n")?;
        }
    }
    Ok(code)
}

/// Waits, and gives the exit code; -1 where there is none.
fn wait(containers: &Containers, container: &Container, condition: Condition) -> Result<i32> {
    let id = &container.config.id;
    let mut container = container.clone();
    loop {
        let code = container.state.exit_code.unwrap_or(0);
        let running = container.state.is_active();
        match condition {
            Condition::Stopped if !running => return Ok(code),
            Condition::Stopped | Condition::NextExit if running => {
                if let Some(code) = end(&container)? {
                    return Ok(code);
                }
            }
            Condition::Removed if running => drop(end(&container)?),
            Condition::Running if status(&container) == "running" => return Ok(-1),
            Condition::Created if status(&container) == "created" => return Ok(-1),
            Condition::Paused if status(&container) == "paused" => return Ok(-1),
            Condition::Healthy if has_health(&container, "healthy") => return Ok(-1),
            Condition::Unhealthy if has_health(&container, "unhealthy") => return Ok(-1),
            _ => std::thread::sleep(INTERVAL),
        }
        container = match containers.get(id)? {
            Some(container) => container,
            None if matches!(condition, Condition::Removed | Condition::Stopped | Condition::NextExit) => {
                return Ok(code);
            }
            None => return Err(Error::failed(format!("{} was removed", container.config.name))),
        };
    }
}

fn has_health(container: &Container, wanted: &str) -> bool {
    container.state.health.as_ref().is_some_and(|health| health.status == wanted)
}

/// Waits for the end of a container that runs; `None` where it must be looked at again.
fn end(container: &Container) -> Result<Option<i32>> {
    let answer = Client::connect(&container.folder).and_then(|client| client.ask(&Request::Wait, None));
    match answer {
        Ok(Reply::Ended(code)) => Ok(Some(code)),
        Ok(Reply::Done | Reply::Why(_)) => Ok(None),
        Ok(Reply::Failed(why)) => Err(Error::failed(format!("{}: {why}", container.config.name))),
        Err(ClientError::NotRunning | ClientError::Ended) => {
            std::thread::sleep(Duration::from_millis(2));
            Ok(None)
        }
        Err(error) => Err(Error::from(error).context(&container.config.name)),
    }
}
