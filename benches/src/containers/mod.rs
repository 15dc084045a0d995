//! W6 and W10 to W15: containers that are run, entered, listed, many, talkative, and reached from outside.

mod network;
mod peers;

use std::fs;
use std::io;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::measure::Sample;
use crate::report::Report;
use crate::tool::{Bed, Tool};
use crate::workload::by_turns;
pub use network::sink;
pub(crate) use network::{port, private_network};
use peers::Peers;

fn nothing(_: Tool, _: u64) -> io::Result<()> {
    Ok(())
}

/// Output that is one word: an id, a port.
fn said(command: &mut Command) -> io::Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr))));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn remove_all(bed: &Bed, tool: Tool) -> io::Result<()> {
    let ids = said(bed.command(tool).args(["ps", "-a", "-q"]))?;
    if ids.is_empty() {
        return Ok(());
    }
    said(bed.command(tool).args(["rm", "-f"]).args(ids.split_whitespace())).map(drop)
}

/// W6: `run --rm busybox true` without a network of its own.
pub(crate) fn run_true(bed: &Bed, report: &mut Report, rounds: usize) -> io::Result<()> {
    bed.reset(Tool::Estiba)?;
    let peers = Peers::ready(bed)?;
    for network in ["host", "none"] {
        let command = |tool| match tool {
            Tool::Bwrap => bwrap(bed, network),
            Tool::Crun => peers.crun(bed),
            other => {
                let mut command = bed.container(other, "run");
                command.args(["--rm", &format!("--network={network}"), "busybox", "true"]);
                command
            }
        };
        bed.run(&command(Tool::Estiba))?;
        let quick = peers.of(&[Tool::Estiba, Tool::Bwrap, Tool::Crun]);
        let samples = by_turns(bed, &quick, rounds * 10, nothing, command)?;
        report.row(&format!("W6 run --rm --network={network} busybox true"), &samples)?;
        let engines = peers.of(&[Tool::Estiba, Tool::Podman, Tool::Docker]);
        let samples = by_turns(bed, &engines, rounds * 2, nothing, command)?;
        report.row(&format!("W6 the same beside engines, {network}"), &samples)?;
    }
    Ok(())
}

fn bwrap(bed: &Bed, network: &str) -> Command {
    let mut command = bed.command(Tool::Bwrap);
    command.args(["--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--die-with-parent"]);
    if network == "none" {
        command.arg("--unshare-net");
    }
    command.arg("--bind").arg(bed.rootfs()).arg("/");
    command.args(["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "true"]);
    command
}

/// W11: `exec` into a container that runs.
pub(crate) fn exec(bed: &Bed, report: &mut Report, rounds: usize) -> io::Result<()> {
    bed.reset(Tool::Estiba)?;
    let peers = Peers::ready(bed)?;
    let engines = peers.of(&[Tool::Estiba, Tool::Podman, Tool::Docker]);
    for tool in &engines {
        let run = ["-d", "--name=entered", "--network=none", "busybox", "sleep", "1000"];
        said(bed.container(*tool, "run").args(run))?;
    }
    let command = |tool| {
        let mut command = bed.command(tool);
        command.args(["exec", "entered", "true"]);
        command
    };
    let ours = by_turns(bed, &[Tool::Estiba], rounds * 10, nothing, command)?;
    report.row("W11 exec true", &ours)?;
    report.row("W11 the same beside engines", &by_turns(bed, &engines, rounds * 2, nothing, command)?)?;
    for tool in &engines {
        remove_all(bed, *tool)?;
    }
    Ok(())
}

/// How many containers are many.
const MANY: usize = 200;
/// How many are listed.
const LISTED: usize = 1000;

/// W12: 200 containers started by two shells, and what each one's supervisor holds. W13: a list of 1,000.
pub(crate) fn many(bed: &Bed, report: &mut Report, rounds: usize) -> io::Result<()> {
    bed.reset(Tool::Estiba)?;
    let mut samples = Vec::new();
    for _ in 0..rounds.div_ceil(3) {
        samples.push(started(bed, MANY)?);
        let memory = supervisors(bed)?;
        report.count("W12 resident KiB of a supervisor, the largest", memory.0, 1)?;
        report.count("W12 of it its own (not shared with others of its kind)", memory.1, 1)?;
        remove_all(bed, Tool::Estiba)?;
    }
    report.row(&format!("W12 {MANY} containers started"), &[(Tool::Estiba, samples)])?;
    for _ in 0..LISTED {
        said(bed.command(Tool::Estiba).args(["create", "--network=none", "busybox", "true"]))?;
    }
    let list = |tool| {
        let mut command = bed.command(tool);
        command.args(["ps", "-a"]);
        command
    };
    let samples = by_turns(bed, &[Tool::Estiba], rounds * 5, nothing, list)?;
    report.row(&format!("W13 ps -a of {LISTED} containers"), &samples)?;
    remove_all(bed, Tool::Estiba)
}

/// Starts so many, from as many shells as there are processors here.
fn started(bed: &Bed, count: usize) -> io::Result<Sample> {
    let run = bed.command(Tool::Estiba);
    let store = run.get_envs().find_map(|(name, value)| (name == "ESTIBA_ROOT").then_some(value?)).unwrap_or_default();
    let line = format!(
        "seq {count} | xargs -P 2 -I% {} run -d --network=none --name=many% busybox sleep 1000",
        bed.estiba().display()
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &line]).env("ESTIBA_ROOT", store);
    bed.measure(&shell)
}

/// A supervisor executes itself anew when its container has begun, and is what it stays.
const SETTLED: Duration = Duration::from_secs(1);

/// The largest resident size among supervisors that have settled, and of the private part of it, in KiB.
fn supervisors(bed: &Bed) -> io::Result<(f64, f64)> {
    std::thread::sleep(SETTLED);
    let (mut resident, mut own) = (0.0f64, 0.0f64);
    let ids = said(bed.command(Tool::Estiba).args(["ps", "-q", "--no-trunc"]))?;
    for id in ids.split_whitespace() {
        let pid = said(bed.command(Tool::Estiba).args(["inspect", "--format", "{{.State.Pid}}", id]))?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).map(str::trim).unwrap_or_default();
        let rollup = fs::read_to_string(format!("/proc/{parent}/smaps_rollup"))?;
        let field = |name: &str| -> f64 {
            let line = rollup.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or_default()
        };
        resident = resident.max(field("Rss:"));
        own = own.max(field("Private_Clean:") + field("Private_Dirty:"));
    }
    Ok((resident, own))
}

/// Bytes of the file of lines that a talkative container says.
const LINES: usize = 128 << 20;
/// How often ours says it.
const TALK: usize = 16;

/// Logs: the lines of a file, said as fast as they are read. The same into a file, without a container, is the floor.
pub(crate) fn talk(bed: &Bed, report: &mut Report, rounds: usize) -> io::Result<()> {
    bed.reset(Tool::Estiba)?;
    let peers = Peers::ready(bed)?;
    let lines = bed.context("lines");
    fs::write(&lines, [[b'x'; 99].as_slice(), b"\n"].concat().repeat(LINES / 100))?;
    let talk = |tool: Tool, times: usize| {
        let mut command = bed.container(tool, "run");
        command.args(["-d", "--name=talks", "--network=none", "-v"]).arg(format!("{}:/lines:ro", lines.display()));
        if tool == Tool::Estiba {
            command.args(["--log-opt", "max-size=4g"]);
        }
        command.args(["busybox", "sh", "-c", &format!("for i in $(seq {times}); do cat /lines; done")]);
        command
    };
    let measured = |tool: Tool, times: usize| -> io::Result<Sample> {
        remove_all(bed, tool)?;
        let start = Instant::now();
        said(&mut talk(tool, times))?;
        said(bed.command(tool).args(["wait", "talks"]))?;
        Ok(Sample { seconds: start.elapsed().as_secs_f64(), peak: 0.0 })
    };
    let copied = || -> io::Result<Sample> {
        let copy = bed.context("copy");
        let line = format!("for i in $(seq {TALK}); do cat {}; done >{}", lines.display(), copy.display());
        let sample = bed.measure(Command::new("sh").args(["-c", &line]))?;
        fs::remove_file(copy)?;
        Ok(sample)
    };
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..rounds.div_ceil(2) {
        ours.push(measured(Tool::Estiba, TALK)?);
        remove_all(bed, Tool::Estiba)?;
        bare.push(copied()?);
    }
    report.row("W14 a log of 2 GiB in lines of 100 bytes", &[(Tool::Estiba, ours), (Tool::Bare, bare)])?;
    let mut beside = Vec::new();
    for tool in peers.of(&[Tool::Estiba, Tool::Podman, Tool::Docker]) {
        beside.push((tool, vec![measured(tool, 1)?]));
        remove_all(bed, tool)?;
    }
    fs::remove_file(lines)?;
    report.row("W14 a log of 128 MiB", &beside)
}
