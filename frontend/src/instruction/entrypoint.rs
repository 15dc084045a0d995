//! `ENTRYPOINT command`, `ENTRYPOINT ["program", "argument"]`.

use super::command_line::CommandLine;
use super::{Instruction, Request, Spec};
use crate::go_text::quoted_list;
use crate::lower::{Once, StageBuild};

pub(super) const SPEC: Spec = Spec { name: "ENTRYPOINT", flags: &[], heredocs: false, trigger: true, parse };

/// Sets the program that containers run. It clears an inherited CMD, but not
/// one that the same stage has set.
#[derive(Clone, Debug)]
pub struct Entrypoint {
    /// The command.
    pub command: CommandLine,
}

fn parse(request: &mut Request<'_>) -> Option<Instruction> {
    request.at_least_one()?;
    CommandLine::parse(request).map(|command| Instruction::Entrypoint(Entrypoint { command }))
}

impl Entrypoint {
    pub(super) fn lower(&self, stage: &mut StageBuild<'_>) {
        stage.only_once(Once::Entrypoint);
        stage.warn_about_shell_form("ENTRYPOINT", &self.command);
        let words = self.command.words(stage);
        let shown = format!("ENTRYPOINT {}", quoted_list(&words));
        let keeps_cmd = stage.has_set(Once::Cmd);
        let config = &mut stage.state.config.config;
        config.entrypoint = (!words.is_empty()).then_some(words);
        if !keeps_cmd {
            config.cmd = None;
        }
        stage.history(shown, false);
    }
}
