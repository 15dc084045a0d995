//! Which rung of the privilege ladder this machine has, remembered; and the step onto it.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

use oci::Platform;
use runtime::emulation::{self, Emulation, Missing};
use runtime::ladder::{self, Overlay, Probe, Rung};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, While};

/// A probe and the surroundings that it holds for.
#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    surroundings: Surroundings,
    probe: Probe,
}

/// What a probe depends on: another boot, user or namespace may allow something else.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Surroundings {
    boot: String,
    user: u32,
    namespace: String,
    version: String,
}

impl Surroundings {
    fn now() -> Result<Self> {
        let namespace = fs::read_link("/proc/self/ns/user").during("read /proc/self/ns/user")?;
        Ok(Self {
            boot: store::boot_id()?,
            user: rustix::process::geteuid().as_raw(),
            namespace: namespace.to_string_lossy().into_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }
}

/// What this machine allows, from memory where the surroundings are the same.
pub(crate) fn probe(layout: &store::Layout) -> Result<Probe> {
    let surroundings = Surroundings::now()?;
    let remembered = fs::read(layout.rung()).ok().and_then(|bytes| serde_json::from_slice::<Remembered>(&bytes).ok());
    match remembered {
        Some(remembered) if remembered.surroundings == surroundings => Ok(remembered.probe),
        _ => probe_again(layout),
    }
}

/// What this machine allows, tried anew and remembered.
pub(crate) fn probe_again(layout: &store::Layout) -> Result<Probe> {
    let probe = ladder::probe(&layout.snapshots());
    let remembered = Remembered { surroundings: Surroundings::now()?, probe };
    // A lost memory costs a probe; it is no reason to fail.
    drop(remember(&layout.rung(), &remembered));
    Ok(remembered.probe)
}

fn remember(path: &Path, remembered: &Remembered) -> std::io::Result<()> {
    let partial = path.with_extension(std::process::id().to_string());
    let text = serde_json::to_vec(remembered)?;
    let written = fs::write(&partial, text).and_then(|()| fs::rename(&partial, path));
    if written.is_err() {
        // Said already by what failed before it.
        drop(fs::remove_file(&partial));
    }
    written
}

/// Steps onto the best rung. Only while this process has one thread.
pub(crate) fn enter(layout: &store::Layout) -> Result<Probe> {
    let probe = probe(layout)?;
    match ladder::enter(&probe.rung) {
        Ok(()) => Ok(probe),
        // What was remembered is no longer so: a sysctl was changed, an id range taken away.
        Err(_) => {
            let probe = probe_again(layout)?;
            ladder::enter(&probe.rung)?;
            Ok(probe)
        }
    }
}

/// Steps onto the best rung, with what runs programs for these platforms. Only while this process has one thread.
pub(crate) fn enter_for(layout: &store::Layout, platforms: &[Platform]) -> Result<(Probe, Emulation)> {
    let dir = layout.snapshots();
    // Where it cannot be made, nothing can be tried there either.
    drop(fs::create_dir_all(&dir));
    let plan = emulation::Plan::new(platforms, &dir);
    let mut probe = probe(layout)?;
    if plan.needs_namespace() && probe.rung == Rung::Root {
        // What root registers is the whole machine's; in a namespace of its own it is this build's.
        probe.rung = Rung::root_of_its_own();
        if ladder::enter(&probe.rung).is_ok() {
            let emulation = plan.establish(&probe.rung);
            return Ok((probe, emulation));
        }
    }
    let probe = enter(layout)?;
    let emulation = plan.establish(&probe.rung);
    Ok((probe, emulation))
}

/// Steps into the user namespace of a container or a keeper that runs, with what runs programs for these platforms. Only while
/// this process has one thread.
pub(crate) fn join_for(layout: &store::Layout, platforms: &[Platform], pidfd: OwnedFd) -> Result<(Probe, Emulation)> {
    let dir = layout.snapshots();
    drop(fs::create_dir_all(&dir));
    let plan = emulation::Plan::new(platforms, &dir);
    let probe = probe(layout)?;
    ladder::Entry::Join(pidfd).enter()?;
    let emulation = plan.establish(&probe.rung);
    Ok((probe, emulation))
}

/// What helps where programs of a platform do not run.
pub(crate) fn remedies(missing: &Missing) -> Vec<String> {
    match missing {
        Missing::System { .. } | Missing::Unknown { .. } => Vec::new(),
        Missing::Emulator { qemu, .. } => vec![format!(
            "install {qemu}: `apt-get install qemu-user-static` (Debian, Ubuntu), `dnf install qemu-user-static` (Fedora), \
             `apk add {}` (Alpine); it need not be registered",
            qemu.trim_end_matches("-static")
        )],
        Missing::Registration { platform, .. } => vec![format!(
            "root can register it for all: `apt-get install binfmt-support`, or `docker run --privileged --rm \
             tonistiigi/binfmt --install {}`",
            platform.architecture
        )],
    }
}

/// The error for work that needs a sandbox on a machine that gives none.
pub(crate) fn refused(probe: &Probe, what: &str) -> Error {
    let mut error = Error::failed(format!("{what} needs namespaces, and this machine gives none"));
    for blocked in &probe.blocked {
        error = error.hint(format!("{}: {}; {}", blocked.rung, blocked.why, blocked.fix));
    }
    error.hint("`estiba doctor` says more")
}

/// Whether the rung can run a container at all.
pub(crate) fn can_run(rung: &Rung) -> bool {
    match rung {
        Rung::Root | Rung::SubordinateIds { .. } | Rung::SingleId | Rung::Chroot => true,
        Rung::Unprivileged => false,
    }
}

/// The line that says what costs more here than elsewhere; `None` where nothing does.
pub(crate) fn overlay_note(probe: &Probe) -> Option<String> {
    match &probe.overlay {
        Overlay::Native => None,
        Overlay::Refused(why) => Some(format!("overlay mounts are refused here ({why}): layers are copied instead")),
    }
}
