//! Whether containers get groups here, without making any.

use std::path::Path;

use super::mounts::{self, Hierarchy};
use super::place::{NoPlace, counts};
use super::settings::Version;
use super::systemd;

/// Who makes groups of containers here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    /// We do, in the newer version.
    Ourselves,
    /// The service manager of the user does.
    ServiceManager,
    /// We do, in the older version.
    Older,
}

/// Who makes groups of containers here.
///
/// # Errors
/// Why nobody does.
pub fn maker() -> Result<Maker, NoPlace> {
    let all = mounts::hierarchies();
    let newer = all.iter().find(|found| found.version == Version::Two && counts(found, &all));
    match newer {
        Some(found) => of_newer(found),
        None => {
            let found = all.iter().find(|found| found.controllers.iter().any(|name| name == "memory"));
            let found = found.ok_or(NoPlace::NotMounted)?;
            writable(&found.own).map_err(|why| NoPlace::Older(Box::new(why)))?;
            Ok(Maker::Older)
        }
    }
}

fn of_newer(found: &Hierarchy) -> Result<Maker, NoPlace> {
    if writable(&found.mount.join("cgroup.subtree_control")).is_ok() {
        return Ok(Maker::Ourselves);
    }
    match writable(&found.own.join("cgroup.procs")) {
        Ok(()) => Ok(Maker::Ourselves),
        Err(own) => match systemd::reach() {
            Ok(()) => Ok(Maker::ServiceManager),
            Err(asked) => Err(NoPlace::Asked { own: Box::new(own), asked }),
        },
    }
}

fn writable(path: &Path) -> Result<(), NoPlace> {
    let refused = |errno: rustix::io::Errno| NoPlace::refused("write", path)(errno.into());
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK).map_err(refused)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_outlook_is_words() {
        if let Err(why) = super::maker() {
            assert!(!why.to_string().is_empty() && !why.remedy().is_empty());
        }
    }
}
