//! `estiba update`.

use std::time::Duration;

use containers::Containers;
use containers::client::Client;
use containers::config::Restart;
use containers::supervisor::protocol::Request;
use runtime::cgroup::{Group, GroupError, Limits};

use super::run::options::life::restart;
use super::run::options::resources::LimitOptions;
use crate::chosen::{self, Chosen, One};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::ui;

const EXAMPLES: &str = "\
Examples:
  estiba update --memory 512m --cpus 2 web
  estiba update --restart unless-stopped web db
  estiba update --pids-limit -1 build

What runs is limited at once; what does not, from its next start.";

/// How long a supervisor may take to hear of it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Arguments of `estiba update`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    limits: LimitOptions,
    /// When it is started again: no, on-failure[:N], always, unless-stopped
    #[arg(long, value_name = "POLICY", value_parser = restart)]
    restart: Option<Restart>,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let change = args.limits.settle()?;
    if change.is_empty() && args.restart.is_none() {
        return Err(Error::usage("nothing to change").hint("give a limit or --restart: `estiba update --help`"));
    }
    let containers = chosen::containers(context)?;
    let found = args.chosen.find(&containers)?;
    let code = found.report();
    let results =
        found.ones.into_iter().map(|one| (one.written.clone(), update(&containers, &one, &change, args.restart)));
    chosen::tell(results.collect::<Vec<_>>(), code)
}

fn update(containers: &Containers, one: &One, change: &Limits, restart: Option<Restart>) -> Result {
    let container = &one.container;
    let name = &container.config.name;
    let _lock = container.folder.lock_config()?;
    let mut config = container.folder.read_config()?;
    let merged = config.resources.limits.changed_by(change);
    check(&merged).map_err(|error| error.context(name))?;
    if let Some(policy) = restart {
        if config.life.remove && policy != Restart::No {
            return Err(Error::failed(format!(
                "{name}: it is removed when it ends (--rm), and cannot be started again"
            )));
        }
        config.life.restart = policy;
    }
    if container.state.init.is_some() && !change.is_empty() {
        match Group::at(container.state.groups.clone()).limit(&live(&merged, change)) {
            Ok(()) => {}
            Err(why @ (GroupError::None | GroupError::NoController(_))) => {
                ui::note(&format!("{name}: {why}"));
            }
            Err(why) => return Err(Error::failed(format!("{name}: {why}"))),
        }
    }
    config.resources.limits = merged;
    container.folder.write_config(&config, container.durability())?;
    // One that does not run needs not be told.
    drop(Client::connect(&container.folder).and_then(|client| client.ask(&Request::Reload, Some(PATIENCE))));
    containers.get(&config.id)?;
    Ok(())
}

/// What a change makes of the whole can be wrong though the change is not.
fn check(limits: &Limits) -> Result {
    if let (Some(memory), Some(total)) = (limits.memory, limits.memory_swap.and_then(|total| u64::try_from(total).ok()))
        && total < memory
    {
        return Err(Error::usage("memory is more than memory and swap together: give --memory-swap, too"));
    }
    Ok(())
}

/// What is written into the group: the change, with what the kernel wants to be told together with it.
fn live(merged: &Limits, change: &Limits) -> Limits {
    let mut live = change.clone();
    if change.memory.is_some() || change.memory_swap.is_some() {
        (live.memory, live.memory_swap) = (merged.memory, merged.memory_swap);
    }
    if change.cpu_quota.is_some() || change.cpu_period.is_some() {
        (live.cpu_quota, live.cpu_period) = (merged.cpu_quota, merged.cpu_period);
    }
    live
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_together_is_written_together() {
        let before = Limits { cpu_quota: Some(50_000), memory: Some(1), memory_swap: Some(-1), ..Limits::default() };
        let change = Limits { cpu_period: Some(20_000), ..Limits::default() };
        let written = live(&before.changed_by(&change), &change);
        assert_eq!((written.cpu_quota, written.cpu_period, written.memory), (Some(50_000), Some(20_000), None));
        let change = Limits { memory: Some(2), ..Limits::default() };
        assert_eq!(live(&before.changed_by(&change), &change).memory_swap, Some(-1));
        assert!(check(&Limits { memory: Some(3), memory_swap: Some(2), ..Limits::default() }).is_err());
    }
}
