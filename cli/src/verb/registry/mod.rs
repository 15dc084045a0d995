//! `estiba registry`: THE TABLE of its verbs. Each is a file of its own, as those of `estiba` are.

mod backup;
mod config;
mod fsck;
mod gc;
mod htpasswd;
mod import;
mod keeping;
mod policy;
mod restore;
mod retention;
mod serve;
mod status;

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command};
use registry_server::config::{Config, Override};
use registry_server::control;

use super::group::{self, Verb, verb};
use crate::context::Context;
use crate::error::{Error, Result};

const VERBS: &[Verb] = &[
    verb!(serve, "Serve a registry"),
    verb!(status, "Show the registry that runs"),
    verb!(gc, "Remove blobs and manifests that nothing needs; while it serves, too"),
    verb!(policy, "Check a policy file, or ask it who may do what"),
    verb!(htpasswd, "Make or change a line of the htpasswd file"),
    verb!(retention, "Let tags go by the rules of the configuration; while it serves, too"),
    verb!(fsck, "Check everything that is stored; rebuild lost metadata"),
    verb!(backup, "Copy everything that is stored; while it serves, too"),
    verb!(restore, "Make a data directory from a backup"),
    verb!(import, "Bring in the data of another registry, or an OCI layout; while it serves, too"),
    verb!(config, "Print the configuration that would hold"),
];

const EXAMPLES: &str = "\
Examples:
  estiba registry serve                               On 127.0.0.1:5000, for this machine
  estiba registry serve --config /etc/estiba-registry/registry.toml
  estiba registry config --default                    Every field of the configuration, documented
  estiba registry gc --dry-run                        What would go";

const ROOT_HELP: &str = "The registry's data directory [default: $ESTIBA_REGISTRY_ROOT, else $XDG_DATA_HOME/estiba-registry; root: /var/lib/estiba-registry]";

/// Adds the verbs to `estiba registry`.
pub(super) fn arguments(command: Command) -> Command {
    let command = command.after_help(EXAMPLES);
    // The store's `--root` means nothing here: the same word is the registry's.
    let command = command.arg(
        Arg::new("root")
            .long("root")
            .value_name("DIR")
            .value_parser(clap::value_parser!(PathBuf))
            .global(true)
            .help(ROOT_HELP),
    );
    group::arguments(command, VERBS)
}

/// Runs one of them.
pub(super) fn run(matches: &ArgMatches, context: &Context) -> Result<u8> {
    group::run(matches, context, VERBS)
}

/// Which registry is meant: for all verbs that work on a data directory.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Place {
    #[arg(long, value_name = "DIR", help = ROOT_HELP)]
    root: Option<PathBuf>,
    /// The configuration [default: $ESTIBA_REGISTRY_CONFIG, else none]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Place {
    /// Reads the configuration: the file, the environment, then these settings.
    pub(super) fn load(&self, mut overrides: Vec<Override>) -> Result<Config> {
        if let Some(root) = &self.root {
            overrides.push(setting("--root", "server.root", root.to_string_lossy().into_owned()));
        }
        let named = crate::context::variable("ESTIBA_REGISTRY_CONFIG").map(PathBuf::from);
        let file = self.config.clone().or(named);
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())));
        Config::load(file.as_deref(), environment, &overrides).map_err(problems)
    }

    /// The data directory, by this configuration.
    pub(super) fn root(config: &Config) -> Result<PathBuf> {
        let uid = rustix::process::geteuid().as_raw();
        let root = config.server.root.clone();
        let root = root.or_else(|| registry_server::config::default_root(|name| std::env::var_os(name), uid));
        match root {
            Some(root) => Ok(std::path::absolute(root)?),
            None => Err(Error::failed("there is no place for the registry: $HOME is not set")
                .hint("give --root DIR, or set $ESTIBA_REGISTRY_ROOT")),
        }
    }
}

/// A setting of the command line.
pub(super) fn setting(option: &str, field: &str, value: impl Into<toml::Value>) -> Override {
    Override { option: option.to_owned(), field: field.to_owned(), value: value.into() }
}

/// Everything that is wrong with a configuration, one after the other.
fn problems(problems: registry_server::config::Problems) -> Error {
    let count = problems.0.len();
    let mut shown = String::new();
    for problem in &problems.0 {
        shown.push_str(&format!("{} {problem}\n{}", crate::ui::style::error("error:"), problem.excerpt));
    }
    let things = if count == 1 { "1 thing is wrong".to_owned() } else { format!("{count} things are wrong") };
    Error::failed(format!("{things} with the configuration"))
        .excerpt(shown)
        .hint("`estiba registry config --default` shows every field")
}

/// What to do when a data directory cannot be had.
pub(super) fn not_ours(error: control::Error) -> Error {
    let hint = match &error {
        control::Error::InUse { .. } => {
            Some("another server or verb owns it: end it first, or give --root another folder")
        }
        control::Error::Io { source, .. } => match source.kind() {
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                Some("run as its owner, or give --root (or $ESTIBA_REGISTRY_ROOT) a folder that you may write")
            }
            std::io::ErrorKind::NotADirectory | std::io::ErrorKind::AlreadyExists => {
                Some("give --root a folder, or one that is not there yet")
            }
            _ => None,
        },
        _ => None,
    };
    let failed = Error::from(error);
    match hint {
        Some(hint) => failed.hint(hint),
        None => failed,
    }
}
