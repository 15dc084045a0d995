//! `SHELL ["program", "argument"]`.

use super::command_line::Json;
use super::{Instruction, Request, Spec};
use crate::go_text::plain_list;
use crate::lower::StageBuild;

pub(super) const SPEC: Spec = Spec { name: "SHELL", flags: &[], heredocs: false, trigger: true, parse };

/// Sets the shell of RUN, CMD and ENTRYPOINT in shell form.
#[derive(Clone, Debug)]
pub struct Shell {
    /// The program and its arguments.
    pub words: Vec<String>,
}

fn parse(request: &mut Request<'_>) -> Option<Instruction> {
    request.at_least_one()?;
    match Json::read(request.text()) {
        Json::Strings(words) if words.is_empty() => request.fail("SHELL requires at least one argument"),
        Json::Strings(words) => Some(Instruction::Shell(Shell { words })),
        Json::Mixed | Json::No => request.fail("SHELL takes a JSON array of strings, such as [\"/bin/bash\", \"-c\"]"),
    }
}

impl Shell {
    pub(super) fn lower(&self, stage: &mut StageBuild<'_>) {
        stage.state.config.config.shell = Some(self.words.clone());
        stage.history(format!("SHELL {}", plain_list(&self.words)), false);
    }
}
