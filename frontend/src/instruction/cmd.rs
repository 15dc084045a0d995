//! `CMD command`, `CMD ["program", "argument"]`: what containers run.

use super::command_line::CommandLine;
use super::{Instruction, Request, Spec};
use crate::go_text::quoted_list;
use crate::lower::{Once, StageBuild};

pub(super) const SPEC: Spec = Spec { name: "CMD", flags: &[], heredocs: false, trigger: true, parse };

/// Sets the default command, or the default arguments of ENTRYPOINT.
#[derive(Clone, Debug)]
pub struct Cmd {
    /// The command.
    pub command: CommandLine,
}

fn parse(request: &mut Request<'_>) -> Option<Instruction> {
    request.at_least_one()?;
    CommandLine::parse(request).map(|command| Instruction::Cmd(Cmd { command }))
}

impl Cmd {
    pub(super) fn lower(&self, stage: &mut StageBuild<'_>) {
        stage.only_once(Once::Cmd);
        stage.warn_about_shell_form("CMD", &self.command);
        let words = self.command.words(stage);
        let shown = format!("CMD {}", quoted_list(&words));
        let config = &mut stage.state.config.config;
        config.cmd = Some(words);
        config.args_escaped = true;
        stage.history(shown, false);
    }
}
