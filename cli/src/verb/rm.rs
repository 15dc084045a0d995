//! `estiba rm`.

use containers::volume::Volumes;
use containers::{Container, Containers, ContainersError};
use sys::lock::Lock;

use crate::chosen::{self, Chosen, One, Unread};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::{duration, sandbox, ui};

const EXAMPLES: &str = "\
Examples:
  estiba rm web
  estiba rm -f web                              Even while it runs
  estiba rm --all --filter status=exited
  estiba rm -fv $(estiba ps -aq)                Everything, with volumes that have no name";

/// Arguments of `estiba rm`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    chosen: Chosen,
    /// End those that run; say nothing of those that are not there
    #[arg(short, long)]
    force: bool,
    /// Remove the volumes without a name that were made with it
    #[arg(short, long)]
    volumes: bool,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let containers = chosen::containers(context)?;
    let mut found = args.chosen.find(&containers)?;
    let unreadable = if args.force { std::mem::take(&mut found.unreadable) } else { Vec::new() };
    let code = if args.force { found.report_but_absent() } else { found.report() };
    // Processes are ended before the namespaces change who we are.
    let mut claimed = Vec::new();
    for One { written, container } in found.ones {
        claimed.push((written, claim(&containers, &container, args.force)));
    }
    let unreadable: Vec<_> =
        unreadable.into_iter().map(|Unread { written, id, .. }| (written, containers.end_unreadable(&id))).collect();
    let any = claimed.iter().any(|(_, claimed)| matches!(claimed, Ok(Some(_)))) || !unreadable.is_empty();
    if any || containers.is_littered()? {
        sandbox::enter(containers.store())?;
        // Others may have left something half done; what cannot be removed now stays for the next.
        drop(containers.sweep());
    }
    let results = claimed
        .into_iter()
        .map(|(written, claimed)| (written, claimed.and_then(|claimed| remove(&containers, claimed, args.volumes))));
    let unreadable = unreadable
        .into_iter()
        .map(|(written, one)| (written, one.and_then(|one| containers.remove_unreadable(one)).map_err(Error::from)));
    chosen::tell(results.chain(unreadable).collect::<Vec<_>>(), code)
}

/// Ends a container where that is asked for, and takes its lock. `None`: it went by itself.
pub(super) fn claim(containers: &Containers, container: &Container, force: bool) -> Result<Option<(Container, Lock)>> {
    let name = &container.config.name;
    if force {
        return Ok(containers.end(container)?);
    }
    if container.state.is_active() {
        return Err(Error::failed(format!("{name} is running"))
            .hint(format!("stop it first: `estiba stop {name}`; or remove it as it is: `estiba rm -f {name}`")));
    }
    match containers.claim(container) {
        Err(ContainersError::Busy(name)) => Err(Error::failed(format!("{name} is being started or removed"))),
        other => Ok(other?),
    }
}

/// Removes a container whose lock we hold, in the namespaces that its files need.
pub(super) fn remove(containers: &Containers, claimed: Option<(Container, Lock)>, volumes: bool) -> Result {
    match claimed {
        Some((container, lock)) => {
            containers.remove(&container, lock)?;
            if volumes {
                Volumes::new(containers.layout()).remove_anonymous(&container.config)?;
            }
            Ok(())
        }
        None => Ok(()),
    }
}

/// Removes the container of a name, running or not, by a child: the caller enters other namespaces.
pub(super) fn replace(containers: &Containers, name: &str) -> Result {
    let container = match containers.find(name) {
        Ok(container) if container.config.name == name => container,
        Ok(_) | Err(ContainersError::NoSuch(_)) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let child = sys::fork::child(|| {
        let removed = claim(containers, &container, true).and_then(|claimed| {
            sandbox::enter(containers.store())?;
            remove(containers, claimed, true)
        });
        match removed {
            Ok(()) => 0,
            Err(error) => {
                error.report();
                1
            }
        }
    })?;
    match child.wait()? {
        0 => Ok(()),
        code => Err(Error::silent(code)),
    }
}

/// Removes all containers that have ended and match. Gives their ids, and how much room that makes.
pub(super) fn prune(containers: &Containers, ones: Vec<Container>) -> Result<u8> {
    let mut claimed = Vec::new();
    for container in ones.into_iter().filter(|container| !container.state.is_active()) {
        claimed.push((container.config.id.to_string(), claim(containers, &container, false)));
    }
    sandbox::enter(containers.store())?;
    containers.sweep()?;
    let mut freed = 0;
    let results = claimed.into_iter().map(|(id, claimed)| {
        let removed = claimed.and_then(|one| {
            let bytes = one.as_ref().map_or(0, |(container, _)| size(containers, container));
            remove(containers, one, true)?;
            freed += bytes;
            Ok(())
        });
        (id, removed)
    });
    let results: Vec<_> = results.collect();
    let some = results.iter().any(|(_, result)| result.is_ok());
    if some {
        ui::out("Deleted Containers:\n")?;
    }
    let code = chosen::tell(results, 0)?;
    let gap = if some { "\n" } else { "" };
    ui::out(&format!("{gap}Total reclaimed space: {}\n", duration::size(freed)))?;
    Ok(code)
}

/// What a container takes besides its image: what it wrote, and what it said.
fn size(containers: &Containers, container: &Container) -> u64 {
    let mut meter = store::room::Meter::new();
    let snapshot = containers.layout().snapshot(&container.config.id);
    meter.measure(&snapshot) + meter.measure(container.folder.path())
}
