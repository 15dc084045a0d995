//! `ARG NAME[=default] …`: what `--build-arg` may set.
//!
//! Before the first FROM it is global: FROM alone sees it, and a stage that
//! declares it again without a default.

use super::{Instruction, Request, Spec};
use crate::lint;
use crate::lower::StageBuild;
use crate::word::Word;

pub(super) const SPEC: Spec = Spec { name: "ARG", flags: &[], heredocs: false, trigger: true, parse };

/// Declares build arguments.
#[derive(Clone, Debug)]
pub struct Arg {
    /// What is declared.
    pub args: Vec<Declaration>,
}

/// One build argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// Its name; it does not expand.
    pub name: Word,
    /// Its default.
    pub default: Option<Word>,
}

fn parse(request: &mut Request<'_>) -> Option<Instruction> {
    request.at_least_one()?;
    let mut args = Vec::new();
    for word in request.quoted_words() {
        let (name, default) = match word.text.split_once('=') {
            Some((name, value)) => (name, Some(Word { text: value.to_owned(), span: word.span })),
            None => (word.text.as_str(), None),
        };
        if name.is_empty() {
            return request.fail_at(word.span, "ARG names cannot be blank");
        }
        let name = Word { text: name.to_owned(), span: word.span };
        lint::secret_name("ARG", &name, request.findings);
        args.push(Declaration { name, default });
    }
    Some(Instruction::Arg(Arg { args }))
}

impl Arg {
    pub(super) fn lower(&self, stage: &mut StageBuild<'_>) {
        let mut shown = String::from("ARG");
        for declaration in &self.args {
            let name = &declaration.name.text;
            let Some(value) = value_of(declaration, stage) else { return };
            if let Some(value) = &value {
                stage.state.env.set(name, value);
            }
            shown.extend([" ", name]);
            if let Some(value) = &value {
                shown.extend(["=", value]);
            }
            stage.declare(name, value);
        }
        stage.history(shown, false);
    }
}

/// What `--build-arg` says, or else the default, or else the global value; the
/// outer `None` is an error that is already reported.
fn value_of(declaration: &Declaration, stage: &mut StageBuild<'_>) -> Option<Option<String>> {
    let name = &declaration.name.text;
    if let Some(value) = stage.shared.options.build_args.get(name) {
        return Some(Some(value.clone()));
    }
    match &declaration.default {
        Some(default) => stage.expand(default).map(Some),
        None => Some(stage.shared.globals.get(name).map(str::to_owned)),
    }
}
