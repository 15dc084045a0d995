//! What RUN may do, and what of this machine it sees: `--allow`, capabilities, devices, folders.

use std::os::unix::fs::FileTypeExt as _;

use builder::Allow;
use runtime::container::{CapSet, Mount, Source};

use crate::error::{Error, Result};
use crate::verb::run::mounts;

/// Options about rights.
#[derive(Debug, clap::Args)]
pub(super) struct RightsArgs {
    /// Allow what RUN does not get unasked: network.host, security.insecure (may be repeated)
    #[arg(long, value_name = "ENTITLEMENT", value_delimiter = ',')]
    allow: Vec<String>,
    /// seccomp=unconfined, seccomp=FILE or no-new-privileges, for RUN (may be repeated)
    #[arg(long = "security-opt", value_name = "OPTION")]
    pub(super) security: Vec<String>,
    /// Give RUN a capability (may be repeated)
    #[arg(long, value_name = "CAPABILITY", value_delimiter = ',')]
    cap_add: Vec<String>,
    /// Take a capability from RUN (may be repeated)
    #[arg(long, value_name = "CAPABILITY", value_delimiter = ',')]
    cap_drop: Vec<String>,
    /// A device of this machine for RUN (may be repeated)
    #[arg(long = "device", value_name = "PATH[:INSIDE]")]
    devices: Vec<String>,
    /// A folder of this machine that RUN sees, and no layer holds (may be repeated)
    #[arg(short, long = "volume", value_name = "FOLDER:INSIDE[:ro]")]
    volumes: Vec<String>,
    /// One more group of RUN's user (may be repeated)
    #[arg(long = "group-add", value_name = "GROUP")]
    pub(super) groups: Vec<String>,
    /// Give RUN the proxy variables of our own environment
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) http_proxy: Option<bool>,
    /// Let RUN read our standard input
    #[arg(long)]
    pub(super) stdin: bool,
    /// How RUN is set apart is the machine's matter: only `default` is known
    #[arg(long, hide = true, value_name = "KIND")]
    isolation: Option<String>,
}

impl RightsArgs {
    /// The entitlements; the build's own network needs none.
    pub(super) fn allow(&self, network: &str) -> Result<Allow> {
        let mut allow = Allow { network_host: network == "host", security_insecure: false };
        for written in &self.allow {
            match written.as_str() {
                "network.host" => allow.network_host = true,
                "security.insecure" => allow.security_insecure = true,
                other => {
                    return Err(Error::usage(format!("--allow {other}: unknown"))
                        .hint("there are network.host and security.insecure"));
                }
            }
        }
        match self.isolation.as_deref() {
            None | Some("" | "default") => Ok(allow),
            Some(other) => Err(Error::usage(format!("--isolation {other}: RUNs are set apart as this machine allows"))
                .hint("`estiba doctor` says how, and what would allow more")),
        }
    }

    /// The capabilities, where they are not docker's.
    pub(super) fn caps(&self) -> Result<Option<CapSet>> {
        if self.cap_add.is_empty() && self.cap_drop.is_empty() {
            return Ok(None);
        }
        Ok(Some(CapSet::adjusted(&self.cap_add, &self.cap_drop)?))
    }

    /// Folders and devices.
    pub(super) fn mounts(&self) -> Result<Vec<Mount>> {
        let mut all = Vec::new();
        for written in &self.volumes {
            let without = || Error::usage(format!("--volume {written}: expected FOLDER:INSIDE"));
            all.push(mounts::of_host(written)?.ok_or_else(without)?);
        }
        for written in &self.devices {
            all.push(device(written)?);
        }
        Ok(all)
    }
}

fn device(written: &str) -> Result<Mount> {
    let wrong = |why: &str| Error::usage(format!("--device {written}: {why}"));
    let mut parts = written.split(':');
    let path = parts.next().unwrap_or_default();
    let (target, rights) = match (parts.next(), parts.next(), parts.next()) {
        (None, ..) => (path, "rwm"),
        (Some(rights), None, _) if !rights.starts_with('/') => (path, rights),
        (Some(target), rights, None) => (target, rights.unwrap_or("rwm")),
        _ => return Err(wrong("too many colons")),
    };
    if !path.starts_with("/dev/") || !target.starts_with("/dev/") {
        return Err(wrong("expected a path below /dev"));
    }
    if !rights.contains('r') || !rights.contains('w') || !rights.chars().all(|right| "rwm".contains(right)) {
        return Err(wrong("a device is given whole: rwm, or nothing behind it"));
    }
    let found = std::fs::metadata(path).map_err(|error| Error::failed(format!("--device {written}: {error}")))?;
    let kind = found.file_type();
    if !kind.is_char_device() && !kind.is_block_device() && !kind.is_dir() {
        return Err(wrong("this is no device"));
    }
    let source = Source::Path { path: path.into(), recursive: false };
    Ok(Mount { target: target.to_owned(), source, readonly: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_as_docker_writes_them() {
        let target = |written: &str| device(written).map(|mount| mount.target);
        assert_eq!(target("/dev/null").unwrap(), "/dev/null");
        assert_eq!(target("/dev/null:/dev/mine").unwrap(), "/dev/mine");
        assert_eq!(target("/dev/null:rwm").unwrap(), "/dev/null");
        assert_eq!(target("/dev/null:/dev/mine:rw").unwrap(), "/dev/mine");
        for bad in ["/etc/passwd", "/dev/no-such", "/dev/null:/etc/x", "/dev/null:r", "/dev/a:/dev/b:rw:x", "v/c=n"] {
            assert!(device(bad).is_err(), "{bad}");
        }
    }
}
