//! W5 and W7: images to a registry and back, beside buildah, against a registry of ours on loopback.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use crate::content;
use crate::measure::drop_page_cache;
use crate::registry::server::{Running, Server};
use crate::report::Report;
use crate::tool::{Bed, Tool};
use crate::workload::by_turns;

const CLIENTS: [Tool; 2] = [Tool::Estiba, Tool::Buildah];

/// The registry that all clients of a workload speak to.
struct Registry<'b> {
    bed: &'b Bed,
    running: Running,
}

impl<'b> Registry<'b> {
    /// Starts one that holds nothing.
    fn empty(bed: &'b Bed) -> io::Result<Self> {
        let root = bed.context("registry");
        if root.exists() {
            fs::remove_dir_all(&root)?;
        }
        Ok(Self { bed, running: Server::Estiba.start(bed.estiba(), &root)? })
    }

    fn name(&self, repository: &str) -> String {
        format!("127.0.0.1:{}/{repository}:v1", self.running.port)
    }

    /// Bytes on its disk.
    fn bytes(&self) -> io::Result<u64> {
        let mut total = 0;
        for algorithm in fs::read_dir(self.bed.context("registry").join("blobs"))? {
            for blob in fs::read_dir(algorithm?.path())? {
                total += blob?.metadata()?.len();
            }
        }
        Ok(total)
    }

    fn push(&self, tool: Tool, repository: &str, form: &str) -> Command {
        let mut command = self.bed.command(tool);
        command.arg("push");
        match tool {
            Tool::Buildah => {
                command.args(["--quiet", "--tls-verify=false", "--compression-format", form, "bench"]);
                command.arg(format!("docker://{}", self.name(repository)));
            }
            Tool::Estiba
            | Tool::Bwrap
            | Tool::Podman
            | Tool::Docker
            | Tool::Crun
            | Tool::Pasta
            | Tool::Bare
            | Tool::Tar => {
                command.args(["--progress=plain", "--compression", form, "bench"]).arg(self.name(repository));
            }
        }
        command
    }

    fn pull(&self, tool: Tool, repository: &str) -> Command {
        let mut command = self.bed.command(tool);
        command.arg("pull");
        match tool {
            Tool::Buildah => command.args(["--quiet", "--tls-verify=false"]),
            Tool::Estiba
            | Tool::Bwrap
            | Tool::Podman
            | Tool::Docker
            | Tool::Crun
            | Tool::Pasta
            | Tool::Bare
            | Tool::Tar => command.arg("--progress=plain"),
        };
        command.arg(self.name(repository));
        command
    }
}

/// Empties the tool's store, and builds the image there as if for the first time.
fn build(bed: &Bed, tool: Tool, context: &Path) -> io::Result<()> {
    bed.reset(tool)?;
    bed.run(&bed.build(tool, context, false))?;
    settle()
}

/// What earlier commands left to be written is written now, not during the next one.
fn settle() -> io::Result<()> {
    Command::new("sync").status().map(drop)
}

/// W5.
pub(crate) fn large_image(bed: &Bed, report: &mut Report, rounds: usize) -> io::Result<()> {
    let context = bed.context("w5");
    content::large_image(&context)?;
    // Seconds and gigabytes each: fewer rounds say enough.
    let rounds = rounds.div_ceil(2);
    for form in ["gzip", "zstd"] {
        push(bed, report, rounds, &context, form)?;
    }
    pull(bed, report, rounds, "W5 pull, cold", "w5")
}

/// Pushes into an empty registry what was never compressed, then once more. Leaves both stores built.
fn push(bed: &Bed, report: &mut Report, rounds: usize, context: &Path, form: &str) -> io::Result<()> {
    // A server that knows the layers, even of another repository, would not be sent them.
    let current: RefCell<Option<Registry<'_>>> = RefCell::default();
    let renew = || {
        drop(current.take());
        current.replace(Some(Registry::empty(bed)?));
        Ok::<_, io::Error>(())
    };
    renew()?;
    let with = |make: &dyn Fn(&Registry<'_>) -> Command| match &*current.borrow() {
        Some(registry) => make(registry),
        None => Command::new("false"),
    };
    let mut bytes = Vec::new();
    let before = |tool, _| {
        renew()?;
        build(bed, tool, context)
    };
    let command = |tool| with(&|registry| registry.push(tool, "w5", form));
    report.row(&format!("W5 push, cold, {form}"), &by_turns(bed, &CLIENTS, rounds, before, command)?)?;
    for tool in CLIENTS.into_iter().filter(|tool| bed.has(*tool)) {
        renew()?;
        bed.run(&with(&|registry| registry.push(tool, "w5", form)))?;
        let sent = current.borrow().as_ref().map_or(Ok(0), Registry::bytes)?;
        bytes.push((tool, sent));
    }
    report.sizes(&format!("W5 what was sent, {form}"), &bytes)?;
    for tool in CLIENTS.into_iter().filter(|tool| bed.has(*tool)) {
        bed.run(&with(&|registry| registry.push(tool, "again", form)))?;
    }
    settle()?;
    let again = |tool| with(&|registry| registry.push(tool, "again", form));
    report.row(&format!("W5 push again, {form}"), &by_turns(bed, &CLIENTS, rounds * 3, |_, _| Ok(()), again)?)
}

/// Pulls, into an empty store, what buildah pushed (one gzip stream a layer), then what we did.
fn pull(bed: &Bed, report: &mut Report, rounds: usize, name: &str, context: &str) -> io::Result<()> {
    let registry = Registry::empty(bed)?;
    let before = |tool, _| {
        bed.reset(tool)?;
        settle()
    };
    for pusher in [Tool::Buildah, Tool::Estiba].into_iter().filter(|tool| bed.has(*tool)) {
        bed.reset(pusher)?;
        bed.run(&bed.build(pusher, &bed.context(context), false))?;
        bed.run(&registry.push(pusher, pusher.name(), "gzip"))?;
        // Where it stays, the registry's pages are in memory for everybody.
        let _ = drop_page_cache();
        let command = |tool| registry.pull(tool, pusher.name());
        let row = format!("{name}, pushed by {}", pusher.name());
        report.row(&row, &by_turns(bed, &CLIENTS, rounds, before, command)?)?;
    }
    Ok(())
}

/// W7.
pub(crate) fn many_files(bed: &Bed, report: &mut Report, rounds: usize) -> io::Result<()> {
    let context = bed.context("w7");
    content::many_files(&context)?;
    let (tar, tree) = (bed.context("w7.tar"), bed.context("w7.tree"));
    bed.run(Command::new("tar").arg("-cf").arg(&tar).arg("-C").arg(&context).arg("files"))?;
    let registry = Registry::empty(bed)?;
    for pusher in [Tool::Buildah, Tool::Estiba].into_iter().filter(|tool| bed.has(*tool)) {
        bed.reset(pusher)?;
        bed.run(&bed.build(pusher, &context, false))?;
        bed.run(&registry.push(pusher, pusher.name(), "gzip"))?;
        let before = |tool, _| {
            if tool == Tool::Tar {
                if tree.exists() {
                    fs::remove_dir_all(&tree)?;
                }
                fs::create_dir(&tree)?;
            } else {
                bed.reset(tool)?;
            }
            settle()
        };
        let command = |tool| match tool {
            Tool::Tar => {
                let mut extract = Command::new("tar");
                extract.arg("-xf").arg(&tar).arg("-C").arg(&tree);
                extract
            }
            Tool::Estiba
            | Tool::Buildah
            | Tool::Bwrap
            | Tool::Podman
            | Tool::Docker
            | Tool::Crun
            | Tool::Pasta
            | Tool::Bare => registry.pull(tool, pusher.name()),
        };
        let tools = [Tool::Estiba, Tool::Buildah, Tool::Tar];
        let row = format!("W7 pull and unpack 50,000 files, pushed by {}", pusher.name());
        report.row(&row, &by_turns(bed, &tools, rounds, before, command)?)?;
    }
    Ok(())
}
