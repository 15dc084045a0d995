//! What a RUN is surrounded by, as the build was told: limits, names, groups, capabilities.

use graph::Exec;
use runtime::cgroup::Place;
use runtime::container::{ExitStatus, Rlimit, Spec};

use super::network;
use crate::Event;
use crate::build::Build;
use crate::mount::Prepared;

/// The variables by which programs know proxies.
const PROXIES: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// No core file, and none through a pipe either: the kernel pipes cores past a limit of 0, but takes 1 for "never".
const NO_CORE: u64 = 1;

/// Fills in everything but the program and its tree.
pub(super) fn apply(build: &Build<'_>, exec: &Exec, host_name: &str, prepared: &mut Prepared, spec: &mut Spec) {
    let running = &build.request.options.running;
    variables(exec, running.host_proxies, prepared, spec);
    spec.mounts = running.mounts.clone();
    spec.mounts.append(&mut prepared.mounts);
    spec.hostname = Some(host_name.to_owned());
    spec.hostname_file = !running.no_hostname;
    spec.resolv_conf = (!running.dns.none).then(|| network::resolv_conf(&running.dns));
    spec.hosts = (!running.no_hosts).then(|| network::hosts(host_name, &running.hosts));
    spec.extra_groups.clone_from(&running.groups);
    spec.no_new_privs = running.no_new_privs;
    if let Some(caps) = running.caps {
        spec.caps = caps;
    }
    if let Some(seccomp) = &running.seccomp {
        spec.seccomp = seccomp.clone();
    }
    if let Some(size) = running.shm_size {
        spec.shm_size = size;
    }
    spec.rlimits.clone_from(&running.ulimits);
    if !prepared.secrets.is_empty() {
        spec.rlimits.push(Rlimit { name: "core".to_owned(), soft: Some(NO_CORE), hard: Some(NO_CORE) });
    }
    spec.cgroup = place(build);
}

/// Proxies of our own environment, where those of the build say nothing; then what comes with mounts, which wins.
fn variables(exec: &Exec, host_proxies: bool, prepared: &mut Prepared, spec: &mut Spec) {
    let has = |spec: &Spec, name: &str| spec.env.iter().any(|(known, _)| known == name);
    for (name, value) in &exec.proxy_env {
        if !has(spec, name) {
            spec.env.push((name.clone(), value.clone()));
        }
    }
    for name in PROXIES.iter().filter(|_| host_proxies) {
        if let (false, Ok(value)) = (has(spec, name), std::env::var(name)) {
            spec.env.push(((*name).to_owned(), value));
        }
    }
    for (name, value) in prepared.env.drain(..) {
        spec.env.retain(|(known, _)| *known != name);
        spec.env.push((name, value));
    }
}

/// Says what may have killed a RUN that is limited; the kernel says it to nobody but its log.
pub(super) fn explain(build: &Build<'_>, status: ExitStatus) {
    let memory = build.request.options.running.cgroup.as_ref().and_then(|cgroup| cgroup.limits.memory);
    if let (Some(bytes), KILLED) = (memory, status.code()) {
        let message = format!("a process was killed: RUNs have {bytes} bytes of memory each; `--memory` gives more");
        build.emit(Event::Note { message });
    }
}

/// 128 + SIGKILL, as shells tell it.
const KILLED: u8 = 137;

/// Where control groups are made; looked for once, and where there is no place, that is said once.
fn place(build: &Build<'_>) -> Option<Place> {
    let wanted = build.request.options.running.cgroup.as_ref()?;
    let found = build.cgroup.get_or_init(|| match Place::find(wanted.parent.as_deref(), &wanted.limits) {
        Ok(place) => Some(place),
        Err(why) => {
            let message = format!(
                "RUNs go without limits of memory and processors: {why}; as root, or under `systemd-run --user --scope -p \
                 Delegate=yes`, there are some"
            );
            build.emit(Event::Note { message });
            None
        }
    });
    found.clone()
}
