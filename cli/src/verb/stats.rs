//! `estiba stats`.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::Duration;

use containers::config::{Config, NetworkMode};
use containers::stats::Stats;
use containers::{Container, ContainerId, Containers};
use serde_json::{Map, Value, json};

use crate::chosen;
use crate::context::Context;
use crate::duration;
use crate::error::Result;
use crate::ui::{self, table::Table};

const EXAMPLES: &str = "\
Examples:
  estiba stats                     All that run, again every second, until Control-C
  estiba stats --no-stream web db
  estiba stats --no-stream --format '{{.Name}} {{.CPUPerc}} {{.MemUsage}}'

Numbers come from control groups; for a container without one, from its processes.";

/// Arguments of `estiba stats`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Names or ids [default: all that run]
    #[arg(value_name = "CONTAINER")]
    names: Vec<String>,
    /// Also those that do not run
    #[arg(short, long)]
    all: bool,
    /// Print once
    #[arg(long)]
    no_stream: bool,
    /// Seconds between two prints
    #[arg(short, long, value_name = "SECONDS", default_value = "1", hide_default_value = true, value_parser = clap::value_parser!(u64).range(1..))]
    interval: u64,
    /// Show whole ids
    #[arg(long)]
    no_trunc: bool,
    /// Do not clear the screen between two prints
    #[arg(long)]
    no_reset: bool,
    /// Print by a Go template, `table TEMPLATE`, or as `json`
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,
}

/// Between the two looks of one print: what a processor did is a difference.
const LOOK: Duration = Duration::from_millis(250);

/// Clears a terminal, and goes to its corner.
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let containers = chosen::containers(context)?;
    let mut before = look(&chosen(&args, &containers)?);
    std::thread::sleep(LOOK);
    loop {
        let seen = chosen(&args, &containers)?;
        let now = look(&seen);
        let text = table(&args, &seen, &before, &now).render(args.format.as_deref())?;
        let clears = !args.no_stream && !args.no_reset && std::io::stdout().is_terminal();
        ui::out(&if clears { format!("{CLEAR}{text}") } else { text })?;
        if args.no_stream {
            return Ok(0);
        }
        before = now;
        std::thread::sleep(Duration::from_secs(args.interval));
    }
}

/// Those that are asked for. A name that leads nowhere is an error at any time.
fn chosen(args: &Args, containers: &Containers) -> Result<Vec<Container>> {
    if !args.names.is_empty() {
        return args.names.iter().map(|name| chosen::one(containers, name)).collect();
    }
    let mut all = containers.list()?;
    all.retain(|container| args.all || container.state.init.is_some());
    Ok(all)
}

fn look(all: &[Container]) -> BTreeMap<ContainerId, Stats> {
    all.iter().filter_map(|one| Some((one.config.id.clone(), Stats::of(&one.state)?))).collect()
}

type Looks = BTreeMap<ContainerId, Stats>;

fn table(args: &Args, all: &[Container], before: &Looks, now: &Looks) -> Table {
    let row = |one: &Container| {
        let id = &one.config.id;
        row(&one.config, args.no_trunc, before.get(id), now.get(id))
    };
    let columns = vec![
        ("ID", "CONTAINER ID"),
        ("Name", "NAME"),
        ("CPUPerc", "CPU %"),
        ("MemUsage", "MEM USAGE / LIMIT"),
        ("MemPerc", "MEM %"),
        ("NetIO", "NET I/O"),
        ("BlockIO", "BLOCK I/O"),
        ("PIDs", "PIDS"),
    ];
    Table { columns, extra_headings: vec![("Container", "CONTAINER")], rows: all.iter().map(row).collect() }
}

fn row(config: &Config, whole: bool, before: Option<&Stats>, now: Option<&Stats>) -> Map<String, Value> {
    let id = if whole { config.id.as_str() } else { config.id.short() };
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "--".to_owned());
    let pair = |one: &dyn Fn(&Stats) -> (u64, u64)| {
        let shown = now.map(one).map(|(a, b)| format!("{} / {}", duration::size(a), duration::size(b)));
        shown.unwrap_or_else(|| "-- / --".to_owned())
    };
    // The host's network is not the container's, and what goes over it neither.
    let traffic =
        |now: &Stats| if config.network.mode == NetworkMode::Host { (0, 0) } else { (now.received, now.sent) };
    // One that has just begun has used nothing before.
    let percent = |now: &Stats| before.map_or(0.0, |before| now.cpu_percent(before));
    let usage = now.map(|now| format!("{} / {}", binary(now.memory), binary(now.memory_limit)));
    let shown = json!({
        "Container": id,
        "ID": id,
        "Name": config.name,
        "CPUPerc": or_none(now.map(|now| format!("{:.2}%", percent(now)))),
        "MemUsage": usage.unwrap_or_else(|| "-- / --".to_owned()),
        "MemPerc": or_none(now.map(|now| format!("{:.2}%", now.memory_percent()))),
        "NetIO": pair(&traffic),
        "BlockIO": pair(&|now| (now.read, now.written)),
        "PIDs": or_none(now.map(|now| now.pids.to_string())),
    });
    match shown {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Bytes as docker prints memory: powers of 1024, four digits (`1.234MiB`).
fn binary(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    #[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let decimals = if value >= 1000.0 {
        0
    } else if value >= 100.0 {
        1
    } else if value >= 10.0 {
        2
    } else {
        3
    };
    let shown = format!("{value:.decimals$}");
    let shown = if shown.contains('.') { shown.trim_end_matches('0').trim_end_matches('.') } else { &shown };
    format!("{shown}{}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_as_docker_prints_it() {
        let cases = [
            (0, "0B"),
            (512, "512B"),
            (1024, "1KiB"),
            (1_294_336, "1.234MiB"),
            (64 << 20, "64MiB"),
            (8_123_456_789, "7.566GiB"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(binary(bytes), expected);
        }
    }
}
