//! Parser directives: `# syntax=…`, `# escape=…`, `# check=…`.
//!
//! They stand at the head of the file, before any other comment, blank line or
//! instruction; each at most once; names in any case.
//! `syntax` is read and otherwise ignored: this frontend is the built-in one.

use crate::diagnostic::{Diagnostic, Findings};
use crate::source::{SourceText, Span};

/// A directive's value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    /// The value, trimmed.
    pub value: String,
    /// The place of the value.
    pub span: Span,
}

/// What the head of the file asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directives {
    /// `# syntax=…`.
    pub syntax: Option<Directive>,
    /// `# check=…`, as written; [`crate::lint`] reads it.
    pub check: Option<Directive>,
    /// The escape character: a backslash, or a backtick after `` # escape=` ``.
    pub escape: char,
}

impl Default for Directives {
    fn default() -> Directives {
        Directives { syntax: None, check: None, escape: '\\' }
    }
}

impl Directives {
    /// Reads the directives at the head of a file.
    pub(crate) fn read(source: &SourceText, findings: &mut Findings) -> Directives {
        let mut directives = Directives::default();
        let mut seen = [false; 3];
        for index in 0..source.line_count() {
            let Some((name, value)) = source.line_span(index).and_then(|line| split(source, line)) else {
                break;
            };
            let slot = match source.slice(name).to_ascii_lowercase().as_str() {
                "syntax" => 0,
                "escape" => 1,
                "check" => 2,
                _ => break,
            };
            if std::mem::replace(&mut seen[slot], true) {
                let name = source.slice(name).to_ascii_lowercase();
                findings.push(
                    Diagnostic::error("DuplicateDirective", format!("only one `{name}` parser directive can be used"))
                        .at(value),
                );
                continue;
            }
            let directive = Directive { value: source.slice(value).to_owned(), span: value };
            match slot {
                0 => directives.syntax = Some(directive),
                1 => directives.set_escape(&directive, findings),
                _ => directives.check = Some(directive),
            }
        }
        directives
    }

    fn set_escape(&mut self, directive: &Directive, findings: &mut Findings) {
        match directive.value.as_str() {
            "\\" => self.escape = '\\',
            "`" => self.escape = '`',
            other => findings.push(
                Diagnostic::error("InvalidEscape", format!("the escape character cannot be `{other}`"))
                    .at(directive.span)
                    .help("it is a backslash or a backtick"),
            ),
        }
    }
}

/// The spans of name and value in a line `# name = value`.
fn split(source: &SourceText, line: Span) -> Option<(Span, Span)> {
    let text = source.slice(line);
    let after_mark = text.trim_start().strip_prefix('#')?.trim_start();
    let (name, value) = after_mark.split_once('=')?;
    let name = name.trim_end();
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.bytes().all(|b| b.is_ascii_alphanumeric());
    let value = value.trim();
    if !plain || value.is_empty() {
        return None;
    }
    let span_of = |part: &str| {
        let start = line.start as usize + (part.as_ptr() as usize - text.as_ptr() as usize);
        Span::new(start, start + part.len())
    };
    Some((span_of(name), span_of(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Directives, Vec<Diagnostic>) {
        let source = SourceText::new("D", text.as_bytes().to_vec()).unwrap();
        let mut findings = Findings::default();
        let directives = Directives::read(&source, &mut findings);
        (directives, findings.finish())
    }

    #[test]
    fn all_three() {
        let (found, errors) = read("# syntax = docker/dockerfile:1\r\n#ESCAPE=`\n# check=skip=all;error=true\nFROM a");
        assert!(errors.is_empty());
        assert_eq!(found.syntax.unwrap().value, "docker/dockerfile:1");
        assert_eq!(found.check.unwrap().value, "skip=all;error=true");
        assert_eq!(found.escape, '`');
    }

    #[test]
    fn anything_else_ends_the_head() {
        for head in ["\n", "# a comment\n", "# unknown=1\n", "FROM a\n"] {
            assert_eq!(read(&format!("{head}# escape=`\n")).0.escape, '\\', "{head:?}");
        }
    }

    #[test]
    fn duplicates_and_wrong_escapes_are_errors() {
        let (_, errors) = read("# escape=`\n# Escape=`\n# syntax=a\n");
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0].rule, "DuplicateDirective");
        let (_, errors) = read("# escape=x\n");
        assert_eq!(errors[0].message, "the escape character cannot be `x`");
    }
}
