//! What a container said.

use std::io::{self, IsTerminal as _, Write};
use std::process::Command;

use containers::log::{Driver, Entry, LogError, Reader, Selection, Settings, Source};
use containers::{Config, Container, Containers};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;

use super::screen::Screen;
use crate::error::{Error, Result, While};
use crate::moment;

/// How long nothing may be told of a log that is followed, until it is looked at all the same.
const GLANCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 500_000_000 };

/// What of a container's log is printed, and how.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Only what came at or after this: a time (2026-01-02T15:04:05Z, seconds since 1970) or a span (10m)
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    since: Option<containers::time::Moment>,
    /// Only what came before this
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    until: Option<containers::time::Moment>,
    /// Only so many lines of the end, or `all`
    #[arg(short = 'n', long, value_name = "LINES", default_value = "all", hide_default_value = true, value_parser = lines, allow_hyphen_values = true)]
    tail: Lines,
    /// Print when each line was said
    #[arg(short, long)]
    timestamps: bool,
    /// Print the labels and variables that --log-opt labels= and env= name
    #[arg(long)]
    details: bool,
}

/// How many lines.
#[derive(Debug, Clone, Copy)]
struct Lines(Option<usize>);

fn lines(text: &str) -> std::result::Result<Lines, String> {
    match text {
        "all" | "-1" => Ok(Lines(None)),
        number => number.parse().map(|number| Lines(Some(number))).map_err(|_| "expected a number, or all".to_owned()),
    }
}

/// Prints a container's log.
pub(super) fn print(containers: &Containers, container: Container, follow: bool, options: &Options) -> Result<u8> {
    let settings = Settings::of(&container.config.logging).map_err(failed)?;
    match settings.driver {
        Driver::Local | Driver::JsonFile => {}
        Driver::Journald => return from_journal(&container.config, follow, options),
        driver => {
            return Err(Error::failed(format!(
                "{} was made with --log-driver={}: nothing it says is kept",
                container.config.name,
                driver.name()
            )));
        }
    }
    let selection = Selection { since: options.since, until: options.until, tail: options.tail.0 };
    let mut reader = Reader::open(container.folder.log(), settings.driver, selection).map_err(failed)?;
    let mut printer = Printer::new(options.timestamps, options.details.then(|| details(&container.config, &settings)));
    let watch = if follow { Some(Watch::new(container.folder.path())?) } else { None };
    loop {
        // Asked before reading: what comes last is read, too.
        let running = follow && containers.find(container.config.id.as_str()).is_ok_and(|now| now.state.is_active());
        reader.read::<Failure>(|entry| printer.print(entry).map_err(Failure::Print))?;
        printer.flush()?;
        match &watch {
            Some(watch) if running && !reader.is_done() => watch.wait()?,
            _ => return Ok(0),
        }
    }
}

/// Why printing stops.
enum Failure {
    Log(LogError),
    Print(io::Error),
}

impl From<LogError> for Failure {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Log(error) => failed(error),
            Failure::Print(error) => error.into(),
        }
    }
}

fn failed(error: LogError) -> Error {
    Error::failed(error.to_string())
}

/// Tells when something happens in a container's folder.
struct Watch(rustix::fd::OwnedFd);

impl Watch {
    fn new(folder: &std::path::Path) -> Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).during("inotify_init")?;
        let flags = WatchFlags::MODIFY | WatchFlags::MOVED_TO | WatchFlags::CREATE | WatchFlags::DELETE;
        // Removed just now, or one watch too many: it is looked at every now and then.
        let _ = inotify::add_watch(&inotify, folder, flags);
        Ok(Self(inotify))
    }

    /// Waits until something happens, or for a moment.
    fn wait(&self) -> Result {
        match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&GLANCE)) {
            Ok(0) | Err(Errno::INTR) => return Ok(()),
            Ok(_) => {}
            Err(errno) => return Err(errno).during("poll"),
        }
        let mut events = [0; 4096];
        while rustix::io::read(&self.0, &mut events).is_ok_and(|length| length > 0) {}
        Ok(())
    }
}

/// Labels and variables that were chosen for it.
fn details(config: &Config, settings: &Settings) -> String {
    let labels = settings.labels.iter().filter_map(|name| Some((name, config.life.labels.get(name)?)));
    let env = &config.process.env;
    let variables = settings.env.iter().filter_map(|name| env.iter().find(|(own, _)| own == name));
    let all = labels.chain(variables.map(|(name, value)| (name, value)));
    all.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
}

/// The journal has it: its own program reads it.
fn from_journal(config: &Config, follow: bool, options: &Options) -> Result<u8> {
    let mut command = Command::new("journalctl");
    command.arg(format!("CONTAINER_ID_FULL={}", config.id)).args(["--no-pager", "-o"]);
    command.arg(if options.timestamps { "short-iso-precise" } else { "cat" });
    for (flag, time) in [("--since", options.since), ("--until", options.until)] {
        if let Some(time) = time {
            command.arg(format!("{flag}=@{}.{:06}", time.0 / 1_000_000_000, time.0 / 1_000 % 1_000_000));
        }
    }
    if let Lines(Some(lines)) = options.tail {
        command.arg(format!("--lines={lines}"));
    }
    if follow {
        command.arg("--follow");
    }
    let status = command.status().map_err(|error| {
        Error::failed(format!("{} logs to the journal, and journalctl cannot be executed: {error}", config.name))
    })?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// Prints entries, each stream where it belongs.
struct Printer {
    timestamps: bool,
    details: Option<String>,
    /// Whether the next byte of a stream begins a line.
    begins: [bool; 2],
    /// Where a stream is a terminal.
    screens: [Option<Screen>; 2],
    out: io::BufWriter<io::Stdout>,
}

impl Printer {
    fn new(timestamps: bool, details: Option<String>) -> Self {
        let screen = |terminal: bool| terminal.then(Screen::default);
        Self {
            timestamps,
            details,
            begins: [true; 2],
            screens: [screen(io::stdout().is_terminal()), screen(io::stderr().is_terminal())],
            out: io::BufWriter::with_capacity(64 << 10, io::stdout()),
        }
    }

    fn print(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        let at = usize::from(entry.source == Source::Stderr);
        let shown = match &mut self.screens[at] {
            Some(screen) => std::borrow::Cow::Owned(screen.show(&entry.bytes)),
            None => std::borrow::Cow::Borrowed(&*entry.bytes),
        };
        let mut err;
        let out: &mut dyn Write = if at == 0 {
            &mut self.out
        } else {
            // In the order in which it was said.
            self.out.flush()?;
            err = io::stderr().lock();
            &mut err
        };
        if !self.timestamps && self.details.is_none() {
            return out.write_all(&shown);
        }
        for line in shown.split_inclusive(|byte| *byte == b'\n') {
            if self.begins[at] {
                if self.timestamps {
                    write!(out, "{} ", entry.time.rfc3339())?;
                }
                if let Some(details) = &self.details {
                    write!(out, "{details} ")?;
                }
            }
            out.write_all(line)?;
            self.begins[at] = line.ends_with(b"\n");
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
