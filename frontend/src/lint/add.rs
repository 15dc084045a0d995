//! ADD: `AddForCopy`, `AddUnverified`.

use super::File;
use crate::diagnostic::{Diagnostic, Findings};
use crate::instruction::Instruction;
use crate::instruction::add::Add;
use crate::syntax::Place;

/// Ends of names that ADD unpacks.
const ARCHIVES: [&str; 10] = [".tar", ".gz", ".tgz", ".bz2", ".tbz2", ".xz", ".txz", ".zst", ".tzst", ".lzma"];

fn adds<'a>(file: &File<'a>) -> impl Iterator<Item = (&'a Add, &'a Place)> {
    file.statements().filter_map(|statement| match &statement.instruction {
        Instruction::Add(add) => Some((add, &statement.place)),
        _ => None,
    })
}

fn is_url(source: &str) -> bool {
    source.starts_with("http://") || source.starts_with("https://")
}

fn is_remote(source: &str) -> bool {
    is_url(source) || crate::git_url::GitUrl::parse(source).is_some()
}

/// ADD of local files that are no archives: COPY does only what it says.
pub(super) fn for_copy(file: &File<'_>, findings: &mut Findings) {
    for (add, place) in adds(file) {
        let sources = &add.transfer.sources;
        let special = |text: &str| {
            is_remote(text)
                || text.contains('$')
                || text.contains(['*', '?', '['])
                || ARCHIVES.iter().any(|end| text.ends_with(end))
        };
        if !sources.is_empty() && !sources.iter().any(|word| special(&word.text)) {
            let warning = Diagnostic::warning(
                "AddForCopy",
                "ADD of plain files: COPY says so, and never unpacks what turns out to be an archive",
            );
            findings.push(warning.at(place.keyword).help("write COPY"));
        }
    }
}

/// ADD of a URL without `--checksum` takes whatever the server gives.
pub(super) fn unverified(file: &File<'_>, findings: &mut Findings) {
    for (add, place) in adds(file) {
        let url = add
            .transfer
            .sources
            .iter()
            .find(|word| is_url(&word.text) && crate::git_url::GitUrl::parse(&word.text).is_none());
        if let (Some(word), None) = (url, &add.checksum) {
            let warning = Diagnostic::warning("AddUnverified", "whatever the server answers becomes part of the image");
            findings.push(warning.at(word.span).help(format!(
                "add `--checksum=sha256:…` to the {} of `{}`",
                &place.text[..3].to_uppercase(),
                word.text
            )));
        }
    }
}
