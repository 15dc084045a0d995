//! `config.json` of the OCI runtime specification 1.0.2 (config.md, config-linux.md).

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd};

use serde_json::{Value, json};
use sys::ns::IdMap;

use super::seccomp;
use crate::container::{
    Bind, CapSet, Flags, Mount, Namespace, Network, Propagation, RootFs, Source, Spec, StartError, User, Users,
    environment,
};

const VERSION: &str = "1.0.2";
/// Which permissions files are made without where nobody says otherwise.
const UMASK: u32 = 0o022;

/// The files of ours that are mounted over the image's, by the name that they have in the bundle.
pub(super) fn system_files(spec: &Spec) -> Vec<(&'static str, &[u8])> {
    let hostname = spec.hostname.as_ref().filter(|_| spec.hostname_file).map(String::as_bytes);
    let files =
        [("resolv.conf", spec.resolv_conf.as_deref()), ("hosts", spec.hosts.as_deref()), ("hostname", hostname)];
    files.into_iter().filter_map(|(name, data)| Some((name, data?))).collect()
}

/// The whole configuration; paths within the bundle begin with `prefix`.
pub(super) fn config(
    spec: &Spec,
    user: &User,
    annotations: &BTreeMap<String, String>,
    prefix: &str,
    files: &[OwnedFd],
) -> Result<Value, StartError> {
    let place = |path: &str| if prefix.is_empty() { path.to_owned() } else { format!("{prefix}/{path}") };
    let mut config = json!({
        "ociVersion": VERSION,
        "process": process(spec, user),
        "root": { "path": place(super::ROOTFS), "readonly": spec.readonly_rootfs || matches!(spec.rootfs, RootFs::View { .. }) },
        "mounts": mounts(spec, &place, files)?,
        "annotations": annotations,
        "linux": linux(spec, files)?,
    });
    if spec.boundary.namespaces.uts == Namespace::Own {
        if let Some(name) = &spec.hostname {
            config["hostname"] = json!(name);
        }
        if let Some(name) = &spec.boundary.domainname {
            config["domainname"] = json!(name);
        }
    }
    Ok(config)
}

fn process(spec: &Spec, user: &User) -> Value {
    let boundary = &spec.boundary;
    let caps: Vec<_> = capabilities(spec).names().map(|name| format!("CAP_{name}")).collect();
    // Who is not root has what root left him the chance of, and nothing yet.
    let held = if user.uid == 0 { caps.clone() } else { Vec::new() };
    let mut process = json!({
        "terminal": spec.terminal.is_some(),
        "user": {
            "uid": user.uid,
            "gid": user.gid,
            "umask": boundary.umask.unwrap_or(UMASK),
            "additionalGids": if boundary.keep_groups { Vec::new() } else { user.groups.clone() },
        },
        "args": spec.args,
        "env": environment(spec, user),
        "cwd": if spec.cwd.is_empty() { "/" } else { spec.cwd.as_str() },
        "capabilities": { "bounding": caps, "effective": held, "permitted": held, "inheritable": [], "ambient": [] },
        "rlimits": spec.rlimits.iter().map(rlimit).collect::<Vec<_>>(),
        "noNewPrivileges": spec.no_new_privs,
    });
    let optional = [
        ("apparmorProfile", boundary.profile.as_ref().map(|name| json!(name))),
        ("selinuxLabel", boundary.label.as_ref().map(|name| json!(name))),
        ("oomScoreAdj", spec.oom_score_adj.map(|score| json!(score))),
        ("consoleSize", spec.terminal.map(|size| json!({ "height": size.rows, "width": size.columns }))),
    ];
    for (key, value) in optional {
        if let Some(value) = value {
            process[key] = value;
        }
    }
    process
}

fn capabilities(spec: &Spec) -> CapSet {
    if spec.privileged { CapSet::ALL } else { spec.caps }
}

fn rlimit(limit: &crate::container::Rlimit) -> Value {
    json!({
        "type": format!("RLIMIT_{}", limit.name.to_ascii_uppercase()),
        "soft": limit.soft.unwrap_or(u64::MAX),
        "hard": limit.hard.unwrap_or(u64::MAX),
    })
}

fn mount(target: &str, kind: &str, source: &str, options: &[&str]) -> Value {
    json!({ "destination": target, "type": kind, "source": source, "options": options })
}

fn mounts(spec: &Spec, place: &dyn Fn(&str) -> String, files: &[OwnedFd]) -> Result<Value, StartError> {
    let write = if spec.privileged { "rw" } else { "ro" };
    let confined = ["nosuid", "noexec", "nodev"];
    let with = |more: &[&str]| [&confined[..], more].concat().into_iter().map(str::to_owned).collect::<Vec<_>>();
    let proc_options: Vec<_> =
        spec.boundary.proc_options.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let proc_options: Vec<_> = proc_options.iter().map(String::as_str).collect();
    let owned = |target, kind, source: &str, options: Vec<String>| json!({ "destination": target, "type": kind, "source": source, "options": options });
    let mut mounts = vec![
        owned("/proc", "proc", "proc", with(&proc_options)),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount("/dev/pts", "devpts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
        owned("/dev/mqueue", "mqueue", "mqueue", with(&[])),
    ];
    if spec.network == Network::Host {
        // It belongs to the network's namespace: of the host's there is only the host's.
        mounts.push(mount("/sys", "bind", "/sys", &["rbind", "nosuid", "noexec", "nodev", "ro"]));
    } else {
        mounts.push(owned("/sys", "sysfs", "sysfs", with(&[write])));
        if crate::container::has_unified_groups() {
            mounts.push(owned("/sys/fs/cgroup", "cgroup", "cgroup", with(&["relatime", write])));
        }
    }
    if !spec.boundary.no_shm {
        mounts.push(if spec.boundary.namespaces.ipc == Namespace::Own {
            owned("/dev/shm", "tmpfs", "shm", with(&["mode=1777", &format!("size={}", spec.shm_size)]))
        } else {
            mount("/dev/shm", "bind", "/dev/shm", &["rbind"])
        });
    }
    for (name, _) in system_files(spec) {
        mounts.push(mount(&format!("/etc/{name}"), "bind", &place(&format!("{}/{name}", super::FILES)), &["bind"]));
    }
    for (number, one) in spec.mounts.iter().enumerate() {
        mounts.push(asked(one, &place(&format!("{}/{number}", super::FILES)), files)?);
    }
    Ok(Value::Array(mounts))
}

/// One that was asked for; `own` is where it is where it is ours.
fn asked(one: &Mount, own: &str, files: &[OwnedFd]) -> Result<Value, StartError> {
    let access = if one.readonly { "ro" } else { "rw" };
    let bind = |source: &str, recursive: bool| {
        mount(&one.target, "bind", source, &[if recursive { "rbind" } else { "bind" }, "nodev", access, "rprivate"])
    };
    Ok(match &one.source {
        Source::Path { path, recursive } => bind(&path.display().to_string(), *recursive),
        Source::Data { .. } | Source::Tree { .. } => bind(own, false),
        Source::File { index } => {
            // By its path: what a descriptor of ours leads to is a mount of ours, of which the runtime's own namespace takes no copy.
            let path = |file: &OwnedFd| std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok();
            let source = files.get(*index).and_then(path);
            bind(&source.map_or_else(|| "anonymous".to_owned(), |path| path.display().to_string()), false)
        }
        Source::Bind(bind) => host(one, bind),
        Source::Memory(memory) => {
            let owner = (memory.owner.0.to_string(), memory.owner.1.to_string());
            let mut options =
                vec![format!("mode={:o}", memory.mode), format!("uid={}", owner.0), format!("gid={}", owner.1)];
            options.extend(memory.size.map(|size| format!("size={size}")));
            options.extend(memory.inodes.map(|inodes| format!("nr_inodes={inodes}")));
            options.extend(flags(memory.flags, access).into_iter().map(str::to_owned));
            json!({ "destination": one.target, "type": "tmpfs", "source": "tmpfs", "options": options })
        }
        Source::Tmpfs { size, mode } => {
            let (mode, size) = (format!("mode={mode:o}"), size.map(|size| format!("size={size}")));
            let mut options = vec!["nosuid", "nodev", access, mode.as_str()];
            options.extend(size.as_deref());
            mount(&one.target, "tmpfs", "tmpfs", &options)
        }
    })
}

fn host(one: &Mount, bind: &Bind) -> Value {
    let source = bind.path.join(bind.subpath.trim_start_matches('/')).display().to_string();
    let mut options = vec![if bind.recursive { "rbind" } else { "bind" }];
    options.push(match bind.propagation {
        Propagation::Private => "rprivate",
        Propagation::Slave => "rslave",
        Propagation::Shared => "rshared",
    });
    options.extend(flags(bind.flags, if one.readonly { "ro" } else { "rw" }));
    mount(&one.target, "bind", &source, &options)
}

fn flags(flags: Flags, access: &'static str) -> Vec<&'static str> {
    let each = [(flags.noexec, "noexec"), (flags.nosuid, "nosuid"), (!flags.dev, "nodev"), (flags.noatime, "noatime")];
    each.into_iter().filter(|(set, _)| *set).map(|(_, name)| name).chain([access]).collect()
}

fn linux(spec: &Spec, files: &[OwnedFd]) -> Result<Value, StartError> {
    let boundary = &spec.boundary;
    let (masked, readonly) = match spec.privileged {
        true => (Vec::new(), Vec::new()),
        false => (boundary.paths.masked.clone(), boundary.paths.readonly.clone()),
    };
    let sysctls: BTreeMap<_, _> =
        boundary.sysctls.iter().map(|(name, value)| (name.replace('/', "."), value)).collect();
    let mut linux = json!({
        "namespaces": namespaces(spec, files),
        "sysctl": sysctls,
        "devices": boundary.devices.iter().filter_map(device).collect::<Vec<_>>(),
        "maskedPaths": masked,
        "readonlyPaths": readonly,
        "rootfsPropagation": "private",
        "resources": spec.cgroup.as_ref().map_or_else(|| json!({}), |place| resources(&place.limits)),
    });
    if let Users::Own { uids, gids } = &boundary.users {
        let rows = |map: &[IdMap]| -> Vec<Value> {
            map.iter()
                .map(|row| json!({ "containerID": row.inside, "hostID": row.outside, "size": row.count }))
                .collect()
        };
        linux["uidMappings"] = json!(rows(uids));
        linux["gidMappings"] = json!(rows(gids));
    }
    if !spec.privileged {
        let filter = seccomp::describe(&spec.seccomp, spec.caps)?;
        if !filter.is_null() {
            linux["seccomp"] = filter;
        }
    }
    Ok(linux)
}

fn namespaces(spec: &Spec, files: &[OwnedFd]) -> Vec<Value> {
    let of = &spec.boundary.namespaces;
    // In a bundle that only tells, the other process is not there yet.
    let path = |index: usize, name: &str| match files.get(index) {
        Some(fd) if name == "net" => format!("/proc/{}/fd/{}", std::process::id(), fd.as_raw_fd()),
        Some(fd) => pid_of(fd).map(|pid| format!("/proc/{pid}/ns/{name}")).unwrap_or_default(),
        None => String::new(),
    };
    let mut all = vec![json!({ "type": "mount" })];
    let kinds =
        [(of.pid, "pid", "pid"), (of.ipc, "ipc", "ipc"), (of.uts, "uts", "uts"), (of.cgroup, "cgroup", "cgroup")];
    for (whose, kind, name) in kinds {
        match whose {
            Namespace::Own => all.push(json!({ "type": kind })),
            Namespace::Host => {}
            Namespace::Joined { index } => all.push(json!({ "type": kind, "path": path(index, name) })),
        }
    }
    match spec.network {
        Network::Host => {}
        Network::None => all.push(json!({ "type": "network" })),
        Network::Joined { index } => all.push(json!({ "type": "network", "path": path(index, "net") })),
    }
    match &spec.boundary.users {
        Users::Same => {}
        Users::Own { .. } => all.push(json!({ "type": "user" })),
        Users::Joined { index, .. } => all.push(json!({ "type": "user", "path": path(*index, "user") })),
    }
    all
}

/// The number of the process that a pidfd is of.
fn pid_of(pidfd: &OwnedFd) -> Option<i32> {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).ok()?;
    text.lines().find_map(|line| line.strip_prefix("Pid:"))?.trim().parse().ok()
}

fn device(device: &crate::container::Device) -> Option<Value> {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let metadata = device.host.metadata().ok()?;
    let kind = if metadata.file_type().is_block_device() { "b" } else { "c" };
    Some(json!({
        "path": format!("/dev/{}", device.name),
        "type": kind,
        "major": rustix::fs::major(metadata.rdev()),
        "minor": rustix::fs::minor(metadata.rdev()),
        "fileMode": metadata.mode() & 0o777,
        "uid": metadata.uid(),
        "gid": metadata.gid(),
    }))
}

fn resources(limits: &crate::cgroup::Limits) -> Value {
    let drop_absent = |fields: Vec<(&str, Option<Value>)>| -> Value {
        Value::Object(fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect())
    };
    let memory = drop_absent(vec![
        ("limit", limits.memory.map(Value::from)),
        ("swap", limits.memory_swap.map(Value::from)),
        ("reservation", limits.memory_reservation.map(Value::from)),
        ("swappiness", limits.memory_swappiness.map(Value::from)),
        ("disableOOMKiller", limits.oom_kill_disable.then(|| Value::from(true))),
    ]);
    let cpu = drop_absent(vec![
        ("shares", limits.cpu_shares.map(Value::from)),
        ("period", limits.cpu_period.map(Value::from)),
        ("quota", limits.cpu_quota.map(Value::from)),
        ("cpus", limits.cpuset_cpus.clone().map(Value::from)),
        ("mems", limits.cpuset_mems.clone().map(Value::from)),
    ]);
    let full =
        |value: Value| if value.as_object().is_some_and(|fields| fields.is_empty()) { None } else { Some(value) };
    let pids = limits.pids.and_then(|pids| i64::try_from(pids).ok());
    drop_absent(vec![
        ("memory", full(memory)),
        ("cpu", full(cpu)),
        ("pids", pids.map(|pids| json!({ "limit": pids }))),
        ("blockIO", limits.blkio_weight.map(|weight| json!({ "weight": weight }))),
    ])
}
