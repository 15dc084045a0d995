//! The syntax of unit files (systemd.syntax(7)): sections, keys that may come again, lines that go on.

/// The longest file that is read: units of people have some kilobytes.
pub const MAX_LENGTH: usize = 1 << 20;

/// A unit file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unit {
    /// In the order of their first appearance.
    pub sections: Vec<Section>,
}

/// A section.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Section {
    /// Without brackets.
    pub name: String,
    /// Keys and values as they were written; a key may come several times.
    pub entries: Vec<(String, String)>,
}

/// What a unit file cannot hold.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct SyntaxError {
    /// The line, from 1 on.
    pub line: usize,
    /// Why.
    pub why: String,
}

impl Unit {
    /// Reads one. The first error ends it.
    ///
    /// # Errors
    /// A line that is neither section, comment nor `Key=value`; a file beyond [`MAX_LENGTH`].
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        if text.len() > MAX_LENGTH {
            return Err(SyntaxError { line: 1, why: format!("the file has more than {MAX_LENGTH} bytes") });
        }
        let mut unit = Self::default();
        let mut current: Option<String> = None;
        for (line, written) in logical_lines(text) {
            let trimmed = written.trim();
            if let Some(name) = trimmed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                unit.section_mut(name);
                current = Some(name.to_owned());
                continue;
            }
            let error = |why: &str| SyntaxError { line, why: format!("{why}: {}", excerpt(trimmed)) };
            let (key, value) = trimmed.split_once('=').ok_or_else(|| error("neither a section nor `Key=value`"))?;
            let section = current.as_deref().ok_or_else(|| error("a key before the first section"))?;
            let key = key.trim();
            if key.is_empty() {
                return Err(error("a value without a key"));
            }
            unit.section_mut(section).entries.push((key.to_owned(), value.trim().to_owned()));
        }
        Ok(unit)
    }

    /// A section, if it is there.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// A section, made at the end where it is not there.
    pub fn section_mut(&mut self, name: &str) -> &mut Section {
        let at = self.sections.iter().position(|section| section.name == name).unwrap_or_else(|| {
            self.sections.push(Section { name: name.to_owned(), entries: Vec::new() });
            self.sections.len() - 1
        });
        &mut self.sections[at]
    }

    /// What another file adds to this one.
    pub fn merge(&mut self, other: Unit) {
        for section in other.sections {
            self.section_mut(&section.name).entries.extend(section.entries);
        }
    }
}

impl Section {
    /// The value that counts of a key that has one: the last.
    pub fn last(&self, key: &str) -> Option<&str> {
        self.entries.iter().rev().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// All values of a key that has many; an empty one forgets those before it.
    pub fn all(&self, key: &str) -> Vec<&str> {
        let mut all = Vec::new();
        for (_, value) in self.entries.iter().filter(|(known, _)| known == key) {
            if value.is_empty() {
                all.clear();
            } else {
                all.push(value.as_str());
            }
        }
        all
    }

    /// Whether a key is there.
    pub fn has(&self, key: &str) -> bool {
        self.last(key).is_some()
    }

    /// Adds a value.
    pub fn add(&mut self, key: &str, value: impl Into<String>) {
        self.entries.push((key.to_owned(), value.into()));
    }

    /// Adds a value, unless the user gave one.
    pub fn preset(&mut self, key: &str, value: impl Into<String>) {
        if !self.has(key) {
            self.add(key, value);
        }
    }
}

impl std::fmt::Display for Unit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, section) in self.sections.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            writeln!(f, "[{}]", section.name)?;
            for (key, value) in &section.entries {
                writeln!(f, "{key}={value}")?;
            }
        }
        Ok(())
    }
}

/// Lines with those that end in a backslash joined to the next, by a space; comments between them fall out.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (at, line) in text.lines().enumerate() {
        let start = line.trim_start();
        if start.starts_with(['#', ';']) || (start.is_empty() && open.is_none()) {
            continue;
        }
        let (first, mut whole) = open.take().unwrap_or((at + 1, String::new()));
        match line.strip_suffix('\\') {
            Some(rest) => {
                whole.push_str(rest);
                whole.push(' ');
                open = Some((first, whole));
            }
            None => {
                whole.push_str(line);
                lines.push((first, whole));
            }
        }
    }
    lines.extend(open);
    lines
}

/// The beginning of a line, for an error.
fn excerpt(line: &str) -> String {
    const SHOWN: usize = 60;
    line.chars().take(SHOWN).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_keys_and_lines_that_go_on() {
        let text = "# c\n[Container]\nImage=a\nExec=x \\\n# in between\n  y\nVolume=a:/a\nVolume=\nVolume=b:/b\n\n[Unit]\nA=1\nA=2\n";
        let unit = Unit::parse(text).unwrap();
        let container = unit.section("Container").unwrap();
        assert_eq!(container.last("Exec"), Some("x    y"));
        assert_eq!(container.all("Volume"), ["b:/b"]);
        assert_eq!(unit.section("Unit").unwrap().last("A"), Some("2"));
        assert_eq!(Unit::parse(&unit.to_string()).unwrap(), unit);
    }

    #[test]
    fn what_is_no_unit_is_refused_where_it_stands() {
        for (text, line) in [("x", 1), ("A=1", 1), ("[S]\n\nwords", 3), ("[S]\n=1", 2)] {
            assert_eq!(Unit::parse(text).unwrap_err().line, line, "{text:?}");
        }
        let long = format!("[S]\nA={}", "x".repeat(MAX_LENGTH));
        assert!(Unit::parse(&long).is_err());
        assert!(!Unit::parse("[S]\n\u{1b}[2J").unwrap_err().to_string().contains('\u{1b}'));
    }
}
