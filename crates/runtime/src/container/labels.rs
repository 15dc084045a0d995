//! What the host's security modules are told of the program that is about to start.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::error::StartError;
use super::spec::Spec;

/// Hands the label and the profile over, through a `/proc` of our own: nothing that the image brings is written to (CVE-2019-16884).
pub(super) fn apply(spec: &Spec, proc: Option<&OwnedFd>) -> Result<(), StartError> {
    let Some(proc) = proc else { return Ok(()) };
    if let Some(profile) = &spec.boundary.profile {
        let text = format!("exec {profile}");
        let written = match write(proc, "apparmor/exec", &text) {
            Err(Errno::NOENT) => write(proc, "exec", &text),
            other => other,
        };
        written.map_err(|errno| match errno {
            Errno::NOENT | Errno::INVAL | Errno::OPNOTSUPP => {
                StartError::Invalid(format!("AppArmor profile {profile}: not loaded, or this host has no AppArmor"))
            }
            errno => StartError::setup(format!("AppArmor profile {profile}"), errno),
        })?;
    }
    if let Some(label) = &spec.boundary.label {
        write(proc, "exec", label).map_err(|errno| match errno {
            Errno::INVAL | Errno::NOENT => {
                StartError::Invalid(format!("SELinux label {label}: not in the policy, or this host has no SELinux"))
            }
            errno => StartError::setup(format!("SELinux label {label}"), errno),
        })?;
    }
    Ok(())
}

fn write(proc: &OwnedFd, name: &str, text: &str) -> Result<(), Errno> {
    let path = format!("thread-self/attr/{name}");
    let file = rustix::fs::openat(proc, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, text.as_bytes()).map(drop)
}
