//! `estiba generate systemd`.

use std::fs;
use std::path::Path;

use containers::Containers;
use containers::config::STOP_TIMEOUT;
use containers::systemd::service::{Subject, Wishes, name, unit};

use crate::context::Context;
use crate::error::{Error, Result, While};
use crate::ui;

const EXAMPLES: &str = "\
Examples:
  estiba generate systemd web > ~/.config/systemd/user/web.service
  estiba generate systemd --new --name --files web
  systemctl --user daemon-reload && systemctl --user enable --now web.service

Without --new the unit starts and stops the container that there is; with it each start makes a new
one from what was typed, and each stop removes it. `estiba generate quadlet` makes units of files.";

/// Arguments of `estiba generate systemd`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The container, by name or id
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// Make a new container at each start
    #[arg(long)]
    new: bool,
    /// Call the container by its name instead of its id
    #[arg(short, long)]
    name: bool,
    /// Write a file into the working folder, and print its name
    #[arg(short, long)]
    files: bool,
    /// When systemd starts it again: no, on-success, on-failure, on-abnormal, on-watchdog, on-abort or always
    #[arg(long, value_name = "POLICY", default_value = "on-failure")]
    restart_policy: String,
    /// Seconds until then
    #[arg(long, value_name = "SECONDS")]
    restart_sec: Option<u64>,
    /// Seconds that a stop may take before the container is killed
    #[arg(short = 't', long, value_name = "SECONDS")]
    stop_timeout: Option<u64>,
    /// Seconds that a start may take
    #[arg(long, value_name = "SECONDS")]
    start_timeout: Option<u64>,
    /// What the unit's name begins with
    #[arg(long, value_name = "TEXT", default_value = "container")]
    container_prefix: String,
    /// What stands between that and the container's name
    #[arg(long, value_name = "TEXT", default_value = "-")]
    separator: String,
    /// Units that it wants
    #[arg(long, value_name = "UNIT")]
    wants: Vec<String>,
    /// Units after which it starts
    #[arg(long, value_name = "UNIT")]
    after: Vec<String>,
    /// Units that it cannot do without
    #[arg(long, value_name = "UNIT")]
    requires: Vec<String>,
    /// Set a variable of the unit's commands
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Leave the comment at the top out
    #[arg(long)]
    no_header: bool,
}

const POLICIES: [&str; 7] = ["no", "on-success", "on-failure", "on-abnormal", "on-watchdog", "on-abort", "always"];

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    if !POLICIES.contains(&args.restart_policy.as_str()) {
        return Err(Error::usage(format!(
            "--restart-policy {}: expected {}",
            args.restart_policy,
            POLICIES.join(", ")
        )));
    }
    // A line of a unit ends where the text does.
    let texts = [&args.wants, &args.after, &args.requires, &args.env].into_iter().flatten();
    for text in texts.chain([&args.container_prefix, &args.separator]) {
        if text.contains(['\n', '\0']) {
            return Err(Error::usage(format!("{text:?} does not fit into a line")));
        }
    }
    let containers = Containers::new(&store::Layout::new(context.root()?));
    let found = containers.find(&args.container)?;
    let config = &found.config;
    if args.new && config.made_by.words.is_empty() {
        return Err(Error::failed(format!("nobody knows how {} was made", config.name)).hint("leave --new out"));
    }
    let of_container = config.life.stop_timeout.and_then(|seconds| u64::try_from(seconds).ok());
    let wishes = Wishes {
        binary: std::env::current_exe().during("find this program")?,
        new: args.new,
        restart: args.restart_policy,
        restart_seconds: args.restart_sec,
        stop_timeout: args.stop_timeout.or(of_container).unwrap_or(STOP_TIMEOUT),
        start_timeout: args.start_timeout,
        prefix: args.container_prefix,
        separator: args.separator,
        wants: args.wants,
        after: args.after,
        requires: args.requires,
        environment: args.env,
    };
    // A container that is made anew has no id to be known by.
    let called = if args.name || args.new { config.name.as_str() } else { config.id.as_str() };
    let subject = Subject { name: called, made_by: &config.made_by };
    let header = format!("# Made by estiba {} for the container {}.\n\n", env!("CARGO_PKG_VERSION"), config.name);
    let text = format!("{}{}", if args.no_header { "" } else { &header }, unit(&wishes, &subject));
    if !args.files {
        ui::out(&text)?;
        return Ok(0);
    }
    let path = std::env::current_dir()
        .during("find the working folder")?
        .join(Path::new(&name(&wishes, &subject)).with_added_extension("service"));
    fs::write(&path, text).during(format!("write {}", path.display()))?;
    ui::out(&format!("{}\n", path.display()))?;
    Ok(0)
}
