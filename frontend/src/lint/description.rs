//! Comments that describe what stands below them: `# NAME what it is` above a FROM or an ARG.

use super::File;
use crate::diagnostic::{Diagnostic, Findings};
use crate::instruction::Instruction;
use crate::source::{SourceText, Span};
use crate::syntax::Place;

/// The lines of the comment that ends right above a line (counted from 1), without their marks, last line first.
fn above(source: &SourceText, line: u32) -> impl Iterator<Item = &str> {
    (1..line).rev().map_while(|number| source.line(number).trim().strip_prefix('#').map(str::trim))
}

/// What the comment above an instruction says of a name; empty where it says nothing.
pub(crate) fn describes<'s>(source: &'s SourceText, place: &Place, name: &str) -> &'s str {
    let said = |line: &'s str| line.strip_prefix(name)?.strip_prefix(' ').map(str::trim);
    above(source, place.lines.0).find_map(said).unwrap_or("")
}

/// `InvalidDefinitionDescription`: a comment right above an ARG or a named FROM begins with its name.
pub(super) fn invalid(file: &File<'_>, findings: &mut Findings) {
    for stage in &file.dockerfile.stages {
        if let Some(name) = &stage.from.name {
            check(file, "FROM", &[&name.text], &stage.place, findings);
        }
    }
    let bodies = file.dockerfile.stages.iter().flat_map(|stage| &stage.body);
    for statement in file.dockerfile.global_args.iter().chain(bodies) {
        if let Instruction::Arg(arg) = &statement.instruction {
            let names: Vec<&str> = arg.args.iter().map(|declared| declared.name.text.as_str()).collect();
            check(file, "ARG", &names, &statement.place, findings);
        }
    }
}

fn check(file: &File<'_>, keyword: &str, names: &[&str], place: &Place, findings: &mut Findings) {
    let Some(last) = above(file.source, place.lines.0).next() else { return };
    let first = last.split(' ').next().unwrap_or_default();
    if last.is_empty() || names.contains(&first) || is_directive(file, place.lines.0 - 1) {
        return;
    }
    let name = match names {
        [name] => name,
        _ => "NAME",
    };
    let message = format!("a comment right above {keyword} describes it, and begins with its name: `# {name} …`");
    let start = place.span.start as usize;
    let line = file.source.text()[..start].rfind('\n').map_or(0, |at| at + 1);
    let help = "put an empty line between them if it is another kind of comment";
    let warning = Diagnostic::warning("InvalidDefinitionDescription", message).at(place.span).help(help);
    let ending = if file.source.text()[..line].ends_with("\r\n") { "\r\n" } else { "\n" };
    findings.push(warning.fix(Span::new(line, line), "", ending));
}

/// Whether a line is one of the parser directives at the head of the file.
fn is_directive(file: &File<'_>, line: u32) -> bool {
    let named = |text: &str| {
        let Some((name, _)) = text.trim_start_matches('#').split_once('=') else { return false };
        ["syntax", "escape", "check"].iter().any(|known| name.trim().eq_ignore_ascii_case(known))
    };
    (1..=line).all(|number| named(file.source.line(number).trim()))
}
