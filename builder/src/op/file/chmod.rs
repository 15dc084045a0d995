//! `--chmod`: octal bits, or chmod(1)'s symbolic form.

use graph::ModeChange;

/// What a clause without `ugoa` leaves alone, as BuildKit does: chmod(1) asks the process, and a build must not.
const UMASK: u32 = 0o022;

/// `mode` after the change.
pub(crate) fn apply(change: &ModeChange, mode: u32, is_dir: bool) -> u32 {
    match change {
        ModeChange::Octal(bits) => bits & 0o7777,
        ModeChange::Symbolic(text) => text.split(',').fold(mode, |mode, clause| apply_clause(clause, mode, is_dir)),
    }
}

fn apply_clause(clause: &str, mode: u32, is_dir: bool) -> u32 {
    let at = clause.find(['+', '-', '=']).unwrap_or(clause.len());
    let (who, mut actions) = clause.split_at(at);
    let mut classes = who.chars().fold(0, |classes, letter| {
        classes
            | match letter {
                'u' => 0o4700,
                'g' => 0o2070,
                'o' => 0o1007,
                'a' => 0o7777,
                _ => 0,
            }
    });
    if who.is_empty() {
        classes = 0o7777 & !UMASK;
    }
    let mut mode = mode;
    while let Some(operator) = actions.chars().next() {
        let rest = &actions[1..];
        let end = rest.find(['+', '-', '=']).unwrap_or(rest.len());
        let bits = permissions(&rest[..end], mode, is_dir) & classes;
        mode = match operator {
            '+' => mode | bits,
            '-' => mode & !bits,
            // As chmod(1): a directory keeps set-id bits that nobody named.
            _ => (mode & !(classes & if is_dir { 0o1777 } else { 0o7777 })) | bits,
        };
        actions = &rest[end..];
    }
    mode
}

/// The bits that letters mean, in every class.
fn permissions(letters: &str, mode: u32, is_dir: bool) -> u32 {
    letters.chars().fold(0, |bits, letter| {
        bits | match letter {
            'r' => 0o444,
            'w' => 0o222,
            'x' => 0o111,
            'X' if is_dir || mode & 0o111 != 0 => 0o111,
            's' => 0o6000,
            't' => 0o1000,
            'u' => (mode >> 6 & 7) * 0o111,
            'g' => (mode >> 3 & 7) * 0o111,
            'o' => (mode & 7) * 0o111,
            _ => 0,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbolic_modes_are_those_of_chmod() {
        let cases = [
            ("u+x", 0o644, false, 0o744),
            ("+x", 0o644, false, 0o755),
            ("+w", 0o444, false, 0o644),
            ("a+w", 0o444, false, 0o666),
            ("go-w", 0o666, false, 0o644),
            ("a=r", 0o777, false, 0o444),
            ("u=rwX,go=rX", 0o600, false, 0o644),
            ("u=rwX,go=rX", 0o700, true, 0o755),
            ("a+X", 0o644, false, 0o644),
            ("a+X", 0o744, false, 0o755),
            ("u+s", 0o755, false, 0o4755),
            ("g+s", 0o755, false, 0o2755),
            ("o+t", 0o777, true, 0o1777),
            ("g=u", 0o640, false, 0o660),
            ("u=rw,g=r,o=", 0o777, false, 0o640),
            ("u-x+w", 0o555, false, 0o655),
        ];
        for (text, mode, is_dir, expected) in cases {
            let found = apply(&ModeChange::Symbolic(text.into()), mode, is_dir);
            assert_eq!(found, expected, "{text} on {mode:o}: {found:o}");
        }
        assert_eq!(apply(&ModeChange::Octal(0o4755), 0o644, true), 0o4755);
    }
}
