//! The workloads, by the names that the project's figures use.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::containers;
use crate::content;
use crate::measure::{Sample, drop_page_cache};
use crate::registry;
use crate::registry::server::{Running, Server};
use crate::remote_cache;
use crate::report::Report;
use crate::tool::{Bed, Tool};
use crate::transfer;

/// One workload: its name, and what it prints rows for.
#[derive(Debug)]
pub struct Workload {
    /// `W1` and so on.
    pub name: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    /// Makes the context, runs all tools by turns, prints rows. `rounds` is how many runs a tool gets.
    pub run: fn(&Bed, &mut Report, rounds: usize) -> io::Result<()>,
}

/// All of them.
pub const WORKLOADS: &[Workload] = &[
    Workload { name: "W1", about: "cached rebuild of 12 instructions over 2,000 files", run: cached_rebuild },
    Workload { name: "W2", about: "five RUNs and a COPY, --no-cache", run: small_runs },
    Workload {
        name: "W3",
        about: "COPY of 50,000 files and 1 GiB: cold, unchanged, one file touched",
        run: large_copy,
    },
    Workload { name: "W4", about: "four stages of two seconds side by side", run: stages },
    Workload {
        name: "W5",
        about: "an image of 983 MB to a registry and back: gzip, zstd, once more, into an empty store",
        run: transfer::large_image,
    },
    Workload { name: "W6", about: "run --rm busybox true", run: containers::run_true },
    Workload { name: "W7", about: "pull and unpack 50,000 files", run: transfer::many_files },
    Workload {
        name: "W8",
        about: "the registry: pulls, pushes, lists and starts beside other servers",
        run: registry::run,
    },
    Workload { name: "W9", about: "a cache of 200 layers in a registry, nothing to build", run: remote_cache::import },
    Workload { name: "W10", about: "a private network, beside pasta's own start", run: containers::private_network },
    Workload { name: "W11", about: "exec", run: containers::exec },
    Workload { name: "W12", about: "200 containers started; a list of 1,000", run: containers::many },
    Workload { name: "W14", about: "a log", run: containers::talk },
    Workload { name: "W15", about: "a published port, beside pasta's own", run: containers::port },
];

/// Takes `rounds` samples of each tool by turns: A B A B. `before` readies one run and is not measured.
pub(crate) fn by_turns(
    bed: &Bed,
    tools: &[Tool],
    rounds: usize,
    mut before: impl FnMut(Tool, u64) -> io::Result<()>,
    command: impl Fn(Tool) -> Command,
) -> io::Result<Vec<(Tool, Vec<Sample>)>> {
    let mut samples: Vec<(Tool, Vec<Sample>)> =
        tools.iter().filter(|tool| bed.has(**tool)).map(|tool| (*tool, Vec::new())).collect();
    for round in 0..rounds as u64 {
        for (tool, taken) in &mut samples {
            before(*tool, round)?;
            taken.push(bed.measure(&command(*tool))?);
        }
    }
    Ok(samples)
}

const BUILDERS: [Tool; 2] = [Tool::Estiba, Tool::Buildah];

/// Everything that a pipeline asks for besides the build: a cache in a registry, a secret, and a report.
struct InFull {
    running: Running,
    secret: PathBuf,
    report: PathBuf,
}

impl InFull {
    /// Starts the registry, which is empty.
    fn begin(bed: &Bed) -> io::Result<Self> {
        let root = bed.context("in-full");
        if root.exists() {
            fs::remove_dir_all(&root)?;
        }
        fs::create_dir_all(&root)?;
        let (secret, report) = (root.join("secret"), root.join("report.html"));
        fs::write(&secret, "of the benchmark")?;
        Ok(Self { running: Server::Estiba.start(bed.estiba(), &root.join("registry"))?, secret, report })
    }

    /// The build with all of it; other tools build as ever.
    fn build(&self, bed: &Bed, tool: Tool, context: &Path, fresh: bool, export: bool) -> Command {
        let mut command = bed.build(tool, context, fresh);
        if tool == Tool::Estiba {
            let place = format!("type=registry,ref=127.0.0.1:{}/cache:of-all", self.running.port);
            command.args(["--cache-from", &place]);
            if export {
                command.args(["--cache-to", &format!("{place},mode=max")]);
            }
            command.arg("--secret").arg(format!("id=secret,src={}", self.secret.display()));
            command.arg("--report").arg(&self.report);
        }
        command
    }

    /// Fills the cache, and the local one.
    fn warm(&self, bed: &Bed, context: &Path) -> io::Result<()> {
        bed.run(&self.build(bed, Tool::Estiba, context, false, true))
    }
}

/// Resets both stores and builds once, so that what follows finds a cache.
fn warm(bed: &Bed, context: &Path) -> io::Result<()> {
    for tool in BUILDERS.into_iter().filter(|tool| bed.has(*tool)) {
        bed.reset(tool)?;
        bed.run(&bed.build(tool, context, false))?;
    }
    Ok(())
}

fn cached_rebuild(bed: &Bed, report: &mut Report, rounds: usize) -> io::Result<()> {
    let context = bed.context("w1");
    content::cached_rebuild(&context)?;
    warm(bed, &context)?;
    let build = |tool| bed.build(tool, &context, false);
    report.row("W1 cached rebuild", &by_turns(bed, &BUILDERS, rounds * 3, |_, _| Ok(()), build)?)?;
    if drop_page_cache() {
        let drop = |_, _| if drop_page_cache() { Ok(()) } else { Err(io::Error::other("the page cache stays")) };
        report.row("W1 the same, page cache dropped", &by_turns(bed, &BUILDERS, rounds, drop, build)?)?;
    }
    let fresh = |tool| bed.build(tool, &context, true);
    report.row("W1 --no-cache", &by_turns(bed, &BUILDERS, rounds, |_, _| Ok(()), fresh)?)?;
    let full = InFull::begin(bed)?;
    full.warm(bed, &context)?;
    let build = |tool| full.build(bed, tool, &context, false, false);
    report.row("W1 cached, in full", &by_turns(bed, &BUILDERS, rounds * 3, |_, _| Ok(()), build)?)?;
    let export = |tool| full.build(bed, tool, &context, false, true);
    report.row("W1 cached, in full, cache exported", &by_turns(bed, &BUILDERS, rounds, |_, _| Ok(()), export)?)?;
    let elsewhere = |tool, _| bed.reset(tool);
    report.row("W1 on another machine, in full", &by_turns(bed, &[Tool::Estiba], rounds, elsewhere, build)?)
}

fn small_runs(bed: &Bed, report: &mut Report, rounds: usize) -> io::Result<()> {
    let context = bed.context("w2");
    content::small_runs(&context)?;
    warm(bed, &context)?;
    let fresh = |tool| bed.build(tool, &context, true);
    report.row("W2 five RUNs + COPY, --no-cache", &by_turns(bed, &BUILDERS, rounds, |_, _| Ok(()), fresh)?)?;
    let full = InFull::begin(bed)?;
    full.warm(bed, &context)?;
    let fresh = |tool| full.build(bed, tool, &context, true, false);
    report.row("W2 in full", &by_turns(bed, &BUILDERS, rounds, |_, _| Ok(()), fresh)?)
}

fn large_copy(bed: &Bed, report: &mut Report, rounds: usize) -> io::Result<()> {
    let context = bed.context("w3");
    content::large_copy(&context)?;
    let build = |tool| bed.build(tool, &context, false);
    // Each takes many seconds and gigabytes: fewer rounds say enough.
    let rounds = rounds.div_ceil(2);
    let reset = |tool, _| {
        bed.reset(tool)?;
        // Where it stays, the row's name says so.
        let _ = drop_page_cache();
        Ok(())
    };
    let cold = if drop_page_cache() { "W3 50,000 files + 1 GiB, cold" } else { "W3 the same, page cache kept" };
    report.row(cold, &by_turns(bed, &BUILDERS, rounds, reset, build)?)?;
    report.row("W3 nothing changed", &by_turns(bed, &BUILDERS, rounds, |_, _| Ok(()), build)?)?;
    let touch = |tool, round| content::touch(&context, round * 2 + u64::from(tool == Tool::Buildah));
    report.row("W3 one file touched", &by_turns(bed, &BUILDERS, rounds, touch, build)?)?;
    let full = InFull::begin(bed)?;
    full.warm(bed, &context)?;
    let build = |tool| full.build(bed, tool, &context, false, false);
    report.row("W3 nothing changed, in full", &by_turns(bed, &[Tool::Estiba], rounds, |_, _| Ok(()), build)?)?;
    let touch = |_, round| content::touch(&context, (1 << 20) + round);
    report.row("W3 one file touched, in full", &by_turns(bed, &[Tool::Estiba], rounds, touch, build)?)
}

fn stages(bed: &Bed, report: &mut Report, rounds: usize) -> io::Result<()> {
    let context = bed.context("w4");
    content::stages(&context)?;
    warm(bed, &context)?;
    let command = |tool| match tool {
        Tool::Bare => {
            let mut shells = bed.command(tool);
            let one = format!("({}) & ", content::STAGE);
            shells.args(["sh", "-c", &format!("{}wait", one.repeat(4))]);
            shells
        }
        other => bed.build(other, &context, true),
    };
    let tools = [Tool::Estiba, Tool::Buildah, Tool::Bare];
    report.row("W4 four stages side by side", &by_turns(bed, &tools, rounds, |_, _| Ok(()), command)?)?;
    let full = InFull::begin(bed)?;
    full.warm(bed, &context)?;
    let command = |tool| match tool {
        Tool::Estiba => full.build(bed, tool, &context, true, false),
        other => command(other),
    };
    let tools = [Tool::Estiba, Tool::Bare];
    report.row("W4 in full", &by_turns(bed, &tools, rounds, |_, _| Ok(()), command)?)
}
