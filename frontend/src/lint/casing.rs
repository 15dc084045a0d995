//! Keywords in one case: `ConsistentInstructionCasing` and `FromAsCasing`.

use super::File;
use crate::diagnostic::{Diagnostic, Findings};

/// Every keyword is in the case that most of them are in.
pub(super) fn instructions(file: &File<'_>, findings: &mut Findings) {
    let (mut lower, mut upper) = (0, 0);
    for place in file.places() {
        let keyword = file.source.slice(place.keyword);
        lower += usize::from(is_lower(keyword));
        upper += usize::from(is_upper(keyword));
    }
    let is_meant = if lower > upper { is_lower } else { is_upper };
    let (case, cased): (_, fn(&str) -> String) =
        if lower > upper { ("lower case", str::to_ascii_lowercase) } else { ("capitals", str::to_ascii_uppercase) };
    for place in file.places() {
        let keyword = file.source.slice(place.keyword);
        if !is_meant(keyword) {
            let message = format!("`{keyword}` is not in {case}, as most instructions here are");
            let warning = Diagnostic::warning("ConsistentInstructionCasing", message).at(place.keyword);
            findings.push(warning.fix(place.keyword, keyword, cased(keyword)));
        }
    }
}

/// `AS` is in the case of its `FROM`.
pub(super) fn from_as(file: &File<'_>, findings: &mut Findings) {
    for stage in &file.dockerfile.stages {
        let Some(word) = &stage.from.keyword else { continue };
        let from = file.source.slice(stage.place.keyword);
        let mixed = !is_lower(from) && !is_upper(from);
        if mixed || (is_lower(from) == is_lower(&word.text) && is_upper(from) == is_upper(&word.text)) {
            continue;
        }
        let message = format!("`{}` and `{from}` are not in the same case", word.text);
        let cased = if is_lower(from) { word.text.to_ascii_lowercase() } else { word.text.to_ascii_uppercase() };
        findings.push(Diagnostic::warning("FromAsCasing", message).at(word.span).fix(word.span, &word.text, cased));
    }
}

fn is_lower(text: &str) -> bool {
    !text.bytes().any(|b| b.is_ascii_uppercase())
}

fn is_upper(text: &str) -> bool {
    !text.bytes().any(|b| b.is_ascii_lowercase())
}
