//! Physical lines into logical ones: continuations joined, comments and blank
//! lines inside them dropped, with a map back to where each byte came from.

use std::ops::Range;

use crate::diagnostic::{Diagnostic, Findings};
use crate::source::{SourceText, Span};

/// One instruction's text, in one line.
#[derive(Clone, Debug)]
pub(crate) struct Logical {
    /// The joined text, without the line's indentation.
    pub(crate) text: String,
    /// For each stretch: where it starts in `text`, and where in the source.
    pieces: Vec<(u32, u32)>,
    /// From the first byte to the last of the source.
    pub(crate) span: Span,
    /// The first and the last line in the source, counted from 1.
    pub(crate) lines: (u32, u32),
}

impl Logical {
    /// Where a range of the joined text stands in the source.
    pub(crate) fn span_of(&self, range: Range<usize>) -> Span {
        let start = self.offset(range.start);
        if range.end <= range.start {
            return Span { start, end: start };
        }
        // The end is taken from the last byte, so as not to run over a joint.
        Span { start, end: self.offset(range.end - 1) + 1 }
    }

    fn offset(&self, at: usize) -> u32 {
        let at = at as u32;
        let index = self.pieces.partition_point(|&(start, _)| start <= at).saturating_sub(1);
        let (start, source) = self.pieces[index];
        (source + (at - start)).min(self.span.end)
    }
}

/// Reads a source line by line.
pub(crate) struct Lines<'a> {
    source: &'a SourceText,
    next: usize,
    escape: u8,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(source: &'a SourceText, escape: char) -> Lines<'a> {
        Lines { source, next: 0, escape: escape as u8 }
    }

    /// The number of the line read last, counted from 1.
    pub(crate) fn line_number(&self) -> u32 {
        self.next as u32
    }

    /// The next physical line, with its ending: what a heredoc's body is made of.
    pub(crate) fn next_raw(&mut self) -> Option<&'a str> {
        let span = self.source.line_span(self.next)?;
        self.next += 1;
        Some(self.source.slice(span)).filter(|line| !line.is_empty())
    }

    /// The next logical line that is not blank.
    pub(crate) fn next_logical(&mut self, findings: &mut Findings) -> Option<Logical> {
        loop {
            let (span, line) = self.next_bare()?;
            let text = line.trim_start();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let start = span.start as usize + (line.len() - text.len());
            let first_line = self.line_number();
            let (body, more) = self.split_continuation(text);
            let mut logical = Logical {
                text: body.to_owned(),
                pieces: vec![(0, start as u32)],
                span: Span::new(start, start + text.len()),
                lines: (first_line, first_line),
            };
            if more {
                self.continue_into(&mut logical, findings);
            }
            return Some(logical);
        }
    }

    fn continue_into(&mut self, logical: &mut Logical, findings: &mut Findings) {
        let mut blank = Vec::new();
        let mut more = true;
        while more {
            let Some((span, line)) = self.next_bare() else { break };
            let trimmed = line.trim_start();
            if trimmed.starts_with('#') {
                continue;
            }
            if trimmed.is_empty() {
                blank.push(span);
                continue;
            }
            let body;
            (body, more) = self.split_continuation(line);
            logical.pieces.push((logical.text.len() as u32, span.start));
            logical.text.push_str(body);
            logical.span.end = span.start + line.len() as u32;
        }
        logical.lines.1 = self.line_number();
        if let Some(first) = blank.first() {
            let warning = Diagnostic::warning("NoEmptyContinuation", "empty continuation line").at(*first);
            let warning = warning.help("drop the blank line, or begin it with `#`");
            let drop = |warning: Diagnostic, line: &Span| warning.fix(*line, self.source.slice(*line), "");
            findings.push(blank.iter().fold(warning, drop));
        }
    }

    /// The next line without its ending.
    fn next_bare(&mut self) -> Option<(Span, &'a str)> {
        let span = self.source.line_span(self.next)?;
        self.next += 1;
        Some((span, self.source.slice(span).trim_end_matches(['\r', '\n'])))
    }

    /// Whether a line goes on, and its text without the escape that says so.
    /// An escape that is itself escaped does not continue the line.
    fn split_continuation<'l>(&self, line: &'l str) -> (&'l str, bool) {
        let trimmed = line.trim_end_matches([' ', '\t']);
        let bytes = trimmed.as_bytes();
        match bytes {
            [.., before, last] if *last == self.escape && *before != self.escape => (&trimmed[..bytes.len() - 1], true),
            [last] if *last == self.escape => ("", true),
            _ => (line, false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logical(text: &str, escape: char) -> Vec<String> {
        let source = SourceText::new("D", text.as_bytes().to_vec()).unwrap();
        let mut findings = Findings::default();
        let mut lines = Lines::new(&source, escape);
        std::iter::from_fn(|| lines.next_logical(&mut findings)).map(|l| l.text).collect()
    }

    #[test]
    fn joins() {
        for (text, escape, expected) in [
            ("RUN a \\\n  b\n", '\\', vec!["RUN a   b"]),
            ("RUN a \\  \t\n  b\n", '\\', vec!["RUN a   b"]),
            ("RUN a \\\r\n  b\r\nRUN c\r\n", '\\', vec!["RUN a   b", "RUN c"]),
            ("RUN a \\\n# no\n\n  b\nRUN c", '\\', vec!["RUN a   b", "RUN c"]),
            ("RUN a \\\\\nRUN b", '\\', vec!["RUN a \\\\", "RUN b"]),
            ("RUN a `\n b", '`', vec!["RUN a  b"]),
            ("RUN a \\\n b", '`', vec!["RUN a \\", "b"]),
            ("RUN a \\", '\\', vec!["RUN a "]),
            ("RUN a \\\n\\\n b", '\\', vec!["RUN a  b"]),
            ("\n\n  # c\n  FROM a\n\n", '\\', vec!["FROM a"]),
            ("", '\\', vec![]),
        ] {
            assert_eq!(logical(text, escape), expected, "{text:?}");
        }
    }

    #[test]
    fn spans_cross_joints() {
        let text = "RUN one \\\n# c\n   two\n";
        let source = SourceText::new("D", text.as_bytes().to_vec()).unwrap();
        let line = Lines::new(&source, '\\').next_logical(&mut Findings::default()).unwrap();
        assert_eq!(line.lines, (1, 3));
        let at = line.text.find("two").unwrap();
        assert_eq!(source.slice(line.span_of(at..at + 3)), "two");
        assert_eq!(source.slice(line.span_of(4..7)), "one");
        assert_eq!(source.slice(line.span), "RUN one \\\n# c\n   two");
    }

    #[test]
    fn a_blank_line_inside_is_a_warning() {
        let source = SourceText::new("D", b"RUN a \\\n\n b\n".to_vec()).unwrap();
        let mut findings = Findings::default();
        Lines::new(&source, '\\').next_logical(&mut findings);
        assert_eq!(findings.finish()[0].rule, "NoEmptyContinuation");
    }
}
