//! A shell where a step failed: its file system, its environment, its user; with tools that the image lacks.

mod pump;
mod tools;

use std::io::IsTerminal;

use builder::Sandbox;
use builder::failed::Failed;
use runtime::container::{Ids, Isolation, Network, Spec, Stdio};
use runtime::ladder::Rung;
use store::{Layout, Store};

use crate::error::{Error, Result, While};
use crate::record;
use crate::rootfs::container_id;
use crate::ui::{self, style};

/// Shells that are looked for, best first.
const SHELLS: [&str; 4] = ["bin/bash", "usr/bin/bash", "bin/sh", "usr/bin/sh"];

/// Opens a shell in what a build's failed step left. Gives the shell's exit code. What is changed there goes with it.
pub(crate) fn open(store: &Store, sandbox: &Sandbox, failed: &Failed) -> Result<u8> {
    let lease = store.lease()?;
    let id = container_id()?;
    let active = failed.tree(store, &sandbox.probe, &lease, &id)?;
    let scratch = store.layout().snapshot(&id).join("tools");
    let namespaces = sandbox.probe.rung != Rung::Chroot;
    let tools = if namespaces { tools::find(&scratch)? } else { None };
    let own = own_shell(store.layout(), failed);
    let (args, note) = match (&own, &tools) {
        (Some(shell), Some(tools)) => (vec![shell.clone()], tools.note()),
        (Some(shell), None) => (vec![shell.clone()], String::new()),
        (None, Some(tools)) => (tools.shell(), format!("the image has no shell; {}", tools.note())),
        (None, None) => {
            return Err(Error::failed("the image has no shell, and this machine has none that runs anywhere")
                .hint("install a static busybox: `apt-get install busybox-static`"));
        }
    };
    let mut spec = Spec::new(active.root_fs().clone(), args);
    spec.env.clone_from(&failed.env);
    surround(&mut spec, failed, sandbox, tools.as_ref());
    if let (None, Some(tools)) = (&own, &tools) {
        spec.env.extend(tools.functions());
    }
    if sandbox.probe.rung == Rung::SingleId {
        spec.ids = Ids::Single;
        spec.monitor = Some(active.owners());
    }
    let interactive = std::io::stdin().is_terminal() && std::io::stdout().is_terminal() && namespaces;
    if interactive {
        spec.terminal = Some(crate::terminal::window_size());
    }
    ui::err(&format!("{} {}\n", style::hint("shell:"), style::harmless(&failed.name)));
    ui::err(&format!("       as it stood when `{}` ended with code {}", shown(&failed.args), failed.exit_code));
    ui::err(&format!("{}\n", if note.is_empty() { String::new() } else { format!("; {note}") }));
    let stdio = if interactive { Stdio::default() } else { pump::own_stdio()? };
    let mut child = sandbox.spawner.spawn(&spec, stdio).map_err(|error| Error::from(error).context("start a shell"))?;
    if let Some(terminal) = child.terminal() {
        pump::copy(&child, &terminal)?;
    }
    let finished = child.wait().during("wait for the shell")?;
    drop(active);
    Ok(finished.status.code())
}

fn surround(spec: &mut Spec, failed: &Failed, sandbox: &Sandbox, tools: Option<&tools::Tools>) {
    spec.cwd.clone_from(&failed.cwd);
    spec.user.clone_from(&failed.user);
    spec.hostname = Some(failed.hostname.clone().unwrap_or_else(|| "failed".to_owned()));
    spec.network = match failed.network {
        graph::Network::Default | graph::Network::Host => Network::Host,
        graph::Network::None => Network::None,
    };
    spec.resolv_conf = std::fs::read("/etc/resolv.conf").ok();
    if sandbox.probe.rung == Rung::Chroot {
        spec.isolation = Isolation::Chroot;
    }
    let set = |env: &mut Vec<(String, String)>, name: &str, value: String| {
        env.retain(|(known, _)| known != name);
        env.push((name.to_owned(), value));
    };
    if let Ok(term) = std::env::var("TERM") {
        set(&mut spec.env, "TERM", term);
    }
    set(&mut spec.env, "PS1", "(failed step) \\w # ".to_owned());
    if let Some(tools) = tools {
        let known = spec.env.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.clone());
        let path = known.unwrap_or_else(|| "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned());
        // Behind the image's own: what it has is what failed.
        set(&mut spec.env, "PATH", format!("{path}:{}", tools::FOLDER));
        spec.mounts.extend(tools.mounts());
    }
}

/// The command in one line.
fn shown(args: &[String]) -> String {
    let line = args.join(" ").replace('\n', " ");
    let short: String = line.chars().take(60).collect();
    style::harmless(&if short.len() < line.len() { format!("{short}…") } else { short })
}

/// A shell that the image has, searched in its layers, the top one first.
fn own_shell(layout: &Layout, failed: &Failed) -> Option<String> {
    let is_there = |path: &str| failed.layers.iter().any(|id| layout.tree(id).join(path).symlink_metadata().is_ok());
    SHELLS.iter().find(|path| is_there(path)).map(|path| format!("/{path}"))
}

/// Opens a shell in what a build left, by the build's id.
pub(crate) fn open_build(store: &Store, sandbox: &Sandbox, build: &str) -> Result<u8> {
    match Failed::of(store, build)? {
        Some(failed) => open(store, sandbox, &failed),
        None => {
            let folder = record::folder(store.layout(), build);
            let why = if folder.exists() { "none of its steps failed with an exit code" } else { "its record is gone" };
            Err(Error::failed(format!("build {build} left no file system: {why}")))
        }
    }
}
