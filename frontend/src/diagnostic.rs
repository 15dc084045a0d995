//! What the frontend has to say about a Dockerfile: errors and warnings, each
//! with its place, an excerpt, and where one is near a "did you mean".

use std::fmt::{self, Write as _};

use crate::source::{SourceText, Span};

/// How many errors, and how many warnings, one run reports. More than people
/// read; it bounds what a file of a million wrong lines costs.
pub const MAX_REPORTED: usize = 100;

/// The widest excerpt shown, in characters: a line may be megabytes long.
const EXCERPT_WIDTH: usize = 160;

/// Names longer than this get no "did you mean": nobody mistypes them.
const LONGEST_GUESS: usize = 64;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The build cannot go on.
    Error,
    /// The build goes on.
    Warning,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The name of the rule: a check's public name, or the kind of error.
    pub rule: &'static str,
    /// What is wrong, in one line.
    pub message: String,
    /// Where; absent when the whole file or the request is at fault.
    pub span: Option<Span>,
    /// What to do about it.
    pub help: Option<String>,
    /// Changes of the text that mend it and nothing else: safe ones alone.
    pub edits: Vec<Edit>,
}

/// A change of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// What it takes the place of.
    pub span: Span,
    /// What must stand there.
    pub was: String,
    /// What is to stand there.
    pub text: String,
}

impl Diagnostic {
    /// An error.
    pub fn error(rule: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            rule,
            message: message.into(),
            span: None,
            help: None,
            edits: Vec::new(),
        }
    }

    /// A warning.
    pub fn warning(rule: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::error(rule, message) }
    }

    /// Says where.
    #[must_use]
    pub fn at(mut self, span: Span) -> Diagnostic {
        self.span = Some(span);
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }

    /// Says how to mend it safely: `was` becomes `text`. Where `was` does not stand (a line goes on in the middle of it), nothing
    /// will be changed.
    #[must_use]
    pub fn fix(mut self, span: Span, was: &str, text: impl Into<String>) -> Diagnostic {
        self.edits.push(Edit { span, was: was.to_owned(), text: text.into() });
        self
    }

    /// Adds "did you mean", where a candidate is near what was written.
    #[must_use]
    pub fn suggest<'a>(self, written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Diagnostic {
        match nearest(written, candidates) {
            Some(near) => self.help(format!("did you mean `{near}`?")),
            None => self,
        }
    }

    /// Whether it is an error.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The finding as people read it: `file:line:column`, the line itself and
    /// a caret under the place. Ends without a line feed.
    pub fn render(&self, source: &SourceText, colour: bool) -> String {
        let paint = Paint::new(colour, self.severity);
        let mut out = String::new();
        self.render_into(&mut out, source, &paint);
        out
    }

    fn render_into(&self, out: &mut String, source: &SourceText, paint: &Paint) {
        let position = self.span.map(|span| source.position(span.start));
        let _ = match position {
            Some(at) => write!(out, "{}{}:{}:{}:{} ", paint.strong, source.name(), at.line, at.column, paint.off),
            None => write!(out, "{}{}:{} ", paint.strong, source.name(), paint.off),
        };
        let word = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let _ = write!(out, "{}{word}:{} {}", paint.mark, paint.off, self.message);
        if self.severity == Severity::Warning {
            let _ = write!(out, " ({})", self.rule);
        }
        if let (Some(at), Some(span)) = (position, self.span) {
            excerpt(out, source, span, at.line, at.column as usize - 1, paint);
        }
        if let Some(help) = &self.help {
            let _ = write!(out, "\n  {}help:{} {help}", paint.strong, paint.off);
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Diagnostic {}

struct Paint {
    strong: &'static str,
    mark: &'static str,
    off: &'static str,
}

impl Paint {
    fn new(colour: bool, severity: Severity) -> Paint {
        match (colour, severity) {
            (false, _) => Paint { strong: "", mark: "", off: "" },
            (true, Severity::Error) => Paint { strong: "\x1b[1m", mark: "\x1b[1;31m", off: "\x1b[0m" },
            (true, Severity::Warning) => Paint { strong: "\x1b[1m", mark: "\x1b[1;33m", off: "\x1b[0m" },
        }
    }
}

/// The line with a caret under `span`, which starts at character `column`.
fn excerpt(out: &mut String, source: &SourceText, span: Span, line: u32, column: usize, paint: &Paint) {
    let text = source.line(line);
    let characters = text.chars().count();
    // A window around the place when the line is too wide to show.
    let first = column.saturating_sub(EXCERPT_WIDTH / 2);
    let first = if characters <= EXCERPT_WIDTH { 0 } else { first };
    let shown: String = text.chars().skip(first).take(EXCERPT_WIDTH).map(printable).collect();
    let length = source.slice(span).split(['\r', '\n']).next().unwrap_or("").chars().count();
    let room = (EXCERPT_WIDTH + first).min(characters).saturating_sub(column);
    let carets = "^".repeat(length.min(room).max(1));
    let pad = " ".repeat(column - first);
    let gutter = line.to_string();
    let blank = " ".repeat(gutter.len());
    let _ = write!(out, "\n {blank} |\n {gutter} | {shown}\n {blank} | {pad}{}{carets}{}", paint.mark, paint.off);
}

/// Control characters would move the caret or drive the terminal.
fn printable(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

/// The candidate nearest to what was written, if any is near.
pub(crate) fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if written.is_empty() || written.len() > LONGEST_GUESS {
        return None;
    }
    let lower = written.to_lowercase();
    let allowed = (lower.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= LONGEST_GUESS && *candidate != written)
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Findings in the order they were made, at most [`MAX_REPORTED`] of a kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    list: Vec<Diagnostic>,
    errors: usize,
    warnings: usize,
}

impl Findings {
    pub(crate) fn push(&mut self, finding: Diagnostic) {
        let count = match finding.severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        *count += 1;
        if *count <= MAX_REPORTED {
            self.list.push(finding);
        }
    }

    pub(crate) fn errors(&self) -> usize {
        self.errors
    }

    /// Whether another warning would be dropped: then it need not be made.
    pub(crate) fn is_full_of_warnings(&self) -> bool {
        self.warnings >= MAX_REPORTED
    }

    /// Whether another error would only be counted.
    pub(crate) fn is_full_of_errors(&self) -> bool {
        self.errors >= MAX_REPORTED
    }

    /// The findings, and one more that says how many were left out.
    pub(crate) fn finish(mut self) -> Vec<Diagnostic> {
        let left_out = self.errors.saturating_sub(MAX_REPORTED);
        if left_out > 0 {
            self.list.push(Diagnostic::error("TooManyErrors", format!("and {left_out} more errors")));
        }
        self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn render_shows_place_excerpt_and_help() {
        let source = SourceText::new("Dockerfile", b"FROM a\nCPY a b\n".to_vec()).unwrap();
        let finding = Diagnostic::error("UnknownInstruction", "unknown instruction `CPY`")
            .at(Span::new(7, 10))
            .suggest("CPY", ["COPY", "RUN"]);
        assert_eq!(
            finding.render(&source, false),
            "Dockerfile:2:1: error: unknown instruction `CPY`\n   |\n 2 | CPY a b\n   | ^^^\n  help: did you mean `COPY`?"
        );
        assert!(finding.render(&source, true).contains("\x1b[1;31m^^^"));
    }

    #[test]
    fn a_wide_line_is_cut_around_the_place() {
        let text = format!("RUN {}X{}", "a".repeat(5000), "b".repeat(5000));
        let source = SourceText::new("D", text.into_bytes()).unwrap();
        let shown = Diagnostic::error("E", "m").at(Span::new(5004, 5005)).render(&source, false);
        assert!(shown.len() < 700, "{shown}");
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[2].find('X').unwrap(), lines[3].find('^').unwrap());
    }

    #[test]
    fn reports_are_bounded() {
        let mut findings = Findings::default();
        (0..1_000_000).for_each(|_| findings.push(Diagnostic::error("E", "m")));
        let list = findings.finish();
        assert_eq!(list.len(), MAX_REPORTED + 1);
        assert_eq!(list[MAX_REPORTED].message, "and 999900 more errors");
    }

    #[test]
    fn near_names() {
        assert_eq!(nearest("form", ["from", "chown"]), Some("from"));
        assert_eq!(nearest("xyzzy", ["from", "chown"]), None);
    }
}
