//! `PackageCacheLeft`: what package managers keep for later stays in the layer.

use super::File;
use super::shell::Command;
use crate::diagnostic::{Diagnostic, Findings};

/// A package manager, what it leaves, and how not to.
struct Manager {
    programs: &'static [&'static str],
    verb: &'static str,
    /// Arguments with which it leaves nothing.
    clean: &'static [&'static str],
    /// Where it keeps things: a mount there, or an `rm` of it, is as good.
    places: &'static [&'static str],
    help: &'static str,
}

const MANAGERS: [Manager; 5] = [
    Manager {
        programs: &["pip", "pip3"],
        verb: "install",
        clean: &["--no-cache-dir", "--no-cache"],
        places: &["/root/.cache", "~/.cache", "$HOME/.cache"],
        help: "add `--no-cache-dir`, or mount a cache: `--mount=type=cache,target=/root/.cache/pip`",
    },
    Manager {
        programs: &["apk"],
        verb: "add",
        clean: &["--no-cache"],
        places: &["/var/cache/apk", "/etc/apk/cache"],
        help: "add `--no-cache`",
    },
    Manager {
        programs: &["dnf", "yum", "microdnf", "tdnf"],
        verb: "install",
        clean: &[],
        places: &["/var/cache/dnf", "/var/cache/yum", "/var/cache/libdnf5", "/var/cache"],
        help: "end the RUN with `&& dnf clean all`, or mount a cache: `--mount=type=cache,target=/var/cache/dnf`",
    },
    Manager {
        programs: &["zypper"],
        verb: "install",
        clean: &[],
        places: &["/var/cache/zypp", "/var/cache"],
        help: "end the RUN with `&& zypper clean --all`",
    },
    Manager {
        programs: &["conda", "mamba", "micromamba"],
        verb: "install",
        clean: &[],
        places: &["/opt/conda/pkgs"],
        help: "end the RUN with `&& conda clean -afy`",
    },
];

/// Warns once for each RUN and manager.
pub(super) fn check(file: &File<'_>, findings: &mut Findings) {
    for run in file.runs() {
        for manager in &MANAGERS {
            let installs =
                |command: &&Command| command.is(manager.programs, manager.verb) && !command.has(manager.clean);
            let Some(command) = run.commands.iter().find(installs) else { continue };
            let cleans = run.commands.iter().any(|command| {
                command.is(manager.programs, "clean")
                    || (command.is(manager.programs, "cache") && command.has(&["purge", "clean"]))
                    || (command.program() == "rm"
                        && command
                            .arguments()
                            .iter()
                            .any(|word| manager.places.iter().any(|place| word.starts_with(place))))
            });
            let switched_off = manager.verb == "install"
                && file.environment_has(run.stage, "PIP_NO_CACHE_DIR")
                && manager.programs[0] == "pip";
            if cleans || switched_off || manager.places.iter().any(|place| run.mounts_over(place)) {
                continue;
            }
            let message = format!("what `{} {}` keeps for later stays in the layer", command.program(), manager.verb);
            findings.push(Diagnostic::warning("PackageCacheLeft", message).at(run.place.span).help(manager.help));
        }
    }
}
