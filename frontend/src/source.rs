//! The text of one Dockerfile and places in it.

use crate::diagnostic::Diagnostic;

/// The largest Dockerfile that is read, in bytes. The largest that people
/// write (generated, with heredocs) stay under 1 MiB; spans are 32 bits wide.
pub const MAX_BYTES: usize = 16 << 20;

const BYTE_ORDER_MARK: &str = "\u{feff}";

/// A half-open range of bytes in a [`SourceText`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The range `start..end`.
    pub fn new(start: usize, end: usize) -> Span {
        // Both fit: a SourceText is never longer than MAX_BYTES.
        Span { start: start as u32, end: end as u32 }
    }

    /// The smallest span that covers both.
    pub fn to(self, other: Span) -> Span {
        Span { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// A place as people count: both numbers start at 1, columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Line number, from 1.
    pub line: u32,
    /// Column number in characters, from 1.
    pub column: u32,
}

/// The text of one Dockerfile, with its name as messages show it.
#[derive(Clone, Debug)]
pub struct SourceText {
    name: String,
    text: String,
    /// The byte at which each line starts.
    lines: Vec<u32>,
}

impl SourceText {
    /// Takes the bytes of a Dockerfile.
    ///
    /// A byte-order mark is dropped. Bytes that are not UTF-8 are accepted in
    /// comment lines alone, where each becomes `?`, so that offsets stay true.
    ///
    /// # Errors
    /// The file is longer than [`MAX_BYTES`], or it is binary: it holds a NUL,
    /// or bytes that are not UTF-8 outside a comment.
    pub fn new(name: impl Into<String>, bytes: Vec<u8>) -> Result<SourceText, Diagnostic> {
        let name = name.into();
        if bytes.len() > MAX_BYTES {
            return Err(Diagnostic::error(
                "SourceTooLarge",
                format!("{name} is {} bytes long; a Dockerfile may have at most {MAX_BYTES}", bytes.len()),
            )
            .help("is this the file you meant? `-f FILE` names another"));
        }
        if let Some(at) = bytes.iter().position(|&b| b == 0) {
            return Err(not_text(&name, &bytes, at, "a NUL byte"));
        }
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => mend_comments(&name, error.into_bytes())?,
        };
        let text = match text.strip_prefix(BYTE_ORDER_MARK) {
            Some(rest) => rest.to_owned(),
            None => text,
        };
        let mut lines = vec![0];
        lines.extend(text.bytes().enumerate().filter(|&(_, b)| b == b'\n').map(|(at, _)| at as u32 + 1));
        if lines.last() == Some(&(text.len() as u32)) && lines.len() > 1 {
            lines.pop();
        }
        Ok(SourceText { name, text, lines })
    }

    /// The name that messages show.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text, without a byte-order mark.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text of a span; empty when the span is not one of this text.
    pub fn slice(&self, span: Span) -> &str {
        self.text.get(span.start as usize..span.end as usize).unwrap_or("")
    }

    /// How many lines there are; an empty text has one.
    pub fn line_count(&self) -> usize {
        self.lines.len()
    }

    /// The span of a line counted from 0, with its line ending.
    pub(crate) fn line_span(&self, index: usize) -> Option<Span> {
        let start = *self.lines.get(index)?;
        let end = self.lines.get(index + 1).copied().unwrap_or(self.text.len() as u32);
        Some(Span { start, end })
    }

    /// The text of a line counted from 1, without its line ending.
    pub fn line(&self, number: u32) -> &str {
        let span = self.line_span((number as usize).wrapping_sub(1));
        span.map_or("", |span| self.slice(span).trim_end_matches(['\r', '\n']))
    }

    /// Where a byte offset is, as people count.
    pub fn position(&self, offset: u32) -> Position {
        let index = self.lines.partition_point(|&start| start <= offset).saturating_sub(1);
        let start = self.lines[index] as usize;
        let end = (offset as usize).min(self.text.len());
        let column = self.text.as_bytes()[start..end].iter().filter(|&&b| b & 0xc0 != 0x80).count();
        Position { line: index as u32 + 1, column: column as u32 + 1 }
    }
}

fn not_text(name: &str, bytes: &[u8], at: usize, what: &str) -> Diagnostic {
    let line = bytes[..at].iter().filter(|&&b| b == b'\n').count() + 1;
    Diagnostic::error("SourceNotText", format!("{name} is not text: {what} in line {line}, at byte {at}"))
        .help("a Dockerfile is UTF-8 text; is this the file you meant?")
}

/// Makes comments that are not UTF-8 into text, byte for byte.
fn mend_comments(name: &str, mut bytes: Vec<u8>) -> Result<String, Diagnostic> {
    let mut start = 0;
    while start < bytes.len() {
        let end = bytes[start..].iter().position(|&b| b == b'\n').map_or(bytes.len(), |n| start + n + 1);
        let line = &mut bytes[start..end];
        if let Err(error) = std::str::from_utf8(line) {
            if line.trim_ascii_start().first() != Some(&b'#') {
                let at = start + error.valid_up_to();
                return Err(not_text(name, &bytes, at, "bytes that are not UTF-8"));
            }
            line.iter_mut().filter(|b| !b.is_ascii()).for_each(|b| *b = b'?');
        }
        start = end;
    }
    String::from_utf8(bytes).map_err(|error| not_text(name, error.as_bytes(), 0, "bytes that are not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> SourceText {
        SourceText::new("Dockerfile", text.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn positions_count_characters() {
        let source = source("FROM a\r\nRUN é x\n");
        assert_eq!(source.line_count(), 2);
        assert_eq!(source.position(0), Position { line: 1, column: 1 });
        let x = source.text().find('x').unwrap() as u32;
        assert_eq!(source.position(x), Position { line: 2, column: 7 });
        assert_eq!(source.line(1), "FROM a");
        assert_eq!(source.line(9), "");
    }

    #[test]
    fn a_byte_order_mark_is_dropped() {
        assert_eq!(source("\u{feff}FROM a").text(), "FROM a");
    }

    #[test]
    fn binary_is_refused_with_its_place() {
        let error = SourceText::new("D", b"FROM a\nRUN \0".to_vec()).unwrap_err();
        assert_eq!(error.message, "D is not text: a NUL byte in line 2, at byte 11");
        let error = SourceText::new("D", b"FROM a\nRUN \xff".to_vec()).unwrap_err();
        assert!(error.message.contains("not UTF-8 in line 2"), "{}", error.message);
        assert!(SourceText::new("D", b"# caf\xe9\nFROM a".to_vec()).is_ok());
    }

    #[test]
    fn a_huge_file_is_refused() {
        let error = SourceText::new("D", vec![b'a'; MAX_BYTES + 1]).unwrap_err();
        assert_eq!(error.rule, "SourceTooLarge");
    }
}
