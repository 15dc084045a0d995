//! Safe fixes: what they change is how a Dockerfile is written, never what it builds.

use crate::diagnostic::{Diagnostic, Edit};
use crate::source::SourceText;

/// A byte order mark, which spans do not count.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// The bytes of a file with the fixes of these findings, and how many there were. Nothing else changes: not a byte of what
/// comments hold, whatever its encoding.
pub fn apply(bytes: &[u8], source: &SourceText, findings: &[Diagnostic]) -> (Vec<u8>, usize) {
    let shift = if bytes.starts_with(MARK) { MARK.len() } else { 0 };
    let mut edits: Vec<&Edit> = findings.iter().flat_map(|finding| &finding.edits).collect();
    // A source that was mended elsewhere than byte for byte is not ours to edit.
    edits.retain(|edit| source.slice(edit.span) == edit.was && bytes.len() == source.text().len() + shift);
    edits.sort_by_key(|edit| (edit.span, edit.text.clone()));
    edits.dedup();
    let mut out = bytes[..shift].to_vec();
    let (mut at, mut count) = (0, 0);
    let text = &bytes[shift..];
    for edit in edits {
        let (start, mut end) = (edit.span.start as usize, edit.span.end as usize);
        if start < at {
            // Two fixes want the same place: the next round has the other.
            continue;
        }
        if edit.text.is_empty() && !edit.was.ends_with('\n') {
            // A word that goes takes the blanks behind it along.
            end += text[end..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        }
        out.extend_from_slice(&text[at..start]);
        out.extend_from_slice(edit.text.as_bytes());
        at = end;
        count += 1;
    }
    out.extend_from_slice(&text[at..]);
    (out, count)
}

/// How often fixes are applied: one may make room for another.
const ROUNDS: usize = 5;

/// Fixes what can be fixed safely. Gives the bytes and the number of fixes; 0 leaves all as it was.
pub fn fix(name: &str, bytes: &[u8]) -> (Vec<u8>, usize) {
    let (mut current, mut total) = (bytes.to_vec(), 0);
    for _ in 0..ROUNDS {
        let Ok(source) = SourceText::new(name, current.clone()) else { break };
        let findings = super::check(&source);
        let broken =
            |findings: &[Diagnostic]| findings.iter().filter(|finding| super::find(finding.rule).is_none()).count();
        let (fixed, count) = apply(&current, &source, &findings);
        if count == 0 {
            break;
        }
        // A fix that breaks a file is none.
        let still = SourceText::new(name, fixed.clone())
            .is_ok_and(|source| broken(&super::check(&source)) <= broken(&findings));
        if !still {
            break;
        }
        (current, total) = (fixed, total + count);
    }
    (current, total)
}
