//! `Field: value` lines, as Debian's control files and mail headers have them.

use crate::bounded::words;

/// Splits at empty lines.
pub(crate) fn stanzas(text: &[u8]) -> impl Iterator<Item = Vec<(&[u8], &[u8])>> {
    let mut lines = text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    std::iter::from_fn(move || {
        let mut fields = Vec::new();
        let mut any = false;
        for line in lines.by_ref() {
            any = true;
            if line.iter().all(u8::is_ascii_whitespace) {
                if fields.is_empty() {
                    continue;
                }
                return Some(fields);
            }
            // A continued line adds nothing that is of interest here.
            if line.first().is_some_and(u8::is_ascii_whitespace) {
                continue;
            }
            if let Some(colon) = line.iter().position(|byte| *byte == b':') {
                fields.push((&line[..colon], &line[colon + 1..]));
            }
        }
        (any && !fields.is_empty()).then_some(fields)
    })
}

/// The first field of that name, upper and lower case alike.
pub(crate) fn field(fields: &[(&[u8], &[u8])], name: &str) -> Option<String> {
    let found = fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes()))?;
    words(found.1)
}
