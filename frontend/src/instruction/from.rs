//! `FROM [--platform=P] image|stage|scratch [AS name]`.

use super::{Instruction, Request, Spec};
use crate::diagnostic::Diagnostic;
use crate::flag::{FlagKind, FlagSpec};
use crate::word::Word;

pub(super) const SPEC: Spec =
    Spec { name: "FROM", flags: &[FlagSpec::new("platform", FlagKind::Text)], heredocs: false, trigger: false, parse };

/// Begins a stage. [`crate::Plan`] resolves it; it lowers to nothing itself.
#[derive(Clone, Debug)]
pub struct From {
    /// What the stage starts from; only global ARGs expand in it.
    pub base: Word,
    /// The stage's name, in lower case.
    pub name: Option<Word>,
    /// The platform of the base.
    pub platform: Option<Word>,
    /// The `AS`, as written.
    pub keyword: Option<Word>,
}

fn parse(request: &mut Request<'_>) -> Option<Instruction> {
    let words = request.blank_separated();
    let platform = request.flags.text("platform");
    let from = match words.as_slice() {
        [base] => From { base: base.clone(), name: None, platform, keyword: None },
        [base, keyword, name] if keyword.text.eq_ignore_ascii_case("as") => {
            let lower = name.text.to_lowercase();
            if !is_name(&lower) {
                let error = Diagnostic::error("InvalidStageName", format!("`{}` cannot name a stage", name.text));
                let help = "a name starts with a letter, and goes on with letters, digits, `-`, `_` and `.`";
                request.findings.push(error.at(name.span).help(help));
                return None;
            }
            if lower != name.text {
                let message = format!("stage name `{}` should be lower case", name.text);
                request.findings.push(
                    Diagnostic::warning("StageNameCasing", message).at(name.span).fix(name.span, &name.text, &lower),
                );
            }
            if matches!(lower.as_str(), "scratch" | "context") {
                let message = format!("stage name `{lower}` is reserved");
                request.findings.push(Diagnostic::warning("ReservedStageName", message).at(name.span));
            }
            let name = Word { text: lower, span: name.span };
            From { base: base.clone(), name: Some(name), platform, keyword: Some(keyword.clone()) }
        }
        _ => return request.fail("FROM requires one argument, or three: FROM image AS name"),
    };
    Some(Instruction::From(from))
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b))
}
