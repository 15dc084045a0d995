//! `DuplicateStageName`.

use std::collections::HashSet;

use super::File;
use crate::diagnostic::{Diagnostic, Findings};

/// No two stages have one name.
pub(super) fn duplicate(file: &File<'_>, findings: &mut Findings) {
    let mut names: HashSet<&str> = HashSet::new();
    for name in file.dockerfile.stages.iter().filter_map(|stage| stage.from.name.as_ref()) {
        if !names.insert(&name.text) {
            let message = format!("a stage before this one is called `{}` too", name.text);
            findings.push(Diagnostic::warning("DuplicateStageName", message).at(name.span));
        }
    }
}
