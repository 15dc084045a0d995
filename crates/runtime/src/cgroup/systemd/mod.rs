//! The service manager, asked for a unit whose group is ours to divide (`Delegate=yes`).
//!
//! systemd speaks D-Bus on sockets of its own, so neither a bus nor a client of it is needed; where these are not reachable, a
//! bus is asked. <https://systemd.io/CGROUP_DELEGATION>, <https://dbus.freedesktop.org/doc/dbus-specification.html>.

mod bus;
mod wire;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bus::Bus;
use wire::{Call, Value};

/// How long the manager has until we are in the unit.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same for who goes on without it.
const SHORT_PATIENCE: Duration = Duration::from_secs(1);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(1);

/// Why the service manager did not help.
#[derive(Debug, thiserror::Error)]
pub enum SystemdError {
    /// There is none.
    #[error("no service manager of yours runs here")]
    Absent,
    /// It cannot be spoken with.
    #[error("the service manager at {path}: {why}")]
    Unreachable {
        /// Its socket.
        path: PathBuf,
        /// The kernel's word.
        why: std::io::Error,
    },
    /// It does not let us in, or what it says is no D-Bus.
    #[error("the service manager does not answer as it should: {0}")]
    Answer(String),
    /// It refused.
    #[error("the service manager refused: {message} ({name})")]
    Refused {
        /// The error's name.
        name: String,
        /// Its words.
        message: String,
    },
    /// The unit was made, but we are not in it.
    #[error("the service manager did not move us into {0} in time")]
    Late(String),
}

impl SystemdError {
    /// How it would have helped.
    pub(super) fn remedy(&self) -> &'static str {
        match self {
            Self::Absent | Self::Unreachable { .. } => {
                "log in by PAM (su and sudo do not start one), or let root run `loginctl enable-linger USER` and set \
                 XDG_RUNTIME_DIR=/run/user/UID; or let root hand a group over to you"
            }
            Self::Answer(_) | Self::Refused { .. } | Self::Late(_) => {
                "`systemctl --user status` says how it is; or run under `systemd-run --user --scope -p Delegate=yes`"
            }
        }
    }
}

/// The unit of a container.
pub fn scope_name(name: &str) -> String {
    format!("estiba-{name}.scope")
}

/// Whether systemd is the machine's first process (`sd_booted(3)`).
pub(super) fn is_running() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Enters a new unit, in which we are alone.
pub(super) fn enter_scope(name: &str, slice: Option<&str>) -> Result<(), SystemdError> {
    let description = format!("estiba container {}", &name[..name.len().min(12)]);
    enter(&scope_name(name), slice, &description, PATIENCE)
}

/// Leaves the unit of whoever began this process for one of its own, so that it does not end with that one. Not where the machine has
/// no service manager.
///
/// # Errors
/// Why it stays where it is.
pub fn leave_unit(name: &str, description: &str) -> Result<(), SystemdError> {
    if !is_running() {
        return Err(SystemdError::Absent);
    }
    enter(&scope_name(name), None, description, SHORT_PATIENCE)
}

fn enter(unit: &str, slice: Option<&str>, description: &str, patience: Duration) -> Result<(), SystemdError> {
    let mut bus = Bus::connect(real_user())?;
    bus.call(&start_scope(unit, slice, description))?;
    let begun = Instant::now();
    while !is_in(unit) {
        if begun.elapsed() > patience {
            return Err(SystemdError::Late(unit.to_owned()));
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// The unit that a group's folder belongs to, and the path below it, with a slash in front.
pub(super) fn unit_of(folder: &Path) -> Option<(String, String)> {
    let parts: Vec<&str> = folder.iter().filter_map(|part| part.to_str()).collect();
    let is_unit = |part: &&str| [".scope", ".service"].iter().any(|kind| part.ends_with(kind));
    let at = parts.iter().rposition(is_unit)?;
    Some((parts[at].to_owned(), format!("/{}", parts[at + 1..].join("/"))))
}

/// Whether the manager can be spoken with.
pub(super) fn reach() -> Result<(), SystemdError> {
    Bus::connect(real_user()).map(drop)
}

/// Lets the manager move a process into a group within a unit: it may where we, in another unit, may not.
///
/// # Errors
/// Its refusal.
pub fn attach(unit: &str, below: &str, pid: u32) -> Result<(), SystemdError> {
    let mut call = Call::new("AttachProcessesToUnit", "ssau");
    call.string(unit);
    call.string(below);
    call.numbers(&[pid]);
    Bus::connect(real_user())?.call(&call)
}

fn start_scope(unit: &str, slice: Option<&str>, description: &str) -> Call {
    let mut properties = vec![
        ("Description", Value::Text(description)),
        ("PIDs", Value::Numbers(vec![std::process::id()])),
        ("Delegate", Value::Flag(true)),
        ("CollectMode", Value::Text("inactive-or-failed")),
    ];
    properties.extend(slice.map(|slice| ("Slice", Value::Text(slice))));
    let mut call = Call::new("StartTransientUnit", "ssa(sv)a(sa(sv))");
    call.string(unit);
    call.string("fail");
    call.properties(&properties);
    call.no_units();
    call
}

fn is_in(unit: &str) -> bool {
    names(&std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default(), unit)
}

/// Whether `/proc/self/cgroup` names a unit, in the newer tree or the manager's own older one.
fn names<'g>(groups: &'g str, unit: &str) -> bool {
    let path = |line: &'g str| line.strip_prefix("0::").or_else(|| Some(line.split_once(":name=systemd:")?.1));
    groups.lines().filter_map(path).any(|path| path.ends_with(unit))
}

/// Who we are outside of the user namespaces that we made: the manager is that user's.
fn real_user() -> u32 {
    let own = rustix::process::geteuid().as_raw();
    let text = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    outside(&text, own).unwrap_or(own)
}

/// `inside outside count` lines.
fn outside(map: &str, own: u32) -> Option<u32> {
    map.lines().find_map(|line| {
        let numbers: Vec<u32> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let &[inside, outside, count] = numbers.as_slice() else { return None };
        (inside <= own && own - inside < count).then(|| outside + (own - inside))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_we_are_outside() {
        assert_eq!(outside("0 1001 1\n1 100000 65536\n", 0), Some(1001));
        assert_eq!(outside("0 1001 1\n1 100000 65536\n", 5), Some(100_004));
        assert_eq!(outside("0 0 4294967295\n", 7), Some(7));
        assert_eq!(outside("", 7), None);
        assert_eq!(scope_name("ab"), "estiba-ab.scope");
        assert!(names("1:name=systemd:/user.slice/estiba-ab.scope\n", "estiba-ab.scope"));
        assert!(names("0::/user.slice/estiba-ab.scope\n", "estiba-ab.scope"));
        assert!(!names("4:memory:/estiba-ab.scope\n0::/init.scope\n", "estiba-ab.scope"));
        let unit = |path: &str| unit_of(Path::new(path));
        let own = "/sys/fs/cgroup/user.slice/user@1.service/app.slice/estiba-a.scope";
        assert_eq!(unit(&format!("{own}/container")), Some(("estiba-a.scope".to_owned(), "/container".to_owned())));
        assert_eq!(unit(own), Some(("estiba-a.scope".to_owned(), "/".to_owned())));
        assert_eq!(unit("/sys/fs/cgroup/estiba/a"), None);
    }
}
