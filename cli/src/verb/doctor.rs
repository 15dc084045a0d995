//! `estiba doctor`.

use runtime::cgroup::{self, Maker};
use runtime::emulation::{self, Way};
use runtime::ladder::{Overlay, Probe, Rung};
use serde_json::json;
use store::Store;

use crate::context::Context;
use crate::duration;
use crate::error::{Result, code};
use crate::ui::{self, style};
use crate::{image, sandbox};

/// Free space below which builds soon fail.
const LITTLE_SPACE: u64 = 1 << 30;

const EXAMPLES: &str = "\
Examples:
  estiba doctor
  estiba doctor --format json

Exit code: 0 when builds with RUN and containers work here, 1 when they do not.";

/// Arguments of `estiba doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Print by a Go template, or as `json`
    #[arg(short, long, value_name = "TEMPLATE")]
    format: Option<String>,
}

/// Runs the verb. It always tries anew, so that a fix shows at once.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let store = context.store()?;
    let probe = sandbox::probe_again(store.layout())?;
    let findings = findings(&store, &probe)?;
    let works = sandbox::can_run(&probe.rung);
    let text = match args.format.as_deref() {
        Some(format) => {
            let all: Vec<_> =
                findings.iter().map(|one| json!({"Good": one.good, "What": one.what, "Fix": one.fix})).collect();
            ui::object(
                format,
                &json!({"Rung": probe.rung.name(), "Works": works, "Blocked": probe.blocked, "Findings": all}),
            )?
        }
        None => findings.iter().map(Finding::show).collect(),
    };
    ui::out(&text)?;
    Ok(if works { 0 } else { code::FAILED })
}

/// One thing that was looked at.
struct Finding {
    good: bool,
    what: String,
    fix: Option<String>,
}

impl Finding {
    fn good(what: impl Into<String>) -> Self {
        Self { good: true, what: what.into(), fix: None }
    }

    fn bad(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { good: false, what: what.into(), fix: Some(fix.into()) }
    }

    fn show(&self) -> String {
        let mark = if self.good { style::good("ok ") } else { style::warning("-- ") };
        let fix = self.fix.as_ref().map(|fix| format!("     {} {fix}\n", style::hint("fix:"))).unwrap_or_default();
        format!(" {mark} {}\n{fix}", self.what)
    }
}

fn findings(store: &Store, probe: &Probe) -> Result<Vec<Finding>> {
    let mut all = vec![rung(probe)];
    for blocked in &probe.blocked {
        all.push(Finding::bad(format!("{} is out of reach: {}", blocked.rung, blocked.why), &blocked.fix));
    }
    all.push(match &probe.overlay {
        Overlay::Native => Finding::good("snapshots are overlay mounts: layers are shared, not copied"),
        Overlay::Refused(why) => Finding::bad(
            format!("overlay mounts are refused, so layers are copied: {why}"),
            "put the store on ext4, xfs or btrfs with --root or $ESTIBA_ROOT; kernel 5.11 or newer",
        ),
    });
    all.push(groups());
    all.push(platforms(store, probe));
    all.push(space(store));
    all.extend(broken_images(store)?);
    Ok(all)
}

fn rung(probe: &Probe) -> Finding {
    let name = probe.rung.name();
    let means = match &probe.rung {
        Rung::Root => "root: everything works",
        Rung::SubordinateIds { .. } => "an ordinary user with subordinate ids: everything works",
        Rung::SingleId => "an ordinary user with one id: owners of files are recorded beside them, and one user runs",
        Rung::Chroot => {
            "inside a container that refuses namespaces: RUN works by chroot, without a boundary of its own"
        }
        Rung::Unprivileged => "no namespaces and no chroot: only builds without RUN work",
    };
    let what = format!("privileges: {name} ({means})");
    match &probe.rung {
        Rung::Root | Rung::SubordinateIds { .. } | Rung::SingleId | Rung::Chroot => Finding::good(what),
        Rung::Unprivileged => Finding { good: false, what, fix: None },
    }
}

/// Whether containers can be limited, and counted.
fn groups() -> Finding {
    match cgroup::maker() {
        Ok(Maker::Ourselves) => Finding::good("control groups: version 2; containers are limited, counted and paused"),
        Ok(Maker::ServiceManager) => Finding::good(
            "control groups: version 2, by your service manager; containers are limited, counted and paused",
        ),
        Ok(Maker::Older) => Finding::good("control groups: version 1; containers are limited, counted and paused"),
        Err(why) => Finding::bad(format!("containers go without control groups: {why}"), why.remedy()),
    }
}

/// For which platforms programs run here, and by what.
fn platforms(store: &Store, probe: &Probe) -> Finding {
    let (mut native, mut emulated, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    for platform in emulation::known() {
        match emulation::way(&platform, &store.layout().snapshots()) {
            Ok(Way::AsTheyAre) => native.push(platform.to_string()),
            Ok(Way::Bound(_)) => emulated.push(platform.to_string()),
            Ok(Way::Registered(_)) if probe.rung != Rung::Chroot => emulated.push(platform.to_string()),
            Ok(Way::Registered(_)) | Err(_) => missing.push(platform.architecture),
        }
    }
    let mut what = format!("platforms: {}", native.join(", "));
    if !emulated.is_empty() {
        what.push_str(&format!("; by qemu {}", emulated.join(", ")));
    }
    if missing.is_empty() {
        return Finding::good(what);
    }
    what.push_str(&format!("; not {}", missing.join(", ")));
    let fix = "a RUN for those takes their emulators: `apt-get install qemu-user-static`, or their like elsewhere";
    Finding { good: true, what, fix: Some(fix.to_owned()) }
}

fn space(store: &Store) -> Finding {
    let root = store.root().display();
    match rustix::fs::statvfs(store.root()) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let what = format!("store: {root}, {} free", duration::size(free));
            if free < LITTLE_SPACE {
                Finding::bad(what, "`estiba prune` frees what nothing needs")
            } else {
                Finding::good(what)
            }
        }
        Err(errno) => Finding::bad(format!("store: {root}: {errno}"), "set --root or $ESTIBA_ROOT to another folder"),
    }
}

/// Names whose manifests or configurations cannot be read any more.
fn broken_images(store: &Store) -> Result<Vec<Finding>> {
    let mut all = Vec::new();
    for row in store.index().images()? {
        if let Err(error) = image::read_any(store, &row.manifest) {
            all.push(Finding::bad(
                format!("image {} is damaged: {}", row.name, error.message()),
                format!("estiba rmi {}", row.name),
            ));
        }
    }
    Ok(all)
}
