//! Habits of interactive shells that a build does not share: `LostShellState`, `PipeHidesFailure`, `CredentialInUrl`.

use super::File;
use super::shell::Command;
use crate::diagnostic::{Diagnostic, Findings};
use crate::instruction::Instruction;

/// `cd` or `export` at the end of a RUN is forgotten with it.
pub(super) fn lost_state(file: &File<'_>, findings: &mut Findings) {
    for run in file.runs() {
        let [command] = run.commands.as_slice() else { continue };
        let instead = match command.program() {
            "cd" => "WORKDIR",
            "export" => "ENV",
            "alias" | "source" | "." => "the RUN that needs it",
            _ => continue,
        };
        let message = format!("each RUN has a shell of its own: this `{}` is forgotten at once", command.program());
        findings.push(
            Diagnostic::warning("LostShellState", message).at(run.place.span).help(format!("put it into {instead}")),
        );
    }
}

/// Programs that fetch.
const FETCHERS: [&str; 3] = ["curl", "wget", "fetch"];

/// `curl … | sh`: the pipe ends as its last program does, whatever became of the first.
pub(super) fn hidden_failure(file: &File<'_>, findings: &mut Findings) {
    for run in file.runs() {
        let hides = |command: &&Command| command.piped && FETCHERS.contains(&command.program());
        let Some(command) = run.commands.iter().find(hides) else { continue };
        let sets = |command: &Command| command.program() == "set" && command.has(&["pipefail"]);
        let shell = || file.shell_before(run.stage, run.place);
        if run.commands.iter().any(sets)
            || shell().is_some_and(|words| words.iter().any(|word| word.contains("pipefail")))
        {
            continue;
        }
        let message =
            format!("where `{}` fails, the pipe goes on with what came, and the RUN succeeds", command.program());
        let warning = Diagnostic::warning("PipeHidesFailure", message).at(run.place.span);
        findings.push(warning.help("write to a file first, or `SHELL [\"/bin/bash\", \"-o\", \"pipefail\", \"-c\"]`"));
    }
}

/// `https://user:password@host` stays in the image's history.
pub(super) fn credential_in_url(file: &File<'_>, findings: &mut Findings) {
    for statement in file.statements().filter(|statement| !matches!(statement.instruction, Instruction::Onbuild(_))) {
        if has_credential(&statement.place.text) {
            let warning =
                Diagnostic::warning("CredentialInUrl", "a URL with a password in it stays in the image's history");
            findings.push(warning.at(statement.place.span).help("mount it: `RUN --mount=type=secret,id=…`"));
        }
    }
}

fn has_credential(text: &str) -> bool {
    text.split("://").skip(1).any(|rest| {
        let authority = rest.split(['/', ' ', '"', '\'', '?', '#']).next().unwrap_or_default();
        let Some((user, _)) = authority.rsplit_once('@') else { return false };
        user.split_once(':').is_some_and(|(_, password)| !password.is_empty() && !password.contains('$'))
    })
}
