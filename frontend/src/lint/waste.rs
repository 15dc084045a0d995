//! Bytes that an image carries for nothing: `RemovedLater`, `OwnerChangedLater`.

use std::collections::HashSet;

use super::shell::Command;
use super::{File, Seen};
use crate::diagnostic::{Diagnostic, Findings};
use crate::instruction::Instruction;
use crate::instruction::transfer::Transfer;

/// Programs that write what a later RUN may remove, and the option before the name.
const WRITERS: [(&str, &[&str]); 2] = [("curl", &["-o", "--output"]), ("wget", &["-O", "--output-document"])];

/// What a stage has brought so far.
#[derive(Default)]
struct Brought {
    /// Files by name.
    files: HashSet<String>,
    /// Where COPY and ADD wrote to.
    copied: Vec<String>,
}

/// A file that one layer brings and a later RUN removes is still in the image.
pub(super) fn removed_later(file: &File<'_>, findings: &mut Findings) {
    walk(file, |run, brought| {
        for command in run.commands.iter().filter(|command| command.program() == "rm") {
            let Some(path) = targets(command).find(|path| brought.files.contains(path)) else { continue };
            let message = format!("`{path}` is removed, but an earlier layer has it: the image is no smaller");
            findings.push(Diagnostic::warning("RemovedLater", message).at(run.place.span).help(
                "fetch, use and remove it in one RUN, bind it for the RUN alone (`--mount=type=bind`), or leave it in another stage",
            ));
        }
    });
}

/// `chown -R` or `chmod -R` of what was copied stores all of it a second time.
pub(super) fn owner_changed(file: &File<'_>, findings: &mut Findings) {
    walk(file, |run, brought| {
        for command in &run.commands {
            let recursive = command.has(&["-R", "--recursive", "-Rf", "-fR", "-Rv", "-vR"]);
            if !recursive || !matches!(command.program(), "chown" | "chmod" | "chgrp") {
                continue;
            }
            let covered = |path: &String| brought.copied.iter().any(|known| covers(path, known));
            let Some(path) = targets(command).skip(1).find(covered) else { continue };
            let flag = if command.program() == "chmod" { "--chmod" } else { "--chown" };
            let message = format!("`{} -R` stores all that was copied to `{path}` a second time", command.program());
            let warning = Diagnostic::warning("OwnerChangedLater", message).at(run.place.span);
            findings.push(warning.help(format!("say it where the files come in: `COPY {flag}=…`")));
        }
    });
}

/// Shows each RUN with what its stage brought before it: one pass over the file.
fn walk(file: &File<'_>, mut visit: impl FnMut(&Seen<'_>, &Brought)) {
    let mut runs = file.runs();
    for stage in &file.dockerfile.stages {
        let mut brought = Brought::default();
        for statement in &stage.body {
            match &statement.instruction {
                Instruction::Copy(copy) => brought.add(&copy.transfer),
                Instruction::Add(add) => brought.add(&add.transfer),
                // The RUNs of a file are in its order.
                Instruction::Run(_) => {
                    if let Some(run) = runs.next() {
                        visit(run, &brought);
                        brought.add_written(run);
                    }
                }
                _ => {}
            }
        }
    }
}

impl Brought {
    fn add(&mut self, transfer: &Transfer) {
        let dest = &transfer.dest.text;
        self.copied.push(folder(dest));
        if !dest.ends_with('/') && dest != "." {
            self.add_file(folder(dest));
            return;
        }
        for name in transfer.sources.iter().filter_map(|word| word.text.rsplit('/').next()) {
            if !name.is_empty() {
                self.add_file(format!("{}/{name}", dest.trim_end_matches('/')));
            }
        }
    }

    /// What curl and wget wrote.
    fn add_written(&mut self, run: &Seen<'_>) {
        for (program, options) in WRITERS {
            for command in run.commands.iter().filter(|command| command.program() == program) {
                let named = command.arguments().windows(2).filter(|pair| options.contains(&pair[0].as_str()));
                named.for_each(|pair| self.add_file(folder(&pair[1])));
            }
        }
    }

    fn add_file(&mut self, path: String) {
        if path.starts_with('/') && path.len() > 1 {
            self.files.insert(path);
        }
    }
}

/// The arguments that are no options, as paths without a slash at the end.
fn targets(command: &Command) -> impl Iterator<Item = String> {
    command.arguments().iter().filter(|word| !word.starts_with('-')).map(|word| folder(word))
}

fn folder(path: &str) -> String {
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() { "/".to_owned() } else { trimmed.to_owned() }
}

/// Whether a path is another or above it.
fn covers(path: &str, other: &str) -> bool {
    path == other || other.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'))
}
