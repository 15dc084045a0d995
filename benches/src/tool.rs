//! The tools side by side, each with a store of its own on the same file system.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::measure::Sample;

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// This project's binary.
    Estiba,
    /// The daemonless builder that Debian ships.
    Buildah,
    /// A bare sandbox: the floor of `run`.
    Bwrap,
    /// The daemonless engine that Debian ships, with runc, which knows every cgroup layout.
    Podman,
    /// The engine with a daemon, which the bed starts.
    Docker,
    /// The quickest of the runtimes, without control groups.
    Crun,
    /// The network of rootless containers, with nothing else.
    Pasta,
    /// Debian's tar: the floor of unpacking.
    Tar,
    /// The commands of a build on the host, without any container: the floor of a build.
    Bare,
}

impl Tool {
    /// As tables name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Tool::Estiba => "estiba",
            Tool::Buildah => "buildah",
            Tool::Bwrap => "bwrap",
            Tool::Podman => "podman",
            Tool::Docker => "docker",
            Tool::Crun => "crun",
            Tool::Pasta => "pasta",
            Tool::Tar => "tar x",
            Tool::Bare => "bare",
        }
    }
}

/// Where everything happens: a folder on the file system to measure on.
#[derive(Debug)]
pub struct Bed {
    dir: PathBuf,
    estiba: PathBuf,
    busybox: PathBuf,
    buildah: bool,
    bwrap: bool,
}

impl Bed {
    /// Lays a bed in `dir`: the busybox layout, and its tree for what runs without an image.
    ///
    /// # Errors
    /// Something cannot be written, or there is no busybox to be had.
    pub fn new(dir: &Path, estiba: &Path) -> io::Result<Bed> {
        let busybox = fixtures::busybox().ok_or_else(|| io::Error::other("no static busybox"))?;
        fs::create_dir_all(dir)?;
        let rootfs = dir.join("rootfs");
        if !rootfs.exists() {
            fixtures::write_rootfs(&busybox, &rootfs)?;
        }
        if !dir.join("busybox/index.json").exists() {
            fixtures::Image::busybox(&busybox).write_layout(&dir.join("busybox"), "latest")?;
        }
        let there = |name| Command::new(name).arg("--version").output().is_ok();
        let (buildah, bwrap) = (there("buildah"), there("bwrap"));
        Ok(Bed { dir: dir.to_owned(), estiba: estiba.to_owned(), busybox, buildah, bwrap })
    }

    /// Whether this machine has the tool.
    #[must_use]
    pub fn has(&self, tool: Tool) -> bool {
        match tool {
            Tool::Estiba | Tool::Bare | Tool::Tar => true,
            Tool::Buildah => self.buildah,
            Tool::Bwrap => self.bwrap,
            Tool::Podman | Tool::Docker | Tool::Crun | Tool::Pasta => {
                let there = |name| Command::new(name).arg("--version").output().is_ok();
                there(tool.name()) && (tool != Tool::Docker || there("dockerd"))
            }
        }
    }

    /// The context folder of a workload.
    #[must_use]
    pub fn context(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// This project's binary.
    #[must_use]
    pub fn estiba(&self) -> &Path {
        &self.estiba
    }

    /// A host's busybox, for what is measured without a container.
    #[must_use]
    pub fn busybox(&self) -> &Path {
        &self.busybox
    }

    /// The tree that `bwrap` runs.
    #[must_use]
    pub fn rootfs(&self) -> PathBuf {
        self.dir.join("rootfs")
    }

    fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// The tool with its store chosen, ready for a verb.
    #[must_use]
    pub fn command(&self, tool: Tool) -> Command {
        match tool {
            Tool::Estiba => {
                let mut command = Command::new(&self.estiba);
                command.env("ESTIBA_ROOT", self.dir.join("estiba-store"));
                command
            }
            Tool::Buildah => {
                let mut command = Command::new("buildah");
                let runroot = self.dir.join("buildah-run");
                command.arg("--root").arg(self.dir.join("buildah-store")).arg("--runroot").arg(runroot);
                command
            }
            Tool::Podman => {
                let mut command = Command::new("podman");
                let runroot = self.dir.join("podman-run");
                command.arg("--root").arg(self.dir.join("podman-store")).arg("--runroot").arg(runroot);
                command.args(["--runtime", "runc", "--cgroup-manager", "cgroupfs"]);
                command
            }
            Tool::Docker => {
                let mut command = Command::new("docker");
                command.arg("--host").arg(self.docker_host());
                command
            }
            Tool::Crun => Command::new("crun"),
            Tool::Bwrap => Command::new("bwrap"),
            Tool::Pasta => Command::new("pasta"),
            Tool::Tar => Command::new("tar"),
            Tool::Bare => Command::new(&self.busybox),
        }
    }

    /// A verb that makes a container.
    #[must_use]
    pub fn container(&self, tool: Tool, verb: &str) -> Command {
        let mut command = self.command(tool);
        command.arg(verb);
        if tool == Tool::Podman {
            // It raises these where it may not.
            command.args(["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=10000:10000"]);
        }
        command
    }

    /// A build of `context`, with the tool's cache in use unless `fresh`.
    #[must_use]
    pub fn build(&self, tool: Tool, context: &Path, fresh: bool) -> Command {
        let mut command = self.command(tool);
        match tool {
            Tool::Buildah => {
                command.args(["build", "--layers", "--pull-never", "--jobs", "4"]);
                // crun does not know this host's cgroup layout everywhere; buildah's own isolation works in all.
                command.args(["--isolation", "chroot"]);
            }
            Tool::Estiba => {
                command.args(["build", "--progress=plain"]);
            }
            // Nobody else builds.
            _ => return Command::new("false"),
        }
        if fresh {
            command.arg("--no-cache");
        }
        command.args(["-t", "bench"]).arg(context);
        command
    }

    /// Empties the tool's store and puts busybox into it.
    ///
    /// # Errors
    /// The store cannot be emptied, or the tool does not take the image.
    pub fn reset(&self, tool: Tool) -> io::Result<()> {
        let layout = self.dir.join("busybox");
        match tool {
            Tool::Estiba => {
                remove(&self.dir.join("estiba-store"))?;
                let mut load = self.command(tool);
                load.args(["load", "--tag", "busybox", "-i"]).arg(layout);
                self.run(&load)
            }
            Tool::Buildah => {
                // Its layers are mounts and files of other owners; only it removes them cleanly.
                let mut clear = self.command(tool);
                clear.args(["rmi", "--all", "--force"]);
                let _ = clear.output();
                remove(&self.dir.join("buildah-store"))?;
                self.named_busybox(tool, &["pull", "-q", &format!("oci:{}:latest", layout.display())])
            }
            Tool::Podman => {
                let mut clear = self.command(tool);
                clear.args(["rmi", "--all", "--force"]);
                let _ = clear.output();
                self.named_busybox(tool, &["pull", "-q", &format!("oci:{}:latest", layout.display())])
            }
            Tool::Docker => {
                let archive = self.dir.join("busybox.tar");
                let mut save = self.command(Tool::Estiba);
                save.args(["save", "-o"]).arg(&archive).arg("busybox");
                self.run(&save)?;
                let mut load = self.command(tool);
                load.args(["load", "-i"]).arg(&archive);
                self.run(&load)
            }
            Tool::Bwrap | Tool::Crun | Tool::Pasta | Tool::Bare | Tool::Tar => Ok(()),
        }
    }

    /// Where the daemon of docker listens.
    #[must_use]
    pub fn docker_host(&self) -> String {
        format!("unix://{}", self.dir.join("docker/sock").display())
    }

    /// Pulls with `arguments`, which print an id, and calls that busybox.
    fn named_busybox(&self, tool: Tool, arguments: &[&str]) -> io::Result<()> {
        let id = self.command(tool).args(arguments).output()?;
        let id = String::from_utf8_lossy(&id.stdout).trim().to_owned();
        let mut name = self.command(tool);
        name.args(["tag", &id, "localhost/busybox:latest"]);
        self.run(&name)
    }

    /// Runs without measuring.
    ///
    /// # Errors
    /// The command fails.
    pub fn run(&self, command: &Command) -> io::Result<()> {
        self.measure(command).map(drop)
    }

    /// Runs and measures.
    ///
    /// # Errors
    /// The command fails; its output is in the bed's log.
    pub fn measure(&self, command: &Command) -> io::Result<Sample> {
        Sample::of(command, &self.log())
    }
}

fn remove(dir: &Path) -> io::Result<()> {
    // The shell's rm unmounts nothing, but forgives folders without write permission to root.
    let status = Command::new("rm").arg("-rf").arg(dir).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("cannot empty {}", dir.display()))) }
}
