//! `estiba exec`.
//!
//! It goes to the container itself, by its first process: no supervisor, no index, no namespace of our own.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use containers::exec::{Exec, ExecError, target};
use containers::{Container, Containers};
use runtime::container::StartError;
use runtime::container::join::Guest;
use runtime::ladder::Rung;

use crate::context::Context;
use crate::error::{Error, Result, code};
use crate::sandbox;
use crate::session::detach::{self, Keys};
use crate::session::{End, Session, SessionError};
use crate::terminal::window_size;
use crate::verb::run::environment::Environment;

const EXAMPLES: &str = "\
Examples:
  estiba exec -it web sh                     A shell in it
  estiba exec web cat /etc/hosts
  estiba exec -u root -w /tmp web id
  estiba exec -d web /usr/bin/refresh        In the background, with no output
  tar c . | estiba exec -i web tar x -C /srv

What runs by `exec` has the container's rights, filters and limits, and ends with the container.
Control-C and SIGTERM are passed on; after the third, `exec` ends and leaves it alone.
Exit codes: the program's own, 128 + the signal that ended it, 126 where it cannot be started, 127 where it is
not there, 1 where the container does not run.";

/// The code of a process that could not be set up inside; docker's.
const NOT_STARTED: u8 = 126;

/// Arguments of `estiba exec`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, override_usage = "estiba exec [OPTIONS] CONTAINER COMMAND [ARG]...")]
pub(super) struct Args {
    /// The container, by name or id
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    command: Vec<String>,
    /// Leave it in the background, without output
    #[arg(short, long)]
    detach: bool,
    /// Pass standard input on
    #[arg(short, long)]
    interactive: bool,
    /// Give it a terminal
    #[arg(short, long)]
    tty: bool,
    /// Set a variable; without a value it comes from the environment
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Set the variables of a file, one a line
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// The user: name or number, with :group
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// The working folder
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// All capabilities, and no filter of system calls
    #[arg(long)]
    privileged: bool,
    /// The keys that leave the terminal and let the program go on
    #[arg(long, value_name = "KEYS", default_value = detach::DEFAULT)]
    detach_keys: String,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    if args.interactive && args.tty && !args.detach && !std::io::stdin().is_terminal() {
        return Err(
            Error::failed("the input device is not a TTY").hint("leave -t out: `-i` alone passes standard input on")
        );
    }
    let keys = Keys::parse(&args.detach_keys)?;
    let exec = args.settle()?;
    let layout = store::Layout::new(context.root()?);
    let container = Containers::new(&layout).find(&args.container)?;
    let probe = sandbox::probe(&layout)?;
    let target =
        target(&container.config, &container.state, &probe).map_err(|error| refused(error, &args.container))?;
    // Only where one id is all that there is are owners kept beside the tree.
    let owners = match probe.rung {
        Rung::SingleId => container.tree()?.owners(&layout.snapshots()),
        Rung::Root | Rung::SubordinateIds { .. } | Rung::Chroot | Rung::Unprivileged => PathBuf::new(),
    };
    let spec = exec.spec(&container.config, &probe, owners)?;
    let guest = Guest { spec: &spec, groups: &container.state.groups };
    let session = Session { interactive: args.interactive, detached: args.detach, keys };
    match session.run(&target, &guest) {
        Ok(End::Exited(code)) => Ok(code),
        Ok(End::Left) => Ok(0),
        Ok(End::Signalled(signal)) => Ok(u8::try_from(128 + signal).unwrap_or(u8::MAX)),
        Err(SessionError::Ours(error)) => Err(error),
        Err(SessionError::Start(error)) => Err(not_started(&error, &container)),
    }
}

impl Args {
    fn settle(&self) -> Result<Exec> {
        if let Some(dir) = self.workdir.as_ref().filter(|dir| !dir.starts_with('/')) {
            return Err(Error::usage(format!("--workdir {dir}: the path must be absolute")));
        }
        let mut environment = Environment::default();
        for path in &self.env_file {
            environment.read_file(path)?;
        }
        for written in &self.env {
            environment.set_written(written)?;
        }
        Ok(Exec {
            args: self.command.clone(),
            env: environment.variables,
            cwd: self.workdir.clone(),
            user: self.user.clone(),
            terminal: self.tty.then(window_size),
            privileged: self.privileged,
        })
    }
}

/// The container is not one to run something in.
pub(super) fn refused(error: ExecError, name: &str) -> Error {
    let failed = Error::failed(error.to_string());
    match error {
        ExecError::NotRunning(_) => failed.hint(format!("start it: estiba start {name}")),
        ExecError::Paused(_) => failed.hint(format!("let it go on: estiba unpause {name}")),
        ExecError::Restarting(_) => failed.hint(format!("look why it ends: estiba logs {name}")),
        ExecError::Start(_) | ExecError::Launch(_) => failed,
    }
}

fn not_started(error: &StartError, container: &Container) -> Error {
    let code = if error.exit_code() == code::USAGE { NOT_STARTED } else { error.exit_code() };
    let failed = Error::failed(error.to_string()).code(code);
    match error {
        StartError::NotFound { program, .. } if program.contains(' ') => {
            failed.hint(format!("`{program}` is one word: leave the quotes out, or run it by a shell: sh -c '…'"))
        }
        StartError::NotFound { searched: true, .. } => failed.hint(format!(
            "`estiba exec {} …` searches the container's PATH; give the program's whole path",
            container.config.name
        )),
        _ => failed,
    }
}
