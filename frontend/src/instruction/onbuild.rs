//! `ONBUILD instruction`: runs in builds that start from this image.

use super::{Instruction, Request, Spec, find};
use crate::diagnostic::Diagnostic;
use crate::flag::Flags;
use crate::lower::StageBuild;
use crate::syntax::split_keyword;

pub(super) const SPEC: Spec = Spec { name: "ONBUILD", flags: &[], heredocs: false, trigger: false, parse };

/// Leaves a trigger in the image.
#[derive(Clone, Debug)]
pub struct Onbuild {
    /// The instruction as the image keeps it, heredocs included.
    pub trigger: String,
    /// The instruction.
    pub instruction: Box<Instruction>,
}

fn parse(request: &mut Request<'_>) -> Option<Instruction> {
    request.at_least_one()?;
    let start = request.args.start;
    let (end, rest) = split_keyword(&request.logical.text, start);
    let word = &request.logical.text[start..end];
    let span = request.logical.span_of(start..end);
    let Some(spec) = find(word) else {
        let error = Diagnostic::error("UnknownInstruction", format!("unknown instruction `{word}`")).at(span);
        request.findings.push(error.suggest(word, super::TABLE.iter().map(|spec| spec.name)));
        return None;
    };
    if spec.name == SPEC.name {
        return request.fail_at(span, "ONBUILD ONBUILD is not allowed");
    }
    if !spec.trigger {
        return request.fail_at(span, format!("{} is not allowed as an ONBUILD trigger", spec.name));
    }
    let mut trigger = request.text().to_owned();
    for heredoc in &request.heredocs {
        trigger.extend(["\n", &heredoc.content, &heredoc.name]);
    }
    let (mut flags, args) = Flags::split(request.logical, rest);
    flags.check(spec.name, spec.flags, request.findings);
    let mut inner = Request {
        spec,
        logical: request.logical,
        keyword: start..end,
        args: args.min(request.args.end)..request.args.end,
        flags,
        heredocs: std::mem::take(&mut request.heredocs),
        escape: request.escape,
        findings: request.findings,
    };
    let instruction = Box::new((spec.parse)(&mut inner)?);
    Some(Instruction::Onbuild(Onbuild { trigger, instruction }))
}

impl Onbuild {
    pub(super) fn lower(&self, stage: &mut StageBuild<'_>) {
        // No history entry: BuildKit writes none either.
        stage.spend(self.trigger.len());
        stage.state.config.config.on_build.push(self.trigger.clone());
    }
}
