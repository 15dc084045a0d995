//! apt: `AptListsLeft`, `AptUpdateAlone`, `AptRecommends`, `AptAsks`.

use super::File;
use super::shell::Command;
use crate::diagnostic::{Diagnostic, Findings};

/// Its names.
const APT: [&str; 2] = ["apt-get", "apt"];

/// Where the lists are.
const LISTS: &str = "/var/lib/apt";

/// `update` without taking the lists away again leaves them in the layer.
pub(super) fn lists_left(file: &File<'_>, findings: &mut Findings) {
    for run in file.runs() {
        let Some(at) = run.commands.iter().position(|command| command.is(&APT, "update")) else { continue };
        let removed = run.commands[at..]
            .iter()
            .any(|command| command.program() == "rm" && command.arguments().iter().any(|word| word.starts_with(LISTS)));
        if !removed && !run.mounts_over(LISTS) {
            let warning = Diagnostic::warning(
                "AptListsLeft",
                "the package lists that `apt-get update` fetched stay in the layer",
            );
            findings.push(warning.at(run.place.span).help(
                "end the RUN with `&& rm -rf /var/lib/apt/lists/*`, or mount a cache: `--mount=type=cache,target=/var/lib/apt`",
            ));
        }
    }
}

/// `update` in a RUN of its own is cached, and a later `install` reads lists that are old.
pub(super) fn update_alone(file: &File<'_>, findings: &mut Findings) {
    for run in file.runs() {
        let updates = run.commands.iter().any(|command| command.is(&APT, "update"));
        let uses = |command: &Command| {
            ["install", "upgrade", "dist-upgrade", "full-upgrade", "build-dep", "source", "download"]
                .iter()
                .any(|verb| command.is(&APT, verb))
        };
        if updates && !run.commands.iter().any(uses) && run.commands.len() < MANY {
            let warning = Diagnostic::warning(
                "AptUpdateAlone",
                "`apt-get update` stands alone: it is cached, and what installs later reads old lists",
            );
            findings.push(warning.at(run.place.span).help("write `apt-get update && apt-get install …` in one RUN"));
        }
    }
}

/// A RUN of so many commands does something with the lists that is not seen here: a script, a loop.
const MANY: usize = 6;

/// `install` brings recommended packages along.
pub(super) fn recommends(file: &File<'_>, findings: &mut Findings) {
    for run in file.runs() {
        let says = |command: &Command| {
            command.arguments().iter().any(|word| {
                let word = word.trim_start_matches("APT::Install-Recommends");
                word == "--no-install-recommends" || word == "--install-recommends" || word.starts_with("=")
            })
        };
        if run.commands.iter().any(|command| command.is(&APT, "install") && !says(command)) {
            let warning = Diagnostic::warning("AptRecommends", "`apt-get install` brings recommended packages along");
            findings.push(warning.at(run.place.span).help("add `--no-install-recommends`, and name what is needed"));
        }
    }
}

/// `install` without `-y` asks a question that nobody answers.
pub(super) fn asks(file: &File<'_>, findings: &mut Findings) {
    let is_yes = |word: &String| {
        word == "--yes"
            || word == "--assume-yes"
            || word == "--force-yes"
            || word.starts_with("-q")
            || (word.starts_with('-') && !word.starts_with("--") && word.contains('y'))
    };
    for run in file.runs() {
        let piped_yes = run.commands.iter().any(|command| command.program() == "yes");
        let silent = run.commands.iter().any(|command| {
            command.is(&APT, "install")
                && !command.arguments().iter().any(is_yes)
                && !command.has(&["--simulate", "--download-only"])
        });
        if silent && !piped_yes {
            let warning = Diagnostic::warning(
                "AptAsks",
                "`apt-get install` asks whether to go on, and nobody answers in a build",
            );
            findings.push(warning.at(run.place.span).help("add `-y`"));
        }
    }
}
