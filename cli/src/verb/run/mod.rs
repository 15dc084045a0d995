//! `estiba run`.
//!
//! One process, one thread: it makes the container ([`make`]), enters the namespaces, forks the container's supervisor
//! ([`crate::launch`]), and stays as its terminal, or not. Nothing is written into the index.

pub(in crate::verb) mod environment;
pub(in crate::verb) mod make;
pub(super) mod mounts;
pub(super) mod options;

pub(super) use options::user_network;

use containers::launch::{Grounds, spec};

use crate::attachment::{self, How, Wanted};
use crate::context::Context;
use crate::error::{Error, Result, While, code};
use crate::launch::{self, Connected};
use crate::ui;

const EXAMPLES: &str = "\
Examples:
  estiba run --rm app                              What the image starts
  estiba run --rm -it app sh                       A shell in it
  estiba run -d --name web app                     In the background: `estiba stop web` ends it
  estiba run --rm -v .:/src -w /src app make       A command on a folder of yours
  estiba run --rm -e DEBUG=1 --env-file env app
  estiba run --rm --network none --read-only --tmpfs /tmp app
  estiba run -d --restart=always app               Started again whenever it ends

Without --rm the container stays when it has ended: `estiba start`, `estiba logs`, `estiba rm`.
Exit codes: the program's own, 128 + the signal that ended it, 125 where estiba could not set up the
container, 126 where the program cannot be executed, 127 where it is not there.";

/// Arguments of `estiba run`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, disable_help_flag = true, override_usage = "estiba run [OPTIONS] IMAGE [COMMAND [ARG]...]")]
pub(super) struct Args {
    #[command(flatten)]
    make: make::Args,
    /// Leave it in the background, and print its id
    #[arg(short, long)]
    detach: bool,
    /// Print the OCI runtime configuration (config.json) that it amounts to, and run nothing
    #[arg(long)]
    print_spec: bool,
    /// Show or give only these streams: stdin, stdout, stderr
    #[arg(short, long, value_name = "STREAM")]
    attach: Vec<String>,
    /// Pass signals on to it (`--sig-proxy=false`: a signal ends this command, and the container goes on)
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true, hide_default_value = true)]
    sig_proxy: bool,
    /// Hand its program so many of our descriptors, from 3 on, besides the sockets of a service manager (LISTEN_FDS)
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    preserve_fds: usize,
    /// Print help
    #[arg(long, action = clap::ArgAction::HelpLong)]
    help: Option<bool>,
}

/// Runs the verb. Whatever fails before the program runs is docker's 125.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    start(&args, context)
        .map_err(|error| if error.exit_code() == code::FAILED { error.code(code::USAGE) } else { error })
}

fn start(args: &Args, context: &Context) -> Result<u8> {
    let process = &args.make.options.process;
    let (interactive, tty) = (process.interactive, process.tty);
    let wanted = Wanted::named(&args.attach, interactive)?;
    if !args.detach && !args.print_spec {
        attachment::check(interactive, tty)?;
    }
    let handed = attachment::inherited(args.preserve_fds)?;
    let new = args.make.make("run", context)?;
    if args.print_spec {
        return print_spec(new);
    }
    let id = new.container.config.id.clone();
    let config = &new.container.config;
    let how = if args.detach { None } else { Some(How::of(config, wanted, None)?) };
    if !handed.fds.is_empty() && config.isolation.runtime.is_some() {
        new.containers.remove(&new.container, new.lock)?;
        return Err(Error::usage("descriptors are handed on (LISTEN_FDS, --preserve-fds) only without --runtime"));
    }
    let connected = Connected { handed, ..attachment::connected(config, how.as_ref())? };
    let signals = if args.detach { None } else { Some(attachment::signals(args.sig_proxy)?) };
    let started = launch::launch(&new.containers, new.container, new.lock, new.ground, connected)?;
    match how.zip(signals) {
        Some((how, signals)) => attachment::stay(started.socket, &signals, how)?.code(),
        None => {
            ui::out(&format!("{id}\n"))?;
            Ok(0)
        }
    }
}

/// Says what the container would be, and removes it.
fn print_spec(new: make::New) -> Result<u8> {
    let make::New { containers, container, lock, ground } = new;
    let described = describe(&containers, &container, &ground.probe);
    containers.remove(&container, lock)?;
    let text = serde_json::to_string_pretty(&described?).during("write the configuration")?;
    ui::out(&format!("{text}\n"))?;
    Ok(0)
}

fn describe(
    containers: &containers::Containers,
    container: &containers::Container,
    probe: &runtime::ladder::Probe,
) -> Result<serde_json::Value> {
    let (tree, snapshots) = (container.tree()?, containers.store().snapshots());
    let layout = containers.layout();
    let grounds = Grounds { rootfs: tree.root_fs(&snapshots), owners: tree.owners(&snapshots), probe, layout };
    let spec = spec(&container.config, &grounds)?;
    let dir = container.folder.path().join("bundle");
    std::fs::create_dir(&dir).during(format!("make {}", dir.display()))?;
    runtime::bundle::describe(&spec, &container.config.life.annotations, &dir)
        .during("look at the container's file system")
}
