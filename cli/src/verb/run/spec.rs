//! Arguments and image configuration → what the runtime starts.

use oci::ContainerConfig;
use runtime::container::{CapSet, Ids, Isolation, Mount, Network, Seccomp, Source, Spec, WindowSize};
use runtime::ladder::{Probe, Rung};
use runtime::snapshot::RootFs;

use super::environment::Environment;
use super::{Args, attach, mounts};
use crate::confinement;
use crate::error::{Error, Result};
use crate::rootfs::Prepared;

/// What the names of machines are looked up in where there is no network but loopback.
const LOOPBACK_HOSTS: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";

/// The longest of the host's files that are copied into a container.
const MAX_HOST_FILE: u64 = 1 << 20;

/// Everything about a container but its file system.
pub(super) struct Wishes {
    spec: Spec,
}

impl Wishes {
    /// Resolves the arguments against the image.
    pub(super) fn new(args: &Args, command: &[String], config: &ContainerConfig, id: &str) -> Result<Self> {
        let hostname = args.hostname.clone().unwrap_or_else(|| id[..12].to_owned());
        check_hostname(&hostname)?;
        let network = network(&args.network)?;
        // The place is filled in when the file system stands.
        let mut spec = Spec::new(RootFs::Dir(std::path::PathBuf::new()), arguments(args, command, config)?);
        spec.readonly_rootfs = args.read_only;
        (spec.mounts, spec.folders) = all_mounts(args, config)?;
        spec.env = environment(args, config, &hostname)?;
        spec.cwd = args.workdir.clone().unwrap_or_else(|| config.working_dir.clone());
        if !spec.cwd.is_empty() && !spec.cwd.starts_with('/') {
            return Err(Error::usage(format!("--workdir {}: the path must be absolute", spec.cwd)));
        }
        spec.user = args.user.clone().unwrap_or_else(|| config.user.clone());
        spec.network = network;
        spec.caps = CapSet::adjusted(&args.cap_add, &args.cap_drop)?;
        spec.resolv_conf = host_file("/etc/resolv.conf");
        spec.hosts = Some(hosts(network, &hostname));
        spec.hostname = Some(hostname);
        spec.init = args.init;
        spec.terminal = args.tty.then(attach::window_size);
        let confinement = confinement::parse(&args.security_opt)?;
        spec.no_new_privs = confinement.no_new_privs;
        spec.seccomp = confinement.seccomp.unwrap_or(Seccomp::Default);
        Ok(Self { spec })
    }

    /// The finished specification.
    pub(super) fn into_spec(self, rootfs: RootFs, probe: &Probe, prepared: &Prepared) -> Spec {
        let mut spec = self.spec;
        spec.rootfs = rootfs;
        match probe.rung {
            Rung::SingleId => {
                spec.ids = Ids::Single;
                spec.monitor = Some(prepared.owners());
            }
            Rung::Chroot => spec.isolation = Isolation::Chroot,
            Rung::Root | Rung::SubordinateIds { .. } | Rung::Unprivileged => {}
        }
        spec
    }
}

/// The program and its arguments, by docker's rules.
fn arguments(args: &Args, command: &[String], config: &ContainerConfig) -> Result<Vec<String>> {
    let mut all = match args.entrypoint.as_deref() {
        Some("") => Vec::new(),
        Some(program) => vec![program.to_owned()],
        None => config.entrypoint.clone().unwrap_or_default(),
    };
    match (command, args.entrypoint.is_some()) {
        // The image's arguments belong to the image's entry point.
        ([], true) => {}
        ([], false) => all.extend(config.cmd.clone().unwrap_or_default()),
        (given, _) => all.extend(given.iter().cloned()),
    }
    if all.is_empty() {
        return Err(Error::usage("the image names no program to start").hint("give one: estiba run IMAGE PROGRAM"));
    }
    Ok(all)
}

fn environment(args: &Args, config: &ContainerConfig, hostname: &str) -> Result<Vec<(String, String)>> {
    let mut environment = Environment::default();
    environment.set("HOSTNAME", hostname);
    if args.tty {
        environment.set("TERM", "xterm");
    }
    for written in &config.env {
        let (name, value) = written.split_once('=').unwrap_or((written, ""));
        environment.set(name, value);
    }
    for path in &args.env_file {
        environment.read_file(path)?;
    }
    for written in &args.env {
        environment.set_written(written)?;
    }
    Ok(environment.variables)
}

/// The mounts, and the volumes without a name that are folders of the container's own tree.
fn all_mounts(args: &Args, config: &ContainerConfig) -> Result<(Vec<Mount>, Vec<String>)> {
    let mut all: Vec<Mount> = Vec::new();
    let mut own: Vec<String> = config.volumes.keys().cloned().collect();
    for written in &args.volumes {
        match mounts::volume(written)? {
            Some(mount) => all.push(mount),
            None => own.push(written.clone()),
        }
    }
    for written in &args.mounts {
        all.push(mounts::mount(written)?);
    }
    for written in &args.tmpfs {
        all.push(mounts::tmpfs(written)?);
    }
    let is_mounted =
        |target: &String| all.iter().any(|mount| mount.target.trim_end_matches('/') == target.trim_end_matches('/'));
    own.retain(|target| !is_mounted(target));
    if args.read_only {
        // A volume takes writes even where nothing else does. Elsewhere the container's own tree serves.
        all.extend(own.drain(..).map(|target| Mount {
            target,
            source: Source::Tmpfs { size: None, mode: 0o755 },
            readonly: false,
        }));
    }
    all.sort_by_key(|mount| mount.target.trim_end_matches('/').matches('/').count());
    Ok((all, own))
}

fn network(written: &str) -> Result<Network> {
    match written {
        "host" => Ok(Network::Host),
        "none" => Ok(Network::None),
        "default" | "bridge" | "private" | "slirp4netns" | "pasta" => {
            Err(Error::later(&format!("`--network {written}`"), "this version has host (the default) and none"))
        }
        other => Err(Error::usage(format!("--network {other}: expected host or none"))),
    }
}

fn check_hostname(name: &str) -> Result {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.' || b == b'_';
    if name.is_empty() || name.len() > 63 || name.starts_with('-') || !name.bytes().all(word) {
        return Err(Error::usage(format!("--hostname {name}: not a host name")));
    }
    Ok(())
}

/// A file of the host's, as it is: with the host's network its name servers are reachable, loopback ones too.
fn host_file(path: &str) -> Option<Vec<u8>> {
    let size = std::fs::metadata(path).ok()?.len();
    if size > MAX_HOST_FILE { None } else { std::fs::read(path).ok() }
}

fn hosts(network: Network, hostname: &str) -> Vec<u8> {
    let mut text = match network {
        Network::Host => host_file("/etc/hosts").unwrap_or_else(|| LOOPBACK_HOSTS.into()),
        Network::None => LOOPBACK_HOSTS.into(),
    };
    if !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    text.extend_from_slice(format!("127.0.0.1\t{hostname}\n").as_bytes());
    text
}

/// The size of the terminal that a container without one of ours gets.
pub(super) const FALLBACK_WINDOW: WindowSize = WindowSize { rows: 24, columns: 80 };

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args as _, FromArgMatches as _};

    fn parse(line: &str) -> Args {
        let command = Args::augment_args(clap::Command::new("run"));
        let matches = command.get_matches_from(line.split_whitespace());
        Args::from_arg_matches(&matches).unwrap()
    }

    fn started(line: &str, entrypoint: Option<&[&str]>, cmd: Option<&[&str]>) -> Vec<String> {
        let args = parse(line);
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let config =
            ContainerConfig { entrypoint: entrypoint.map(list), cmd: cmd.map(list), ..ContainerConfig::default() };
        arguments(&args, &args.words[1..], &config).unwrap_or_default()
    }

    #[test]
    fn entry_point_and_command_combine_as_in_docker() {
        assert_eq!(started("run i", Some(&["e"]), Some(&["c"])), ["e", "c"]);
        assert_eq!(started("run i x -y", Some(&["e"]), Some(&["c"])), ["e", "x", "-y"]);
        assert_eq!(started("run --entrypoint p i", Some(&["e"]), Some(&["c"])), ["p"]);
        assert_eq!(started("run --entrypoint p i a --rm", Some(&["e"]), Some(&["c"])), ["p", "a", "--rm"]);
        assert_eq!(started("run --entrypoint= i a", Some(&["e"]), None), ["a"]);
        assert!(started("run i", None, None).is_empty());
    }

    #[test]
    fn options_are_settled() {
        let args =
            parse("run --rm -it -e A=2 -w /w -u 5 --read-only --cap-drop ALL --security-opt no-new-privileges i");
        let config = ContainerConfig {
            env: vec!["A=1".to_owned()],
            volumes: [("/v".to_owned(), oci::Empty {})].into(),
            ..ContainerConfig::default()
        };
        let id = "0123456789abcdef";
        let spec = Wishes::new(&args, &["x".to_owned()], &config, id).unwrap().spec;
        assert_eq!(spec.hostname.as_deref(), Some("0123456789ab"));
        assert!(
            spec.env.contains(&("A".to_owned(), "2".to_owned()))
                && spec.env.contains(&("TERM".to_owned(), "xterm".to_owned()))
        );
        assert_eq!(
            (spec.cwd.as_str(), spec.user.as_str(), spec.caps, spec.no_new_privs),
            ("/w", "5", CapSet::EMPTY, true)
        );
        assert_eq!(spec.mounts.len(), 1, "the image's volume takes writes");
        let spec = Wishes::new(&parse("run -v /w -v /tmp:/v i"), &["x".to_owned()], &config, id).unwrap().spec;
        assert_eq!((spec.mounts.len(), spec.folders), (1, vec!["/w".to_owned()]));
    }
}
