//! docker's format: a line of JSON each, `{"log":"…\n","stream":"stdout","time":"2026-01-02T03:04:05.000000006Z"}`.
//!
//! A line longer than [`MAX_LINE`] is several objects, of which only the last ends with a line break, as docker has it.

use serde::{Deserialize, Serialize};

use crate::time::Moment;

use super::Source;

/// The most bytes of one object, docker's.
pub const MAX_LINE: usize = 16 << 10;

#[derive(Serialize, Deserialize)]
struct Line<'l> {
    #[serde(borrow)]
    log: std::borrow::Cow<'l, str>,
    #[serde(borrow)]
    stream: std::borrow::Cow<'l, str>,
    #[serde(borrow)]
    time: std::borrow::Cow<'l, str>,
}

/// Splits what comes into lines. One stream's.
#[derive(Debug, Default)]
pub struct Lines {
    /// The beginning of a line whose end has not come.
    held: Vec<u8>,
}

impl Lines {
    /// Takes bytes, and gives every piece that is done.
    pub fn push(&mut self, mut bytes: &[u8], mut emit: impl FnMut(&[u8])) {
        while !bytes.is_empty() {
            let room = MAX_LINE - self.held.len();
            let window = &bytes[..bytes.len().min(room)];
            let taken = window.iter().position(|b| *b == b'\n').map_or(window.len(), |at| at + 1);
            let (piece, rest) = bytes.split_at(taken);
            bytes = rest;
            self.held.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.held.len() == MAX_LINE {
                emit(&self.held);
                self.held.clear();
            }
        }
    }

    /// What is left at the end.
    pub fn finish(&mut self, emit: impl FnOnce(&[u8])) {
        if !self.held.is_empty() {
            emit(&self.held);
            self.held.clear();
        }
    }
}

/// One object, with its line break.
pub fn encode(source: Source, time: Moment, bytes: &[u8]) -> Vec<u8> {
    let stream = match source {
        Source::Stdout => "stdout",
        Source::Stderr => "stderr",
    };
    let line = Line { log: String::from_utf8_lossy(bytes), stream: stream.into(), time: time.rfc3339().into() };
    let mut out = serde_json::to_vec(&line).unwrap_or_default();
    out.push(b'\n');
    out
}

/// What an object says; `None` when it is none.
pub fn decode(line: &[u8]) -> Option<(Source, Moment, Vec<u8>)> {
    let line: Line<'_> = serde_json::from_slice(line).ok()?;
    let source = if line.stream == "stderr" { Source::Stderr } else { Source::Stdout };
    Some((source, Moment::parse_rfc3339(&line.time)?, line.log.into_owned().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let line = encode(Source::Stderr, Moment(1_700_000_000_000_000_006), b"a \"b\"\x1b\n");
        assert_eq!(
            String::from_utf8(line.clone()).unwrap(),
            "{\"log\":\"a \\\"b\\\"\\u001b\\n\",\"stream\":\"stderr\",\"time\":\"2023-11-14T22:13:20.000000006Z\"}\n"
        );
        let time = Moment(1_700_000_000_000_000_006);
        assert_eq!(decode(&line), Some((Source::Stderr, time, b"a \"b\"\x1b\n".to_vec())));
        assert_eq!(decode(b"{\"log\":\"x"), None);
    }

    #[test]
    fn lines_are_split_and_long_ones_cut() {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        lines.push(b"a\nb", |line| seen.push(line.to_vec()));
        lines.push(b"c\n", |line| seen.push(line.to_vec()));
        lines.push(&vec![b'x'; MAX_LINE + 5], |line| seen.push(line.to_vec()));
        lines.finish(|line| seen.push(line.to_vec()));
        let lengths: Vec<_> = seen.iter().map(Vec::len).collect();
        assert_eq!(seen[..2], [b"a\n".to_vec(), b"bc\n".to_vec()]);
        assert_eq!(lengths[2..], [MAX_LINE, 5]);
    }
}
