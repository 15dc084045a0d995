//! `estiba run`.
//!
//! One process, one thread: it enters the namespaces, clones the container, passes signals and the
//! terminal on, and ends as the container did. Nothing is written into the index.

mod attach;
mod environment;
pub(super) mod mounts;
mod options;

use containers::id::{ContainerId, check_name};
use containers::launch::{self, Grounds};
use oci::Platform;
use runtime::{container, emulation};

use options::Options;

use crate::context::Context;
use crate::error::{Error, Result, While, code};
use crate::present::Wanted;
use crate::resolve::Policy;
use crate::ui::progress::Mode;
use crate::verb::pull::bare;
use crate::wire::WireArgs;
use crate::{rootfs, sandbox};

const EXAMPLES: &str = "\
Examples:
  estiba run --rm app                              What the image starts
  estiba run --rm -it app sh                       A shell in it
  estiba run --rm -v .:/src -w /src app make       A command on a folder of yours
  estiba run --rm -e DEBUG=1 --env-file env app
  estiba run --rm --network none --read-only --tmpfs /tmp app

The container is removed when it ends, with or without --rm: containers that stay come in a later
version. Its network is the host's; `--network none` gives it none.
Exit codes: the program's own, 128 + the signal that ended it, 125 where estiba could not set up the
container, 126 where the program cannot be executed, 127 where it is not there.";

/// Arguments of `estiba run`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, disable_help_flag = true, override_usage = "estiba run [OPTIONS] IMAGE [COMMAND [ARG]...]")]
pub(super) struct Args {
    /// The image, by name or id; and the command instead of the image's own
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "IMAGE [COMMAND]")]
    words: Vec<String>,
    #[command(flatten)]
    options: Options,
    /// The platform, where the image has several
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,
    /// When the image is looked for in its registry: missing, always, newer or never
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "missing",
        hide_default_value = true,
        hide_possible_values = true
    )]
    pull: Policy,
    /// Show no progress of a pull
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    wire: WireArgs,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    sig_proxy: Option<String>,
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
    let Some((name, command)) = args.words.split_first() else { return Err(Error::usage("the image is missing")) };
    if name.starts_with('-') {
        return Err(unknown_option(name));
    }
    let process = &args.options.process;
    attach::check(process.interactive, process.tty)?;
    let store = match context.existing_store()? {
        Some(store) => store,
        None => context.store()?,
    };
    let wanted = Wanted {
        name,
        platform: args.platform.as_ref(),
        policy: args.pull,
        setup: args.wire.setup_for(bare(name))?,
        mode: if args.quiet { Mode::Quiet } else { Mode::Auto },
    };
    let image = wanted.get(&store)?;
    // What the arguments name is looked at before the namespaces change who we are.
    let id = ContainerId::random()?;
    let platform = image.config.value().platform();
    let of = containers::config::Image {
        name: name.clone(),
        id: image.id(),
        manifest: image.manifest.digest(),
        platform: platform.clone(),
    };
    let called = match &args.options.life.name {
        Some(name) => {
            check_name(name).map(|()| name.clone()).map_err(|error| Error::usage(format!("--name: {error}")))?
        }
        None => id.short().to_owned(),
    };
    let config = args.options.settle(id.clone(), called, of, command, &image.config.value().config)?;
    let foreign = if emulation::is_native(&platform) { Vec::new() } else { vec![platform.clone()] };
    // What runs it stays as long as this does.
    let (probe, emulation) = sandbox::enter_for(store.layout(), &foreign)?;
    let interpreter = emulation.interpreter(&platform).map_err(|missing| {
        sandbox::remedies(missing).into_iter().fold(Error::failed(format!("{name}: {missing}")), Error::hint)
    })?;
    if !sandbox::can_run(&probe.rung) {
        return Err(sandbox::refused(&probe, "a container"));
    }
    let rootfs = rootfs::Prepared::new(&store, &image, &probe, id.as_str())
        .during(format!("prepare the file system of {name}"))?;
    let grounds = Grounds { rootfs: rootfs.root_fs().clone(), owners: rootfs.owners(), probe: &probe };
    let mut spec = launch::spec(&config, &grounds)?;
    if spec.terminal.is_some() {
        spec.terminal = Some(attach::window_size());
    }
    spec.mounts.extend(interpreter.map(emulation::mount));
    let finished = attach::run(&spec, process.interactive);
    // The tree goes before the answer: nothing of a container outlives its `run`.
    drop(rootfs);
    Ok(finished?.status.code())
}

/// The error for an option that the parser took for the image: everything after the image may begin with `-`.
fn unknown_option(word: &str) -> Error {
    let command = <Args as clap::Args>::augment_args(clap::Command::new("run"));
    let written = word.split('=').next().unwrap_or(word);
    let option = match written.strip_prefix('-').filter(|letters| !letters.starts_with('-')) {
        // Of `-dit` it is the `d` that is unknown.
        Some(letters) => letters
            .chars()
            .find(|letter| !command.get_arguments().any(|known| known.get_short() == Some(*letter)))
            .map_or_else(|| written.to_owned(), |letter| format!("-{letter}")),
        None => written.to_owned(),
    };
    if let Some(later) = super::later::flag("run", &option) {
        return later;
    }
    let error = Error::usage(format!("`estiba run` has no option `{option}`"));
    let names: Vec<_> =
        command.get_arguments().filter_map(clap::Arg::get_long).map(|name| format!("--{name}")).collect();
    match crate::near::nearest(&option, names.iter().map(String::as_str)) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint("`estiba run --help` lists what there is"),
    }
}

/// The error of a container that did not start, with what helps.
fn start_error(error: container::StartError, args: &[String]) -> Error {
    let code = error.exit_code();
    let failed = Error::failed(error.to_string()).code(code);
    match (code, args.first()) {
        (127, Some(program)) if program.contains(' ') => {
            failed.hint(format!("`{program}` is one word: leave the quotes out, or run it by a shell: sh -c '…'"))
        }
        (127, _) => failed.hint("`estiba inspect -f '{{json .Config.Env}}' IMAGE` shows the PATH that was searched"),
        (126, _) => failed.hint("is it executable, and for this processor?"),
        _ => failed,
    }
}
