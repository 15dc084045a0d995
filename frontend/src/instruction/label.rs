//! `LABEL name=value …`, or the legacy `LABEL name value`.

use super::{Instruction, Request, Spec, pair};
use crate::instruction::pair::Pair;
use crate::lower::StageBuild;

pub(super) const SPEC: Spec = Spec { name: "LABEL", flags: &[], heredocs: false, trigger: true, parse };

/// Labels the image.
#[derive(Clone, Debug)]
pub struct Label {
    /// The labels.
    pub pairs: Vec<Pair>,
}

fn parse(request: &mut Request<'_>) -> Option<Instruction> {
    pair::parse(request).map(|pairs| Instruction::Label(Label { pairs }))
}

impl Label {
    pub(super) fn lower(&self, stage: &mut StageBuild<'_>) {
        let Some(pairs) = pair::expand(&self.pairs, stage) else { return };
        let shown = pair::shown("LABEL", &pairs);
        stage.state.config.config.labels.extend(pairs);
        stage.history(shown, false);
    }
}
