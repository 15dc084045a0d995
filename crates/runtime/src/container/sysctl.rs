//! Kernel settings of a container's own namespaces.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::error::StartError;
use super::spec::{Network, Spec};

const PROC_MAGIC: u64 = 0x9fa0;

/// Ports below 1024 are anyone's in a network of its own, as docker has it.
const UNPRIVILEGED_PORTS: (&str, &str) = ("net.ipv4.ip_unprivileged_port_start", "0");

/// Writes the settings through `proc`, a `/proc` of ours that nothing is mounted over yet: never by a path of the image.
pub(super) fn apply(spec: &Spec, proc: &OwnedFd) -> Result<(), StartError> {
    if spec.network != Network::Host {
        // A kernel without IPv4, or one that keeps it to root.
        let _ = write(proc, UNPRIVILEGED_PORTS.0, UNPRIVILEGED_PORTS.1);
    }
    for (name, value) in &spec.boundary.sysctls {
        write(proc, name, value).map_err(|errno| match errno {
            Errno::NOENT => StartError::Invalid(format!("sysctl {name}: this kernel has no such setting")),
            Errno::ACCESS | Errno::PERM | Errno::ROFS => {
                StartError::Invalid(format!("sysctl {name}: only root may set it in a container on this kernel"))
            }
            errno => StartError::setup(format!("sysctl {name}={value}"), errno),
        })?;
    }
    Ok(())
}

fn write(proc: &OwnedFd, name: &str, value: &str) -> Result<(), Errno> {
    let path = format!("sys/{}", path(name));
    if path.split('/').any(|part| part == "..") {
        return Err(Errno::NOENT);
    }
    let how = rustix::fs::ResolveFlags::BENEATH | rustix::fs::ResolveFlags::NO_SYMLINKS;
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat2(proc.as_fd(), path, flags, rustix::fs::Mode::empty(), how)?;
    if rustix::fs::fstatfs(&file)?.f_type as u64 != PROC_MAGIC {
        return Err(Errno::PERM);
    }
    rustix::io::write(&file, value.as_bytes()).map(drop)
}

/// A setting's name as a path: by sysctl(8)'s rule the first separator says which kind of name it is.
fn path(name: &str) -> String {
    match name.find(['.', '/']) {
        Some(at) if name.as_bytes()[at] == b'.' => {
            let swap = |letter| match letter {
                '.' => '/',
                '/' => '.',
                other => other,
            };
            name.chars().map(swap).collect()
        }
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::path;

    #[test]
    fn names_are_paths() {
        assert_eq!(path("net.ipv4.ip_forward"), "net/ipv4/ip_forward");
        assert_eq!(path("net/ipv4/conf/eth0.1/forwarding"), "net/ipv4/conf/eth0.1/forwarding");
        assert_eq!(path("net.ipv4.conf.eth0/1.forwarding"), "net/ipv4/conf/eth0.1/forwarding");
    }
}
