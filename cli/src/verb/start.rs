//! `estiba start`.

use containers::config::Restart;
use containers::{Container, Containers};
use sys::lock::Lock;

use crate::attachment::{self, How, Wanted};
use crate::chosen::{self, Chosen, One};
use crate::context::{self, Context};
use crate::error::{Error, Result, code};
use crate::launch::{self, Connected, Ground};

const EXAMPLES: &str = "\
Examples:
  estiba start web
  estiba start -ai shell                                    And stay at its terminal
  estiba start --all --filter restart-policy=always         After the machine was started again";

/// Arguments of `estiba start`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Names, ids, or beginnings of ids
    #[arg(value_name = "CONTAINER", required_unless_present_any = ["all", "latest", "filters"])]
    names: Vec<String>,
    /// All containers
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// The container that was made last
    #[arg(short, long, conflicts_with_all = ["names", "all"])]
    latest: bool,
    /// Only those that have it: name=, id=, label=NAME[=VALUE], status=, restart-policy=, ancestor=
    #[arg(long = "filter", value_name = "KEY=VALUE")]
    filters: Vec<String>,
    /// Stay with it: its output is shown, signals are passed on
    #[arg(short, long)]
    attach: bool,
    /// Pass standard input on, too
    #[arg(short, long)]
    interactive: bool,
    /// The keys that leave it [default: those it was made with, else ctrl-p,ctrl-q]
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// Pass signals on to it
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true, hide_default_value = true)]
    sig_proxy: bool,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let containers = chosen::containers(context)?;
    let by_policy = args.filters.iter().any(|filter| filter.starts_with("restart-policy="));
    let mut found = Chosen::new(args.names.clone(), args.all, args.latest, args.filters.clone()).find(&containers)?;
    let code = found.report();
    // A user stopped it, and meant that for longer than until the next boot.
    let stays =
        |container: &Container| container.config.life.restart == Restart::UnlessStopped && container.state.stopped;
    found.ones.retain(|one| !by_policy || !stays(&one.container));
    if args.attach || args.interactive {
        return match (<[One; 1]>::try_from(found.ones), code) {
            (Ok([one]), 0) => stay(&containers, one.container, &args, context),
            (Err(ones), 0) if ones.len() > 1 => {
                Err(Error::usage("only one container at a time can be started and attached to"))
            }
            (_, code) => Ok(code),
        };
    }
    start_all(&containers, found.ones, context, code)
}

/// Starts containers, and tells of each.
pub(super) fn start_all(containers: &Containers, mut ones: Vec<One>, context: &Context, code: u8) -> Result<u8> {
    if ones.len() == 1
        && let Some(One { written, container }) = ones.pop()
    {
        let started =
            start(containers, &container, context, || attachment::connected(&container.config, None)).map(drop);
        return chosen::tell([(written, started)], code);
    }
    // Namespaces are entered once in a process.
    let mut results = Vec::new();
    for One { written, container } in ones {
        let result = in_child(|| {
            start(containers, &container, context, || attachment::connected(&container.config, None)).map(drop)
        });
        results.push((written, result));
    }
    chosen::tell(results, code)
}

/// Lets a child do it, which tells what went wrong.
fn in_child(work: impl FnOnce() -> Result) -> Result {
    let child = sys::fork::child(|| match work() {
        Ok(()) => 0,
        Err(error) => {
            error.report();
            error.exit_code()
        }
    })?;
    match child.wait()? {
        0 => Ok(()),
        code => Err(Error::silent(code)),
    }
}

fn stay(containers: &Containers, container: Container, args: &Args, context: &Context) -> Result<u8> {
    let config = &container.config;
    let interactive = args.interactive && config.process.stdin;
    attachment::check(interactive, config.process.terminal)?;
    let how = How::of(config, Wanted::all(interactive), args.detach_keys.as_deref())?;
    let signals = attachment::signals(args.sig_proxy)?;
    match start(containers, &container, context, || attachment::connected(config, Some(&how)))? {
        Some(attached) => attachment::stay(attached.socket, &signals, how)?.code(),
        None => Err(Error::failed(format!("{} runs already", container.config.name))
            .hint(format!("`estiba attach {}` joins it", container.config.name))),
    }
}

/// Starts a container; `None` where it runs already.
fn start(
    containers: &Containers,
    container: &Container,
    context: &Context,
    connected: impl FnOnce() -> Result<Connected>,
) -> Result<Option<containers::supervisor::Attached>> {
    let removed = || Error::failed(format!("{} was removed just now", container.config.name));
    let Some(container) = &containers.settled(container)? else { return Err(removed()) };
    if container.state.is_active() {
        return Ok(None);
    }
    let Some((container, lock)) = containers.claim(container)? else { return Err(removed()) };
    start_claimed(containers, container, lock, context, connected()?).map(Some)
}

/// Starts a container whose lock we hold.
fn start_claimed(
    containers: &Containers,
    container: Container,
    lock: Lock,
    context: &Context,
    connected: Connected,
) -> Result<containers::supervisor::Attached> {
    let name = container.config.name.clone();
    let ground = Ground::enter(containers.store(), &container.config, &name)?;
    // What an earlier boot left of layers that were not on disk is not to be trusted.
    if container.state.boot != store::boot_id()? {
        launch::refresh(&context::open(context.root()?)?, &container, &ground.probe)?;
    }
    launch::launch(containers, container, lock, ground, connected).map_err(|error| match error.exit_code() {
        code::USAGE => error.code(code::FAILED),
        _ => error,
    })
}
