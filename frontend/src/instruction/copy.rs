//! `COPY [flags] source … dest`, `COPY [flags] ["source", "dest"]`, with
//! `--from --chown --chmod --link --exclude --parents`; heredocs are sources.

use graph::Unpack;

use super::transfer::{self, Origin, Transfer, pattern};
use super::{Instruction, Request, Spec};
use crate::flag::{FlagKind, FlagSpec};
use crate::git_url::GitUrl;
use crate::lower::StageBuild;
use crate::word::Word;

pub(super) const SPEC: Spec = Spec {
    name: "COPY",
    flags: &[
        FlagSpec::new("from", FlagKind::Text),
        FlagSpec::new("chown", FlagKind::Text),
        FlagSpec::new("chmod", FlagKind::Text),
        FlagSpec::new("link", FlagKind::Boolean),
        FlagSpec::new("exclude", FlagKind::Repeated),
        FlagSpec::new("parents", FlagKind::Boolean),
    ],
    heredocs: true,
    trigger: true,
    parse,
};

/// Copies files from the context, a stage or an image.
#[derive(Clone, Debug)]
pub struct Copy {
    /// What is copied where.
    pub transfer: Transfer,
    /// A stage, its number, a named context or an image; the context where absent.
    pub from: Option<Word>,
    /// Whether the sources' parent directories are kept.
    pub parents: bool,
}

fn parse(request: &mut Request<'_>) -> Option<Instruction> {
    let transfer = transfer::parse(request)?;
    let from = request.flags.text("from").filter(|from| !from.text.is_empty());
    let parents = request.flags.boolean("parents").unwrap_or(false);
    Some(Instruction::Copy(Copy { transfer, from, parents }))
}

impl Copy {
    pub(super) fn lower(&self, stage: &mut StageBuild<'_>) {
        let tree = match &self.from {
            Some(from) => stage.origin(from),
            None => Some(stage.context()),
        };
        let Some(tree) = tree else { return };
        let parents = self.parents;
        let mut read = |stage: &mut StageBuild<'_>, word: &Word, source: &str| {
            if source.starts_with("http://") || source.starts_with("https://") {
                stage.fail(word.span, "COPY takes no URL; ADD does");
                return None;
            }
            if GitUrl::parse(source).is_some() {
                stage.fail(word.span, "COPY takes no git repository; ADD does");
                return None;
            }
            Some(Origin::Pattern(pattern(source, parents)))
        };
        let plan = transfer::Plan { keyword: "COPY", tree, parents, unpack: Unpack::Never, read: &mut read };
        self.transfer.lower(stage, plan);
    }
}
