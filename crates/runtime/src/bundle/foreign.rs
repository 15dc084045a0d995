//! A container that another runtime makes and starts (runtime.md, Operations): create, start, delete. It is ours from then on: we are
//! the one that its first process is left to when the runtime's own ends.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio as Ends};

use rustix::process::{Pid, PidfdFlags};
use serde::{Deserialize, Serialize};

use super::console::Console;
use crate::cgroup::Group;
use crate::container::{Running, Spec, StartError, Stdio};

/// As much of a runtime's complaint as is told.
const MAX_SAID: u64 = 4096;

/// Which runtime runs a container, and what it knows it by.
#[derive(Debug)]
pub struct Foreigner<'a> {
    /// Its name or path.
    pub program: &'a str,
    /// The container's id.
    pub id: &'a str,
    /// What `config.json` is to tell besides.
    pub annotations: &'a BTreeMap<String, String>,
    /// A folder for the bundle and the runtime's state; made, and removed when the container ends.
    pub dir: &'a Path,
}

/// What the child says when the program could not be executed.
const UNEXECUTED: u8 = 126;

/// crun refuses to start where both versions of control groups are mounted, though it is told to leave them alone: it is shown one.
fn cover_hybrid() {
    const BOTH: &str = "/sys/fs/cgroup/unified";
    if Path::new(BOTH).exists() && sys::ns::unshare(sys::ns::Namespaces::NEWNS).is_ok() {
        let cover = sys::mount::new("tmpfs", &[], sys::mount::Attributes::empty());
        // Without it, crun says what it does not like.
        let _ = cover.and_then(|cover| sys::mount::attach_path(&cover, Path::new(BOTH)));
    }
}

/// A container of another runtime, to be deleted there when it has ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Foreign {
    program: PathBuf,
    id: String,
    dir: PathBuf,
}

/// Has the runtime make and start the container.
///
/// # Errors
/// The runtime is not there, or what it says.
pub fn run(by: &Foreigner<'_>, spec: &Spec, stdio: Stdio) -> Result<Running, StartError> {
    let program = find(by.program)?;
    let foreign = Foreign { program, id: by.id.to_owned(), dir: by.dir.to_owned() };
    // What an earlier one left, of a supervisor that was killed.
    foreign.remove();
    std::fs::create_dir_all(by.dir).map_err(|error| sys::Error::from_io("mkdir", by.dir, &error))?;
    let started = start(&foreign, by, spec, stdio);
    if started.is_err() {
        foreign.remove();
    }
    started
}

fn start(foreign: &Foreign, by: &Foreigner<'_>, spec: &Spec, stdio: Stdio) -> Result<Running, StartError> {
    super::make(spec, by.annotations, &stdio.files, &foreign.dir)?;
    let own = Some(rustix::process::getpid());
    rustix::process::set_child_subreaper(own).map_err(|errno| StartError::setup("prctl", errno))?;
    let console = spec.terminal.map(|_| Console::listen(&foreign.dir)).transpose()?;
    let pidfile = foreign.dir.join("pid");
    let mut create = foreign.command();
    create.arg("create").arg("--bundle").arg(&foreign.dir).arg("--pid-file").arg(&pidfile);
    if let Some(console) = &console {
        create.arg("--console-socket").arg(console.path());
    }
    create.arg(&foreign.id).stdin(ends(stdio.stdin)).stdout(ends(stdio.stdout)).stderr(ends(stdio.stderr));
    foreign.finish(create, spec)?;
    let (pid, pidfd) = process(&pidfile)?;
    let (group, doors) = spec.cgroup.as_ref().map(Group::make).transpose()?.unwrap_or_default();
    for door in doors {
        let entered = rustix::io::write(&door, pid.to_string().as_bytes());
        entered.map_err(|errno| StartError::setup("enter the control group", errno))?;
    }
    let terminal = console.map(Console::take).transpose()?;
    let mut begin = foreign.command();
    begin.arg("start").arg(&foreign.id).stdin(Ends::null()).stdout(Ends::null()).stderr(Ends::null());
    foreign.finish(begin, spec)?;
    Ok(Running::foreign(pid, pidfd, terminal, group, foreign.clone()))
}

fn ends(fd: Option<OwnedFd>) -> Ends {
    fd.map_or_else(Ends::null, Ends::from)
}

/// The container's first process, as the runtime wrote it down.
fn process(pidfile: &Path) -> Result<(i32, OwnedFd), StartError> {
    let text = std::fs::read_to_string(pidfile).map_err(|error| sys::Error::from_io("read", pidfile, &error))?;
    let number = text.trim().parse::<i32>().ok().and_then(|pid| Some((pid, Pid::from_raw(pid)?)));
    let (number, pid) = number.ok_or_else(|| StartError::Invalid(format!("the runtime wrote no number: {text:?}")))?;
    let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty());
    Ok((number, pidfd.map_err(|errno| StartError::setup("pidfd_open", errno))?))
}

/// The runtime's program, by its path or `$PATH`.
fn find(program: &str) -> Result<PathBuf, StartError> {
    let missing = || StartError::Invalid(format!("--runtime {program}: no such program; install it, or give its path"));
    if program.contains('/') {
        return std::fs::canonicalize(program).map_err(|_| missing());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"].map(PathBuf::from);
    let mut found = std::env::split_paths(&path).chain(usual).map(|dir| dir.join(program));
    found.find(|candidate| candidate.is_file()).ok_or_else(missing)
}

impl Foreign {
    /// The runtime with what all its operations need.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.dir).arg("--root").arg(self.dir.join("state")).arg("--log").arg(self.log());
        // Control groups are ours.
        match self.program.file_name().and_then(|name| name.to_str()) {
            Some("crun") => drop(command.arg("--cgroup-manager=disabled")),
            Some("runc") => drop(command.arg("--rootless=true")),
            Some("runsc") => drop(command.arg("--ignore-cgroups")),
            _ => {}
        }
        command
    }

    fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// Runs it to its end; what it says of a failure is docker's code too.
    fn finish(&self, mut command: Command, spec: &Spec) -> Result<(), StartError> {
        // In a child with mounts of its own.
        let child = sys::fork::child(move || {
            cover_hybrid();
            command.status().map_or(UNEXECUTED, |status| u8::from(!status.success()))
        })?;
        match child.wait()? {
            0 => return Ok(()),
            UNEXECUTED => return Err(StartError::Invalid(format!("{} cannot be executed", self.program.display()))),
            _ => {}
        }
        let mut said = String::new();
        if let Ok(log) = std::fs::File::open(self.log()) {
            let _ = log.take(MAX_SAID).read_to_string(&mut said);
        }
        let program = spec.args.first().cloned().unwrap_or_default();
        if said.contains("executable file not found") || said.contains("executable file `") {
            return Err(StartError::NotFound { program, searched: true });
        }
        let name = self.program.display();
        let said = said.trim();
        Err(StartError::Invalid(if said.is_empty() { format!("{name} failed") } else { format!("{name}: {said}") }))
    }

    /// Forgets the container there, unmounts what was mounted for it, and removes its bundle. Best effort.
    pub(crate) fn remove(&self) {
        if !self.dir.exists() {
            return;
        }
        let mut delete = self.command();
        delete.arg("delete").arg("--force").arg(&self.id).stdin(Ends::null()).stdout(Ends::null()).stderr(Ends::null());
        let _ = delete.status();
        let mut mounted: Vec<_> = std::fs::read_dir(self.dir.join(super::FILES))
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        mounted.push(self.dir.join(super::ROOTFS));
        for path in mounted {
            let _ = rustix::mount::unmount(&path, rustix::mount::UnmountFlags::DETACH);
        }
        if let (Some(parent), Some(name)) = (self.dir.parent(), self.dir.file_name())
            && let Ok(parent) = sys::Root::open(parent)
        {
            let _ = parent.remove_all(name);
        }
    }
}
