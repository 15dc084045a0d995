//! Which distribution a tree is of: `os-release`.

use std::io;

use crate::bounded::{start, words};
use crate::{Distribution, Files};

/// The file is a page of text.
const MAX_FILE: u64 = 64 << 10;

/// What the tree says of itself, if it does.
pub(crate) fn read(files: &dyn Files) -> io::Result<Option<Distribution>> {
    for path in ["etc/os-release", "usr/lib/os-release"] {
        // A folder or a link that leads nowhere is as good as nothing.
        if let Ok(Some(text)) = start(files, path.as_bytes(), MAX_FILE) {
            return Ok(parse(&text));
        }
    }
    Ok(None)
}

fn parse(text: &[u8]) -> Option<Distribution> {
    let value = |name: &str| {
        let line = text
            .split(|byte| *byte == b'\n')
            .find_map(|line| line.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
        let line = words(line)?;
        Some(line.trim_matches(['"', '\'']).to_owned())
    };
    let id = value("ID")?;
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    let name = value("PRETTY_NAME").or_else(|| value("NAME")).unwrap_or_else(|| id.clone());
    (!id.is_empty() && id.chars().all(good)).then(|| Distribution {
        version: value("VERSION_ID").unwrap_or_default(),
        name,
        id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_what_is_missing() {
        let found = parse(b"PRETTY_NAME=\"Debian GNU/Linux 12\"\nVERSION_ID=\"12\"\nID=debian\n").unwrap();
        assert_eq!((found.id.as_str(), found.version.as_str()), ("debian", "12"));
        assert!(parse(b"NAME=x\n").is_none());
        assert!(parse(b"ID=\"a b\"\n").is_none());
    }
}
