//! `estiba top`.

use std::process::{Command, Stdio};

use containers::processes::{self, Process};
use containers::{Containers, Status};

use crate::context::Context;
use crate::duration;
use crate::error::{Error, Result, While};
use crate::ui;
use crate::ui::style::harmless;
use crate::ui::table::align;

const EXAMPLES: &str = "\
Examples:
  estiba top web
  estiba top web -o pid,user,args       By the host's `ps`, with its options

Numbers and owners are those that the host sees.";

/// Arguments of `estiba top`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The container, by name or id
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// Options for the host's `ps`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "PS OPTION")]
    options: Vec<String>,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let container = Containers::new(&store::Layout::new(context.root()?)).find(&args.container)?;
    if !matches!(container.state.status, Status::Running | Status::Paused) {
        return Err(Error::failed(format!("container {} is not running", args.container))
            .hint(format!("start it: estiba start {}", args.container)));
    }
    let processes = processes::of(&container.state);
    let lines = if args.options.is_empty() { own(&processes) } else { by_ps(&processes, &args.options)? };
    ui::out(&align(lines))?;
    Ok(0)
}

/// As `ps -ef` has it.
fn own(processes: &[Process]) -> Vec<Vec<String>> {
    let clock = Clock::now();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let heading = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"].map(str::to_owned).to_vec();
    let line = |process: &Process| {
        let user = sys::ns::user_name(&users, process.uid).map_or_else(|| process.uid.to_string(), str::to_owned);
        vec![
            user,
            process.pid.to_string(),
            process.parent.to_string(),
            clock.share(process).to_string(),
            clock.started(process),
            terminal(process.terminal),
            time(process.ticks / clock.rate),
            harmless(&process.command),
        ]
    };
    std::iter::once(heading).chain(processes.iter().map(line)).collect()
}

/// What turns ticks into times.
struct Clock {
    rate: u64,
    /// Seconds since the boot.
    up: u64,
}

impl Clock {
    fn now() -> Self {
        let up = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
        let up = up.split('.').next().and_then(|seconds| seconds.parse().ok()).unwrap_or(0);
        Self { rate: rustix::param::clock_ticks_per_second().max(1), up }
    }

    fn age(&self, process: &Process) -> u64 {
        self.up.saturating_sub(process.start / self.rate)
    }

    /// Percent of one processor since its start.
    fn share(&self, process: &Process) -> u64 {
        (process.ticks * 100 / self.rate).checked_div(self.age(process)).unwrap_or(0)
    }

    /// The time of a day, or the day.
    fn started(&self, process: &Process) -> String {
        const DAY: u64 = 24 * 3600;
        let age = self.age(process);
        let moment = jiff::Timestamp::from_second(duration::now() - i64::try_from(age).unwrap_or(0));
        let format = if age < DAY { "%H:%M" } else { "%b%d" };
        moment.map_or_else(
            |_| "?".to_owned(),
            |moment| moment.to_zoned(jiff::tz::TimeZone::system()).strftime(format).to_string(),
        )
    }
}

fn time(seconds: u64) -> String {
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// A terminal by its device number.
fn terminal(number: u32) -> String {
    let (major, minor) = (number >> 8 & 0xfff, number & 0xff | number >> 12 & 0xfff00);
    match major {
        0 => "?".to_owned(),
        // Each major number has 256 of them.
        136..=143 => format!("pts/{}", minor + (major - 136) * 256),
        4 => format!("tty{minor}"),
        _ => format!("{major}:{minor}"),
    }
}

/// What the host's `ps` says of these processes.
fn by_ps(processes: &[Process], options: &[String]) -> Result<Vec<Vec<String>>> {
    let output = Command::new("ps").args(options).stdin(Stdio::null()).output().during("run the host's ps")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Error::failed(format!("ps {}: {}", options.join(" "), said.lines().next().unwrap_or("failed"))));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = of_these(&text, |pid| processes.iter().any(|process| process.pid == pid));
    lines.ok_or_else(|| {
        Error::failed(format!(
            "ps {}: it lists no PID, by which the container's processes are known",
            options.join(" ")
        ))
        .hint("add it: -o pid,…")
    })
}

/// The heading, and the lines whose PID is one of the container's; `None` without such a column.
fn of_these(text: &str, is_one: impl Fn(i32) -> bool) -> Option<Vec<Vec<String>>> {
    let mut lines = text.lines();
    let heading: Vec<String> = lines.next()?.split_ascii_whitespace().map(str::to_owned).collect();
    let column = heading.iter().position(|name| name == "PID")?;
    let count = heading.len();
    let mut out = vec![heading];
    for line in lines {
        let mut cells: Vec<String> = line.split_ascii_whitespace().map(harmless).collect();
        if !cells.get(column).and_then(|pid| pid.parse().ok()).is_some_and(&is_one) {
            continue;
        }
        // The last column is the rest of the line.
        if cells.len() > count {
            let rest = cells.split_off(count - 1).join(" ");
            cells.push(rest);
        }
        out.push(cells);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_ps_are_picked_by_number() {
        let text = "USER       PID COMMAND\nroot         1 init splash\nann         42 sh -c x\x1b[2J y\n";
        let lines = of_these(text, |pid| pid == 42).unwrap();
        assert_eq!(lines, [vec!["USER", "PID", "COMMAND"], vec!["ann", "42", "sh -c x y"]]);
        assert_eq!(of_these("A B\n1 2\n", |_| true), None);
    }

    #[test]
    fn terminals_and_times() {
        assert_eq!(terminal(0), "?");
        assert_eq!(terminal(136 << 8 | 3), "pts/3");
        assert_eq!(terminal(137 << 8 | 1), "pts/257");
        assert_eq!(time(3_725), "01:02:05");
    }
}
