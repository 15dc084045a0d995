//! What it may do: capabilities, filters, namespaces, devices.

use containers::config::{Config, Device, Isolation, Share};
use runtime::container::CapSet;

use super::users;
use crate::confinement;
use crate::duration::parse_size;
use crate::error::{Error, Result};
use crate::verb::build::rlimit;

/// Settings that belong to a namespace of messages.
const MESSAGES: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// What it may do.
#[derive(Debug, Default, clap::Args)]
#[group(skip)]
pub(in crate::verb) struct Options {
    /// Add a capability, or ALL
    #[arg(long, value_name = "CAPABILITY", value_delimiter = ',')]
    cap_add: Vec<String>,
    /// Drop a capability, or ALL
    #[arg(long, value_name = "CAPABILITY", value_delimiter = ',')]
    cap_drop: Vec<String>,
    /// seccomp=unconfined|FILE, no-new-privileges, apparmor=, label=, mask=, unmask=, proc-opts=, landlock=off
    #[arg(long, value_name = "OPTION")]
    security_opt: Vec<String>,
    /// Every capability and device, nothing hidden, no filter: for what is trusted as much as you are
    #[arg(long)]
    privileged: bool,
    #[command(flatten)]
    users: users::Options,
    /// Whose processes it sees: host or container:NAME
    #[arg(long, value_name = "MODE")]
    pid: Option<String>,
    /// Whose shared memory it has: private, host, none or container:NAME
    #[arg(long, value_name = "MODE")]
    ipc: Option<String>,
    /// Whose host name it has: private, host or container:NAME
    #[arg(long, value_name = "MODE")]
    uts: Option<String>,
    /// Whose control groups it sees: private, host or container:NAME
    #[arg(long, value_name = "MODE")]
    cgroupns: Option<String>,
    /// Give it a device of the host
    #[arg(long, value_name = "HOST[:INSIDE][:rwm]")]
    device: Vec<String>,
    #[arg(long, hide = true)]
    device_cgroup_rule: Vec<String>,
    #[arg(long, hide = true)]
    gpus: Option<String>,
    /// Set a kernel setting of its own namespaces
    #[arg(long, value_name = "NAME=VALUE")]
    sysctl: Vec<String>,
    /// Limit its processes: nofile, nproc, core, …
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    ulimit: Vec<String>,
    /// Add it to a group of its image, by name or number; keep-groups: yours instead
    #[arg(long, value_name = "GROUP")]
    group_add: Vec<String>,
    /// The size of /dev/shm
    #[arg(long, value_name = "SIZE")]
    shm_size: Option<String>,
    /// Its NIS domain name
    #[arg(long, value_name = "NAME")]
    domainname: Option<String>,
    /// Which permissions its files are made without
    #[arg(long, value_name = "OCTAL")]
    umask: Option<String>,
    /// Who runs it: crun, runc, runsc or a path, in place of estiba itself
    #[arg(long, value_name = "PROGRAM")]
    runtime: Option<String>,
}

impl Options {
    pub(super) fn settle(&self) -> Result<Isolation> {
        let confinement = confinement::parse(&self.security_opt)?;
        CapSet::adjusted(&self.cap_add, &self.cap_drop).map_err(|error| Error::usage(error.to_string()))?;
        self.refuse()?;
        let (ipc, no_shm) = match self.ipc.as_deref() {
            Some("none") => (Share::Own, true),
            written => (share("--ipc", written, &["private", "shareable"])?, false),
        };
        let devices = self.device.iter().map(|written| device(written)).collect::<Result<_>>()?;
        Ok(Isolation {
            cap_add: self.cap_add.clone(),
            cap_drop: self.cap_drop.clone(),
            seccomp: confinement.seccomp,
            no_new_privs: confinement.no_new_privs,
            privileged: self.privileged,
            users: self.users.settle()?,
            pid: share("--pid", self.pid.as_deref(), &["private"])?,
            ipc,
            no_shm,
            uts: share("--uts", self.uts.as_deref(), &["private"])?,
            cgroup: share("--cgroupns", self.cgroupns.as_deref(), &["private"])?,
            masked: confinement.masked,
            unmasked: confinement.unmasked,
            devices,
            sysctls: self.sysctl.iter().map(|written| pair(written)).collect::<Result<_>>()?,
            proc_options: confinement.proc_options,
            label: confinement.label,
            profile: confinement.profile,
            no_landlock: confinement.no_landlock,
            umask: self.umask.as_deref().map(umask).transpose()?,
            domainname: self.domainname.clone(),
            keep_groups: self.group_add.iter().any(|group| group == "keep-groups"),
            runtime: self.runtime.clone().filter(|name| !matches!(name.as_str(), "" | "estiba" | "default")),
        })
    }

    /// What no container of ours gets, with what to do instead.
    fn refuse(&self) -> Result {
        if let Some(rule) = self.device_cgroup_rule.first() {
            return Err(Error::usage(format!(
                "--device-cgroup-rule {rule}: no node that a container makes opens a device"
            ))
            .hint("name the devices: --device /dev/NAME"));
        }
        if let Some(gpus) = &self.gpus {
            return Err(Error::usage(format!("--gpus {gpus}: estiba does not read the vendor's description (CDI)"))
                .hint(
                    "give the devices and the driver's files: --device /dev/nvidia0 --device /dev/nvidiactl --device \
                 /dev/nvidia-uvm -v /usr/lib/x86_64-linux-gnu/libcuda.so.1:/usr/lib/libcuda.so.1:ro",
                ));
        }
        if self.group_add.len() > 1 && self.group_add.iter().any(|group| group == "keep-groups") {
            return Err(Error::usage(
                "--group-add keep-groups: stands alone, for no other group can be added to yours",
            ));
        }
        Ok(())
    }

    /// What these options say of the other parts of a container.
    pub(super) fn finish(&self, config: &mut Config) -> Result {
        config.process.groups.extend(self.group_add.iter().filter(|group| *group != "keep-groups").cloned());
        if let Some(written) = &self.shm_size {
            let size = parse_size(written).filter(|size| *size > 0);
            let size =
                size.ok_or_else(|| Error::usage(format!("--shm-size {written}: expected a size, such as 64m")))?;
            config.data.shm_size = Some(size);
        }
        let limits = self.ulimit.iter().map(|written| rlimit(written)).collect::<Result<Vec<_>>>()?;
        config.resources.rlimits.extend(limits);
        if config.isolation.uts != Share::Own {
            config.process.hostname = None;
        }
        if let Some(user) = self.users.user()?.filter(|_| config.process.user.is_empty()) {
            config.process.user = user;
        }
        let network = matches!(config.network.mode, containers::config::NetworkMode::Host);
        for (name, _) in &config.isolation.sysctls {
            namespaced(name, network, &config.isolation)?;
        }
        Ok(())
    }
}

fn share(option: &str, written: Option<&str>, own: &[&str]) -> Result<Share> {
    let Some(written) = written.filter(|written| !written.is_empty()) else { return Ok(Share::Own) };
    match written.split_once(':') {
        _ if own.contains(&written) => Ok(Share::Own),
        None if written == "host" => Ok(Share::Host),
        Some(("container", name)) if !name.is_empty() => Ok(Share::Container(name.to_owned())),
        Some(("ns", _)) => {
            Err(Error::usage(format!("{option} {written}: a namespace can be shared by its container only"))
                .hint(format!("{option} container:NAME")))
        }
        _ => Err(Error::usage(format!("{option} {written}: expected {}, host or container:NAME", own.join(", ")))),
    }
}

/// `HOST[:INSIDE][:RIGHTS]`.
fn device(written: &str) -> Result<Device> {
    let wrong = |why: &str| Error::usage(format!("--device {written}: {why}"));
    let parts: Vec<&str> = written.split(':').collect();
    let is_rights = |text: &str| !text.is_empty() && text.bytes().all(|byte| b"rwm".contains(&byte));
    let (host, inside, rights) = match parts.as_slice() {
        [host] => (*host, *host, "rwm"),
        [host, last] if is_rights(last) => (*host, *host, *last),
        [host, inside] => (*host, *inside, "rwm"),
        [host, inside, rights] if is_rights(rights) => (*host, *inside, *rights),
        _ => return Err(wrong("expected HOST[:INSIDE][:rwm]")),
    };
    if !host.starts_with('/') {
        let error = if host.contains('=') {
            wrong("estiba does not read descriptions of devices (CDI)").hint("name the nodes: --device /dev/NAME")
        } else {
            wrong("the path of the host must be absolute")
        };
        return Err(error);
    }
    if !inside.starts_with('/') {
        return Err(wrong("the path inside must be absolute"));
    }
    Ok(Device { host: host.into(), inside: inside.to_owned(), rights: rights.to_owned() })
}

fn pair(written: &str) -> Result<(String, String)> {
    match written.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(Error::usage(format!("--sysctl {written}: expected NAME=VALUE"))),
    }
}

fn umask(written: &str) -> Result<u32> {
    match u32::from_str_radix(written, 8) {
        Ok(umask) if umask <= 0o777 => Ok(umask),
        _ => Err(Error::usage(format!("--umask {written}: expected three octal digits, such as 022"))),
    }
}

/// Refuses a setting that would be the whole machine's.
fn namespaced(name: &str, host_network: bool, isolation: &Isolation) -> Result {
    let wrong = |why: &str| Error::usage(format!("--sysctl {name}: {why}"));
    let dotted = name.replace('/', ".");
    if dotted.contains("..") {
        return Err(wrong("not a name"));
    }
    if dotted.starts_with("net.") {
        return if host_network {
            Err(wrong("the host's network is the host's: give the container one of its own"))
        } else {
            Ok(())
        };
    }
    if MESSAGES.contains(&dotted.as_str()) || dotted.starts_with("fs.mqueue.") {
        return if isolation.ipc == Share::Own {
            Ok(())
        } else {
            Err(wrong("it is not the container's own with this --ipc"))
        };
    }
    if dotted == "kernel.domainname" || dotted == "kernel.hostname" {
        return Err(wrong("say it by --hostname or --domainname"));
    }
    Err(wrong("it is the whole machine's, not a container's")
        .hint("a container's own are net.*, fs.mqueue.*, kernel.sem, kernel.msg* and kernel.shm*"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_as_docker_writes_them() {
        let of = |written: &str| device(written).map(|device| (device.inside, device.rights));
        assert_eq!(of("/dev/fuse").unwrap(), ("/dev/fuse".to_owned(), "rwm".to_owned()));
        assert_eq!(of("/dev/sda:r").unwrap(), ("/dev/sda".to_owned(), "r".to_owned()));
        assert_eq!(of("/dev/sda:/dev/xvdc:rw").unwrap(), ("/dev/xvdc".to_owned(), "rw".to_owned()));
        for wrong in ["fuse", "/dev/fuse:x", "/dev/a:/dev/b:q", "nvidia.com/gpu=all", ""] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_a_containers_own_settings_are_set() {
        let isolation = Isolation::default();
        for (name, host, expected) in [
            ("net.ipv4.ip_forward", false, true),
            ("net.ipv4.ip_forward", true, false),
            ("kernel.shmmax", true, true),
            ("fs.mqueue.msg_max", true, true),
            ("kernel.core_pattern", false, false),
            ("kernel/core_pattern", false, false),
            ("net/../kernel/core_pattern", false, false),
            ("vm.swappiness", false, false),
        ] {
            assert_eq!(namespaced(name, host, &isolation).is_ok(), expected, "{name}");
        }
    }

    #[test]
    fn namespaces_are_shared_by_container_or_host() {
        assert_eq!(share("--pid", Some("host"), &["private"]).unwrap(), Share::Host);
        assert_eq!(share("--ipc", Some("shareable"), &["private", "shareable"]).unwrap(), Share::Own);
        assert_eq!(share("--pid", Some("container:db"), &[]).unwrap(), Share::Container("db".to_owned()));
        assert!(share("--pid", Some("container:"), &[]).is_err() && share("--pid", Some("ns:/x"), &[]).is_err());
        assert!(umask("0022").is_ok() && umask("8").is_err() && umask("1777").is_err());
    }
}
