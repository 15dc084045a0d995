//! Who else runs containers: podman, docker and crun, each with a store or a bundle of its own on the bed.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::tool::{Bed, Tool};

/// How long a daemon may take to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// The peers that this machine has, ready to run busybox. Dropping it ends the daemon.
pub(super) struct Peers {
    daemon: Option<Child>,
    /// Holds a mount namespace in which crun finds a layout of control groups that it takes.
    grounds: Option<Child>,
    tools: Vec<Tool>,
    bundle: PathBuf,
}

impl Peers {
    /// Readies those that can be had. One that cannot be made to work is left out: its column stays empty.
    pub(super) fn ready(bed: &Bed) -> io::Result<Self> {
        let mut peers = Self { daemon: None, grounds: None, tools: vec![Tool::Estiba], bundle: bed.context("crun") };
        if bed.has(Tool::Bwrap) {
            peers.tools.push(Tool::Bwrap);
        }
        if bed.has(Tool::Crun) && peers.make_bundle(bed).is_ok() {
            peers.tools.push(Tool::Crun);
        }
        if bed.has(Tool::Podman) && bed.reset(Tool::Podman).is_ok() && works(bed, Tool::Podman) {
            peers.tools.push(Tool::Podman);
        }
        if bed.has(Tool::Docker) && peers.start_daemon(bed).is_ok() && works(bed, Tool::Docker) {
            peers.tools.push(Tool::Docker);
        }
        Ok(peers)
    }

    /// Those of `wanted` that are there.
    pub(super) fn of(&self, wanted: &[Tool]) -> Vec<Tool> {
        wanted.iter().copied().filter(|tool| self.tools.contains(tool)).collect()
    }

    /// One `true` in crun.
    pub(super) fn crun(&self, bed: &Bed) -> Command {
        let mut command = Command::new("nsenter");
        let grounds = self.grounds.as_ref().map_or(0, Child::id);
        command.arg(format!("--mount=/proc/{grounds}/ns/mnt")).arg("crun").args(["--cgroup-manager=disabled"]);
        command.arg("--root").arg(bed.context("crun-state")).args(["run", "--bundle"]).arg(&self.bundle);
        command.arg(format!("estiba-bench-{}", std::process::id()));
        command
    }

    /// crun refuses what it calls a hybrid layout, with control groups switched off too.
    fn make_grounds(&mut self) -> io::Result<()> {
        let line = "umount -R /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup && echo ready && exec sleep 100000";
        let mut shell = Command::new("unshare");
        let shell = shell.args(["--mount", "sh", "-c", line]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut shell = shell.stderr(Stdio::null()).spawn()?;
        let mut ready = [0; 1];
        let read = shell.stdout.take().map(|mut out| out.read_exact(&mut ready));
        self.grounds = Some(shell);
        read.unwrap_or_else(|| Err(io::ErrorKind::BrokenPipe.into()))
    }

    /// crun's own defaults, with the host's network, no terminal, and `true`.
    fn make_bundle(&mut self, bed: &Bed) -> io::Result<()> {
        fs::create_dir_all(&self.bundle)?;
        let path = self.bundle.join("config.json");
        if path.exists() {
            fs::remove_file(&path)?;
        }
        let made = Command::new("crun").arg("spec").current_dir(&self.bundle).status()?;
        if !made.success() {
            return Err(io::Error::other("crun spec failed"));
        }
        let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path)?)?;
        config["process"]["terminal"] = false.into();
        config["process"]["args"] = serde_json::json!(["true"]);
        config["root"]["path"] = bed.rootfs().to_string_lossy().into();
        if let Some(namespaces) = config["linux"]["namespaces"].as_array_mut() {
            namespaces.retain(|namespace| namespace["type"] != "network" && namespace["type"] != "cgroup");
        }
        fs::write(&path, config.to_string())?;
        self.make_grounds()?;
        bed.run(&self.crun(bed))
    }

    fn start_daemon(&mut self, bed: &Bed) -> io::Result<()> {
        let dir = bed.context("docker");
        fs::create_dir_all(&dir)?;
        let log = File::create(dir.join("log"))?;
        let mut command = Command::new("dockerd");
        command.arg("--data-root").arg(dir.join("data")).arg("--exec-root").arg(dir.join("exec"));
        command.arg("--pidfile").arg(dir.join("pid")).arg("--host").arg(bed.docker_host());
        command.args(["--bridge=none", "--iptables=false", "--ip6tables=false"]);
        self.daemon = Some(command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?);
        let started = Instant::now();
        while bed.command(Tool::Docker).arg("info").output().is_ok_and(|said| !said.status.success()) {
            if started.elapsed() > PATIENCE {
                return Err(io::Error::other("dockerd does not answer"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bed.reset(Tool::Docker)
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        if let Some(grounds) = &mut self.grounds {
            let _ = grounds.kill();
            let _ = grounds.wait();
        }
        if let Some(daemon) = &mut self.daemon {
            // It ends its containers and unmounts what it mounted.
            let _ = Command::new("kill").arg(daemon.id().to_string()).status();
            let _ = daemon.wait();
        }
    }
}

fn works(bed: &Bed, tool: Tool) -> bool {
    let mut command = bed.container(tool, "run");
    command.args(["--rm", "--network=none", "busybox", "true"]);
    bed.run(&command).is_ok()
}
