//! What carries packets from the keeper's network namespace into the world: pasta, or else slirp4netns.

use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::KeeperError;
use super::place::step_into;
use super::serve::{Serving, end, has_ended, reap};
use crate::state::ProcessId;

/// The interface that it makes.
const INTERFACE: &str = "out0";
/// How long it may take until its interface is there.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(2);
/// One that ends sooner would end again.
const STABLE: Duration = Duration::from_secs(2);
/// Where programs are besides those of `$PATH`.
const USUAL: [&str; 3] = ["/usr/bin", "/bin", "/usr/local/bin"];

impl Serving {
    /// Sees to it that packets get out; why they do not.
    pub(super) fn way_out(&mut self) -> Result<(), String> {
        let Some(namespace) = &self.place.namespace else {
            self.leases.driver = Some("bridge".to_owned());
            return Ok(());
        };
        if !self.carriers.is_empty() {
            return Ok(());
        }
        if !Path::new("/dev/net/tun").exists() {
            return Err("there is no /dev/net/tun (`modprobe tun` makes it)".to_owned());
        }
        let anchor = Anchor::drop_in(namespace.as_fd()).map_err(|error| error.to_string())?;
        let namespace = PathBuf::from(format!("/proc/{}/ns/net", anchor.0.pid));
        let mut why = Vec::new();
        for (name, command) in [("pasta", pasta as fn(&Path, &Path) -> Command), ("slirp4netns", slirp)] {
            let Some(program) = find(name) else { continue };
            match self.carry(command(&program, &namespace)) {
                Ok(()) => {
                    self.leases.driver = Some(name.to_owned());
                    return Ok(());
                }
                Err(error) => why.push(format!("{name}: {error}")),
            }
        }
        if why.is_empty() {
            Err("neither pasta (package passt) nor slirp4netns is installed".to_owned())
        } else {
            Err(why.join("; "))
        }
    }

    /// Starts it, and waits until its interface is there.
    fn carry(&mut self, mut command: Command) -> Result<(), String> {
        // Ends with us, however we end.
        let child = sys::fork::child(|| {
            let _ = command.exec();
            127
        });
        let child = child.map_err(|error| error.to_string())?;
        let process = child.pid().cast_signed();
        let started = sys::process::start_time(process).map(|start| ProcessId { pid: process, start });
        let started = started.map_err(|error| error.to_string())?;
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let Some(pidfd) = started.open().filter(|pidfd| !has_ended(pidfd)) else {
                let code = child.wait().map_err(|error| error.to_string())?;
                return Err(format!("exited with {code}"));
            };
            if self.place.route.link(INTERFACE).ok().flatten().is_some() {
                self.carriers.push((started, pidfd));
                self.carried = Instant::now();
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
        end(started);
        reap(started);
        Err(format!("made no interface in {} s", PATIENCE.as_secs()))
    }

    /// It has ended. One that was fine for a while is started again.
    pub(super) fn carrier_ended(&mut self, process: ProcessId) {
        reap(process);
        self.carriers.retain(|(carrier, _)| *carrier != process);
        self.leases.driver = None;
        let wanted = self.leases.attachments.iter().any(|one| one.endpoints.iter().any(|leased| !leased.internal));
        if wanted && self.carried.elapsed() >= STABLE {
            // Whoever comes next tries again, and hears why.
            drop(self.way_out());
        }
        drop(self.keep());
    }
}

/// A process in the network namespace, without any capability: its files in `/proc` lead there, and those of a process that may do
/// more than the programs, which let go of what they do not need first, are not shown to them. It ends when this is dropped.
struct Anchor(ProcessId);

impl Anchor {
    fn drop_in(namespace: BorrowedFd<'_>) -> Result<Self, KeeperError> {
        let (mut there, mut said) = std::io::pipe().map_err(|error| sys::Error::from_io("pipe", "", &error))?;
        let child = sys::fork::child(move || {
            let none = CapabilitySet::empty();
            let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
            let stepped = step_into(namespace).is_ok()
                && set_dumpable_behavior(DumpableBehavior::Dumpable).is_ok()
                && rustix::thread::set_capabilities(None, none).is_ok()
                && said.write_all(&[1]).is_ok();
            drop(said);
            if !stepped {
                return 1;
            }
            loop {
                std::thread::park();
            }
        })?;
        let pid = child.pid().cast_signed();
        let anchor = Self(ProcessId { pid, start: sys::process::start_time(pid)? });
        there.read_exact(&mut [0]).map_err(|_| KeeperError::Child)?;
        Ok(anchor)
    }
}

impl Drop for Anchor {
    fn drop(&mut self) {
        end(self.0);
        reap(self.0);
    }
}

/// The host's addresses are not to be reached by way of it, nor ports of the host: it is a way out.
fn pasta(program: &Path, namespace: &Path) -> Command {
    let mut command = quiet(program);
    command.args(["--foreground", "--quiet", "--config-net", "--no-map-gw", "-t", "none", "-u", "none"]);
    command.args(["-T", "none", "-U", "none", "-I", INTERFACE, "--netns"]).arg(namespace);
    command
}

fn slirp(program: &Path, namespace: &Path) -> Command {
    let mut command = quiet(program);
    command
        .args(["--configure", "--mtu=65520", "--disable-host-loopback", "--netns-type=path"])
        .arg(namespace)
        .arg(INTERFACE);
    command
}

fn quiet(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(USUAL.map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}
