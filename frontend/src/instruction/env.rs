//! `ENV NAME=value …`, or the legacy `ENV NAME value`.

use super::{Instruction, Request, Spec, pair};
use crate::instruction::pair::Pair;
use crate::lint;
use crate::lower::StageBuild;

pub(super) const SPEC: Spec = Spec { name: "ENV", flags: &[], heredocs: false, trigger: true, parse };

/// Sets variables for the build and for containers.
#[derive(Clone, Debug)]
pub struct Env {
    /// What is set.
    pub pairs: Vec<Pair>,
}

fn parse(request: &mut Request<'_>) -> Option<Instruction> {
    let pairs = pair::parse(request)?;
    for pair in &pairs {
        lint::secret_name("ENV", &pair.name, request.findings);
    }
    Some(Instruction::Env(Env { pairs }))
}

impl Env {
    pub(super) fn lower(&self, stage: &mut StageBuild<'_>) {
        // All values expand against the environment before the instruction.
        let Some(pairs) = pair::expand(&self.pairs, stage) else { return };
        for (name, value) in &pairs {
            stage.state.env.set(name, value);
            stage.state.env_index.set(&mut stage.state.config.config.env, name, value);
        }
        stage.history(pair::shown("ENV", &pairs), false);
    }
}
