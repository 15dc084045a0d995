//! What is wrong with a configuration, as people are told.

use std::fmt;

use super::source::Place;

/// Everything that is wrong, in the order of the sources.
#[derive(Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

/// One thing that is wrong, with its place and, where there is one, its line.
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where: `registry.toml:3:1`, a variable, an option; or the field, where its default is meant.
    pub place: String,
    /// What, and what would be right.
    pub message: String,
    /// The line with marks below what is meant, each line ended.
    pub excerpt: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.place, self.message) }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
            if !problem.excerpt.is_empty() {
                write!(f, "\n{}", problem.excerpt.trim_end())?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl Problem {
    /// A problem at a spot.
    pub(super) fn at(spot: &super::source::Spot<'_>, message: String) -> Self {
        let Place::File(path) = spot.place else {
            return Self { place: spot.place.to_string(), message, excerpt: String::new() };
        };
        let number = spot.line.to_string();
        let margin = " ".repeat(number.len());
        // Tabs stay tabs, so that the marks stand below what they mean.
        let before: String =
            spot.text.chars().take(spot.column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let text: String =
            spot.text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect();
        let marks = "^".repeat(spot.width);
        Self {
            place: format!("{}:{}:{}", path.display(), spot.line, spot.column),
            message,
            excerpt: format!(" {number} | {text}\n {margin} | {before}{marks}\n"),
        }
    }

    /// A problem that has no line.
    pub(super) fn of(place: impl fmt::Display, message: impl Into<String>) -> Self {
        Self { place: place.to_string(), message: message.into(), excerpt: String::new() }
    }
}

/// serde's words, with the nearest of the names that it would have taken.
pub(super) fn reworded(message: &str) -> String {
    let Some((what, expected)) = message.split_once(", expected ") else { return message.to_owned() };
    let Some(given) = what.split('`').nth(1) else { return message.to_owned() };
    if !what.starts_with("unknown ") {
        return message.to_owned();
    }
    let names: Vec<_> = expected.split('`').skip(1).step_by(2).collect();
    match nearest(given, names.iter().copied()) {
        Some(near) => format!("{what}; did you mean `{near}`?"),
        None if names.is_empty() => what.to_owned(),
        None => format!("{what}; there is {}", names.join(", ")),
    }
}

/// The name that was probably meant: a third of its letters may differ.
pub(super) fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = names.into_iter().map(|name| (strsim::damerau_levenshtein(word, name), name));
    near.filter(|(distance, name)| *distance <= word.len().max(name.len()) / 3).min().map(|(_, name)| name)
}
