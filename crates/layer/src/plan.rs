//! Where a tar member goes: the pure decision, before anything touches a disk.
//!
//! Every name in an archive passes through [`place`] or [`link_target`]; what comes out has no `..`, no root, no empty
//! part, and stays below the directory it is applied to as long as links on the way are resolved inside it too.

use crate::whiteout::{self, Meaning};

/// The longest path that one system call takes, its final NUL aside.
pub const LONGEST_PATH: usize = 4095;

/// Why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A `..` part, which no layer needs.
    #[error("`{0}` has a `..` part")]
    Escapes(String),
    /// More than a system call takes.
    #[error("`{0}…` is longer than {LONGEST_PATH} bytes")]
    TooLong(String),
    /// A whiteout that deletes nothing that could exist.
    #[error("`{0}` is not a valid whiteout")]
    Whiteout(String),
    /// An opaque mark on the root, which would be a layer without lower ones.
    #[error("`{0}` would hide every lower layer")]
    OpaqueRoot(String),
    /// No name at all.
    #[error("a member has no name")]
    Empty,
}

/// Where a member goes and what it does there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// It is the root directory, which isn't an entry.
    Root,
    /// It is of no meaning.
    Skip,
    /// It goes to this path.
    Path(Vec<u8>),
    /// It deletes this path of a lower layer.
    Whiteout(Vec<u8>),
    /// It hides what lower layers hold in this directory.
    Opaque(Vec<u8>),
}

/// Decides where a member of this name goes; `whiteouts` says whether names with `.wh.` are deletions.
pub fn place(raw: &[u8], whiteouts: bool) -> Result<Place, PlanError> {
    let Some(path) = normalise(raw)? else {
        return Ok(Place::Root);
    };
    if !whiteouts {
        return Ok(Place::Path(path));
    }
    match whiteout::meaning(&path) {
        Meaning::Plain => Ok(Place::Path(path)),
        Meaning::Skip => Ok(Place::Skip),
        Meaning::Invalid => Err(PlanError::Whiteout(shown(raw))),
        Meaning::Opaque { dir: b"" } => Err(PlanError::OpaqueRoot(shown(raw))),
        Meaning::Opaque { dir } => Ok(Place::Opaque(dir.to_vec())),
        Meaning::Whiteout { dir, name } => Ok(Place::Whiteout(whiteout::join(dir, name))),
    }
}

/// The path in the same layer that a hard link names.
pub fn link_target(raw: &[u8]) -> Result<Vec<u8>, PlanError> {
    normalise(raw)?.ok_or(PlanError::Empty)
}

/// Whether `path` already is as [`place`] gives it back.
pub fn is_normal(path: &[u8]) -> bool {
    path.len() <= LONGEST_PATH
        && !path.contains(&0)
        && path.split(|byte| *byte == b'/').all(|part| !matches!(part, b"" | b"." | b".."))
}

/// Relative, without empty and `.` parts; `None` for the root. An absolute name means the same inside, as everywhere.
fn normalise(raw: &[u8]) -> Result<Option<Vec<u8>>, PlanError> {
    if raw.is_empty() {
        return Err(PlanError::Empty);
    }
    let mut path = Vec::with_capacity(raw.len());
    for part in raw.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => continue,
            b".." => return Err(PlanError::Escapes(shown(raw))),
            _ if !path.is_empty() => path.push(b'/'),
            _ => {}
        }
        path.extend_from_slice(part);
        if path.len() > LONGEST_PATH {
            return Err(PlanError::TooLong(shown(raw)));
        }
    }
    Ok(if path.is_empty() { None } else { Some(path) })
}

/// A name for an error message: the start of it, with what a terminal would obey made visible.
pub(crate) fn shown(raw: &[u8]) -> String {
    const SHOWN: usize = 120;
    raw[..raw.len().min(SHOWN)].escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_relative_and_plain() {
        let path = |text: &str| Ok(Place::Path(text.into()));
        for (raw, expected) in [
            ("a/b", path("a/b")),
            ("./a//b/./c/", path("a/b/c")),
            ("/etc/passwd", path("etc/passwd")),
            ("///", Ok(Place::Root)),
            ("./", Ok(Place::Root)),
            ("...", path("...")),
            ("a/..b", path("a/..b")),
            ("", Err(PlanError::Empty)),
        ] {
            assert_eq!(place(raw.as_bytes(), true), expected, "{raw}");
        }
    }

    #[test]
    fn dots_that_lead_up_are_refused_everywhere() {
        for raw in ["..", "../a", "a/../b", "a/..", "/..", "a/b/../../../c", "../.wh.a"] {
            assert!(matches!(place(raw.as_bytes(), true), Err(PlanError::Escapes(_))), "{raw}");
            assert!(matches!(place(raw.as_bytes(), false), Err(PlanError::Escapes(_))), "{raw}");
            assert!(matches!(link_target(raw.as_bytes()), Err(PlanError::Escapes(_))), "{raw}");
        }
    }

    #[test]
    fn whiteouts_only_where_they_are_asked_for() {
        assert_eq!(place(b"./a/.wh.b", true), Ok(Place::Whiteout(b"a/b".to_vec())));
        assert_eq!(place(b"./a/.wh.b", false), Ok(Place::Path(b"a/.wh.b".to_vec())));
        assert_eq!(place(b"a/.wh..wh..opq", true), Ok(Place::Opaque(b"a".to_vec())));
        assert!(matches!(place(b"/.wh..wh..opq", true), Err(PlanError::OpaqueRoot(_))));
        assert!(matches!(place(b"a/.wh...", true), Err(PlanError::Whiteout(_))));
    }

    #[test]
    fn overlong_paths_are_refused_and_shown_in_part() {
        let long = [b'x'; 5000];
        let Err(error) = place(&long, true) else { panic!("accepted") };
        assert!(error.to_string().len() < 200);
        assert_eq!(shown(b"\x1b[31m"), "\\x1b[31m");
    }
}
