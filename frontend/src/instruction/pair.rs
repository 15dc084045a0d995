//! Pairs of ENV and LABEL: `K=V …`, or the legacy `K V`.

use super::{Request, is_blank};
use crate::diagnostic::Diagnostic;
use crate::lower::StageBuild;
use crate::word::Word;

/// A name and its value, both unexpanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The name.
    pub name: Word,
    /// The value.
    pub value: Word,
}

/// Reads the pairs of an instruction.
pub(crate) fn parse(request: &mut Request<'_>) -> Option<Vec<Pair>> {
    request.at_least_one()?;
    let words = request.quoted_words();
    if !words.first()?.text.contains('=') {
        return legacy(request).map(|pair| vec![pair]);
    }
    let mut pairs = Vec::with_capacity(words.len());
    for word in words {
        let Some((name, value)) = word.text.split_once('=') else {
            return request.fail_at(word.span, format!("no `=` in `{}`: pairs are written NAME=value", word.text));
        };
        if name.is_empty() {
            return request.fail_at(word.span, format!("{} names cannot be blank", request.spec.name));
        }
        let name = Word { text: name.to_owned(), span: word.span };
        pairs.push(Pair { name, value: Word { text: value.to_owned(), span: word.span } });
    }
    Some(pairs)
}

fn legacy(request: &mut Request<'_>) -> Option<Pair> {
    let text = request.text();
    let keyword = request.spec.name;
    let end = text.find(is_blank).unwrap_or(text.len());
    let value = text[end..].trim_start_matches(is_blank);
    if value.is_empty() {
        return request.fail(format!("{keyword} {text} has no value: write {keyword} NAME=value"));
    }
    let warning = Diagnostic::warning("LegacyKeyValueFormat", format!("`{keyword} name value` is the legacy form"))
        .at(request.span())
        .help(format!("write {keyword} {}=…", &text[..end]));
    let fixed = modern(value, request.escape).map(|modern| request.word(end..text.len(), modern));
    request.findings.push(match fixed {
        Some(word) => warning.fix(word.span, &text[end..], word.text),
        None => warning,
    });
    let start = text.len() - value.len();
    Some(Pair { name: request.word(0..end, &text[..end]), value: request.word(start..text.len(), value) })
}

/// `=value`, as the other form writes a value of the legacy one; `None` where quotes make that a question.
fn modern(value: &str, escape: char) -> Option<String> {
    let plain = !value.contains(['\'', '"', '`', '\\', escape]);
    match value.contains(char::is_whitespace) {
        _ if !plain => None,
        true => Some(format!("=\"{value}\"")),
        false => Some(format!("={value}")),
    }
}

/// Expands all pairs against what holds before the instruction.
pub(crate) fn expand(pairs: &[Pair], stage: &mut StageBuild<'_>) -> Option<Vec<(String, String)>> {
    let expanded: Vec<_> =
        pairs.iter().map(|pair| Some((stage.expand(&pair.name)?, stage.expand(&pair.value)?))).collect();
    expanded.into_iter().collect()
}

/// Pairs as a history entry shows them: `ENV A=1 B=2`.
pub(crate) fn shown(keyword: &str, pairs: &[(String, String)]) -> String {
    let mut text = keyword.to_owned();
    for (name, value) in pairs {
        text.extend([" ", name, "=", value]);
    }
    text
}
