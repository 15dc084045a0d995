//! `CopyBeforeInstall`: an order in which every change of the sources installs all dependencies again.

use super::File;
use super::shell::Command;
use crate::diagnostic::{Diagnostic, Findings};
use crate::instruction::Instruction;
use crate::syntax::Statement;

/// Programs that install what a list names, and the argument with which they do.
const INSTALLERS: [(&[&str], &[&str]); 12] = [
    (&["npm", "pnpm"], &["ci", "install", "i"]),
    (&["yarn"], &["install"]),
    (&["pip", "pip3"], &["-r", "--requirement"]),
    (&["poetry", "pdm", "composer"], &["install"]),
    (&["uv"], &["sync"]),
    (&["bundle"], &["install"]),
    (&["go"], &["download"]),
    (&["cargo"], &["fetch", "chef"]),
    (&["mvn", "mvnw"], &["dependency:go-offline", "dependency:resolve"]),
    (&["dotnet"], &["restore"]),
    (&["mix"], &["deps.get"]),
    (&["gem"], &["install"]),
];

/// Warns at the COPY of everything that an installer comes after.
pub(super) fn check(file: &File<'_>, findings: &mut Findings) {
    for (number, stage) in file.dockerfile.stages.iter().enumerate() {
        let Some(everything) = stage.body.iter().find(|statement| copies_everything(statement)) else { continue };
        let later = file
            .runs()
            .filter(|run| run.stage == number && run.place.lines.0 > everything.place.lines.1)
            .flat_map(|run| &run.commands)
            .find(|command| installs(command));
        if let Some(command) = later {
            let message =
                format!("everything is copied before `{}` runs: any change of a file runs it again", command.program());
            findings.push(
                Diagnostic::warning("CopyBeforeInstall", message)
                    .at(everything.place.span)
                    .help("copy the list of dependencies first and install, then copy the rest"),
            );
        }
    }
}

fn copies_everything(statement: &Statement) -> bool {
    let Instruction::Copy(copy) = &statement.instruction else { return false };
    copy.from.is_none()
        && copy.transfer.sources.iter().any(|word| matches!(word.text.as_str(), "." | "./" | "/" | "*" | "./*"))
}

fn installs(command: &Command) -> bool {
    let known =
        |(programs, arguments): &(&[&str], &[&str])| programs.contains(&command.program()) && command.has(arguments);
    INSTALLERS.iter().any(known)
}
