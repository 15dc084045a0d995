//! Who else runs containers: podman, docker and crun, each with a store or a bundle of its own on the bed.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::tool::{Bed, Tool};

/// How long a daemon may take to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// The peers that this machine has, ready to run busybox. Dropping it ends the daemon.
pub(super) struct Peers {
    daemon: Option<Child>,
    tools: Vec<Tool>,
    bundle: PathBuf,
}

impl Peers {
    /// Readies those that can be had. One that cannot be made to work is left out: its column stays empty.
    pub(super) fn ready(bed: &Bed) -> io::Result<Self> {
        let mut peers = Self { daemon: None, tools: vec![Tool::Estiba], bundle: bed.context("crun") };
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

    /// The folder that crun runs.
    pub(super) fn bundle(&self) -> &PathBuf {
        &self.bundle
    }

    /// crun's own defaults, with the host's network, no terminal, and `true`.
    fn make_bundle(&self, bed: &Bed) -> io::Result<()> {
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
        bed.run(&crun(bed, &self.bundle))
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
        if let Some(daemon) = &mut self.daemon {
            // It ends its containers and unmounts what it mounted.
            let _ = Command::new("kill").arg(daemon.id().to_string()).status();
            let _ = daemon.wait();
        }
    }
}

/// One `true` in crun.
pub(super) fn crun(bed: &Bed, bundle: &PathBuf) -> Command {
    let mut command = bed.command(Tool::Crun);
    command.args(["run", "--bundle"]).arg(bundle).arg(format!("estiba-bench-{}", std::process::id()));
    command
}

fn works(bed: &Bed, tool: Tool) -> bool {
    let mut command = bed.command(tool);
    command.args(["run", "--rm", "--network=none", "busybox", "true"]);
    bed.run(&command).is_ok()
}
