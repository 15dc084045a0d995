//! `WORKDIR path`: relative paths chain; the directory is made.

use graph::{FileAction, FileOp, Op};

use super::transfer::read_owner;
use super::{Instruction, Request, Spec};
use crate::diagnostic::Diagnostic;
use crate::lower::{StageBuild, absolute};
use crate::word::Word;

pub(super) const SPEC: Spec = Spec { name: "WORKDIR", flags: &[], heredocs: false, trigger: true, parse };

/// Sets the working directory of later instructions and of containers.
#[derive(Clone, Debug)]
pub struct Workdir {
    /// The path.
    pub path: Word,
}

fn parse(request: &mut Request<'_>) -> Option<Instruction> {
    request.one().map(|path| Instruction::Workdir(Workdir { path }))
}

impl Workdir {
    pub(super) fn lower(&self, stage: &mut StageBuild<'_>) {
        let Some(path) = stage.expand(&self.path) else { return };
        if !stage.state.workdir_set && !path.starts_with('/') {
            let warning =
                Diagnostic::warning("WorkdirRelativePath", format!("`{path}` is relative to what the base image says"));
            stage.report(warning.at(self.path.span).help("begin it with `/`"));
        }
        stage.state.workdir_set = true;
        let written = path.starts_with('/').then(|| path.clone());
        let path = absolute(stage.workdir(), &path);
        // As BuildKit: an absolute path stands in the configuration as it was written.
        stage.state.config.config.working_dir = written.unwrap_or_else(|| path.clone());
        let makes_layer = path != "/";
        if makes_layer {
            // As the current user, as BuildKit does.
            let user = stage.state.config.config.user.clone();
            let owner = (!user.is_empty()).then(|| read_owner(&user)).and_then(Result::ok);
            let action = FileAction::MakeDir { path: path.clone(), mode: 0o755, owner, parents: true };
            let name = stage.vertex_name(false);
            let root = stage.state.root;
            stage.state.root = stage.add(Op::File(FileOp { actions: vec![action] }), vec![root], name);
        }
        stage.history(format!("WORKDIR {path}"), makes_layer);
    }
}
