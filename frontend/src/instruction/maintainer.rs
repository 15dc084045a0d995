//! `MAINTAINER name`: deprecated; a label does it.

use super::{Instruction, Request, Spec};
use crate::diagnostic::Diagnostic;
use crate::lower::StageBuild;
use crate::word::Word;

pub(super) const SPEC: Spec = Spec { name: "MAINTAINER", flags: &[], heredocs: false, trigger: false, parse };

/// Sets the author of the image. It does not expand.
#[derive(Clone, Debug)]
pub struct Maintainer {
    /// The author.
    pub name: Word,
}

fn parse(request: &mut Request<'_>) -> Option<Instruction> {
    let name = request.one()?;
    let warning = Diagnostic::warning("MaintainerDeprecated", "MAINTAINER is deprecated").at(request.span());
    let help = format!("LABEL org.opencontainers.image.authors=\"{}\"", name.text);
    request.findings.push(warning.help(help));
    Some(Instruction::Maintainer(Maintainer { name }))
}

impl Maintainer {
    pub(super) fn lower(&self, stage: &mut StageBuild<'_>) {
        stage.state.config.author.clone_from(&self.name.text);
        stage.history(format!("MAINTAINER {}", self.name.text), false);
    }
}
