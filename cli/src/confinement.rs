//! `--security-opt`: how far programs in containers are confined.

use runtime::container::Seccomp;

use crate::error::{Error, Result, While};

/// What the options say together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Confinement {
    /// Whether set-user-id programs gain nothing.
    pub(crate) no_new_privs: bool,
    /// The filter of system calls, where one was named.
    pub(crate) seccomp: Option<Seccomp>,
}

/// Reads all `--security-opt`.
pub(crate) fn parse(options: &[String]) -> Result<Confinement> {
    let mut all = Confinement::default();
    for written in options {
        let (key, value) = written.split_once(['=', ':']).unwrap_or((written, "true"));
        match (key, value) {
            ("no-new-privileges", value) => all.no_new_privs = value != "false",
            ("seccomp", "unconfined") => all.seccomp = Some(Seccomp::Unconfined),
            ("seccomp", "builtin" | "default") => all.seccomp = Some(Seccomp::Default),
            ("seccomp", path) => {
                let text = std::fs::read_to_string(path).during(format!("--security-opt {written}"))?;
                all.seccomp = Some(Seccomp::Custom(text));
            }
            // No label and no profile of these is set, so there is nothing to switch off.
            ("label", _) | ("apparmor", "unconfined") => {}
            ("systempaths" | "apparmor" | "credentialspec" | "writable-cgroups", _) => {
                return Err(Error::later(&format!("`--security-opt {written}`"), ""));
            }
            _ => {
                return Err(Error::usage(format!("--security-opt {written}: unknown"))
                    .hint("there are seccomp=unconfined, seccomp=FILE and no-new-privileges"));
            }
        }
    }
    Ok(all)
}
