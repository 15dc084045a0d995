//! Bytes that an image carries for nothing: `RemovedLater`, `OwnerChangedLater`.

use super::File;
use super::shell::Command;
use crate::diagnostic::{Diagnostic, Findings};
use crate::instruction::Instruction;
use crate::instruction::transfer::Transfer;
use crate::source::Span;
use crate::syntax::Stage;

/// Programs that write what a later RUN may remove, and the option before the name.
const WRITERS: [(&str, &[&str]); 2] = [("curl", &["-o", "--output"]), ("wget", &["-O", "--output-document"])];

/// A file that one layer brings and a later RUN removes is still in the image.
pub(super) fn removed_later(file: &File<'_>, findings: &mut Findings) {
    for run in file.runs() {
        let stage = &file.dockerfile.stages[run.stage];
        let brought = brought_before(file, stage, run.stage, run.place.span);
        for command in run.commands.iter().filter(|command| command.program() == "rm") {
            let Some(path) = targets(command).find(|path| brought.iter().any(|known| known == path)) else { continue };
            let message = format!("`{path}` is removed, but an earlier layer has it: the image is no smaller");
            findings.push(Diagnostic::warning("RemovedLater", message).at(run.place.span).help(
                "fetch, use and remove it in one RUN, bind it for the RUN alone (`--mount=type=bind`), or leave it in another stage",
            ));
        }
    }
}

/// `chown -R` or `chmod -R` of what was copied stores all of it a second time.
pub(super) fn owner_changed(file: &File<'_>, findings: &mut Findings) {
    for run in file.runs() {
        let stage = &file.dockerfile.stages[run.stage];
        let copied: Vec<String> = copies(stage, run.place.span).map(|transfer| folder(&transfer.dest.text)).collect();
        for command in &run.commands {
            let recursive = command.has(&["-R", "--recursive", "-Rf", "-fR", "-Rv", "-vR"]);
            if !recursive || !matches!(command.program(), "chown" | "chmod" | "chgrp") {
                continue;
            }
            let Some(path) = targets(command).skip(1).find(|path| copied.iter().any(|known| covers(path, known)))
            else {
                continue;
            };
            let flag = if command.program() == "chmod" { "--chmod" } else { "--chown" };
            let message = format!("`{} -R` stores all that was copied to `{path}` a second time", command.program());
            let warning = Diagnostic::warning("OwnerChangedLater", message).at(run.place.span);
            findings.push(warning.help(format!("say it where the files come in: `COPY {flag}=…`")));
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

/// The COPYs and ADDs of a stage before a place.
fn copies(stage: &Stage, before: Span) -> impl Iterator<Item = &Transfer> {
    let earlier = stage.body.iter().take_while(move |statement| statement.place.span.start < before.start);
    earlier.filter_map(|statement| match &statement.instruction {
        Instruction::Copy(copy) => Some(&copy.transfer),
        Instruction::Add(add) => Some(&add.transfer),
        _ => None,
    })
}

/// Paths that COPY, ADD, curl and wget of a stage made before a place.
fn brought_before(file: &File<'_>, stage: &Stage, number: usize, before: Span) -> Vec<String> {
    let mut brought = Vec::new();
    for transfer in copies(stage, before) {
        let dest = &transfer.dest.text;
        if !dest.ends_with('/') && dest != "." {
            brought.push(folder(dest));
            continue;
        }
        for name in
            transfer.sources.iter().filter_map(|word| word.text.rsplit('/').next()).filter(|name| !name.is_empty())
        {
            brought.push(format!("{}/{name}", dest.trim_end_matches('/')));
        }
    }
    for run in file.runs().filter(|run| run.stage == number && run.place.span.start < before.start) {
        for (program, options) in WRITERS {
            for command in run.commands.iter().filter(|command| command.program() == program) {
                let named = command.arguments().windows(2).filter(|pair| options.contains(&pair[0].as_str()));
                brought.extend(named.map(|pair| folder(&pair[1])));
            }
        }
    }
    brought.retain(|path| path.starts_with('/') && path.len() > 1);
    brought
}
