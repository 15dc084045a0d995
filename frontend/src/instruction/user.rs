//! `USER user[:group]`: names or numbers; names resolve when something runs.

use super::{Instruction, Request, Spec};
use crate::lower::StageBuild;
use crate::word::Word;

pub(super) const SPEC: Spec = Spec { name: "USER", flags: &[], heredocs: false, trigger: true, parse };

/// Sets the user of later instructions and of containers.
#[derive(Clone, Debug)]
pub struct User {
    /// The user.
    pub user: Word,
}

fn parse(request: &mut Request<'_>) -> Option<Instruction> {
    request.one().map(|user| Instruction::User(User { user }))
}

impl User {
    pub(super) fn lower(&self, stage: &mut StageBuild<'_>) {
        let Some(user) = stage.expand(&self.user) else { return };
        stage.history(format!("USER {user}"), false);
        stage.state.config.config.user = user;
    }
}
