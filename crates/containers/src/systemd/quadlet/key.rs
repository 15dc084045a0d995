//! Tables of keys: most of them are an option of ours under another name.

use super::super::unit::Section;
use super::{Making, Problem};

/// What a key becomes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Becomes {
    /// `--option VALUE`, the last one counts.
    One(&'static str),
    /// `--option VALUE` for each.
    Each(&'static str),
    /// `--option WORD` for each word of each value.
    Words(&'static str),
    /// `--option` where it says yes.
    Switch(&'static str),
    /// The words of each value as they are: options that have no key.
    Arguments,
    /// The file's own code reads it.
    Own,
    /// Not here, and what to do instead.
    Refused(&'static str),
}

/// A key and what it becomes.
pub(super) type Row = (&'static str, Becomes);

/// Reads yes and no as systemd does.
pub(super) fn switch(key: &str, value: &str) -> Result<bool, Problem> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Ok(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Ok(false),
        _ => Err(Problem::Value { key: key.to_owned(), value: value.to_owned(), why: "neither yes nor no".to_owned() }),
    }
}

/// The options of a section, in the order of the table; an unknown key is an error.
pub(super) fn options(
    making: &Making<'_>,
    name: &'static str,
    section: &Section,
    table: &[Row],
) -> Result<Vec<String>, Problem> {
    for (key, _) in &section.entries {
        let refused = |hint: &str| Problem::Key { section: name, key: key.clone(), hint: hint.to_owned() };
        match table.iter().find(|(known, _)| known == key) {
            None => return Err(refused("")),
            Some((_, Becomes::Refused(instead))) => return Err(refused(&format!(": {instead}"))),
            Some(_) => {}
        }
    }
    let mut all = Vec::new();
    let mut option = |option: &str, value: &str| all.extend([option.to_owned(), value.to_owned()]);
    for (key, becomes) in table.iter().filter(|(key, _)| section.has(key)) {
        match becomes {
            Becomes::One(name) => {
                if let Some(value) = section.last(key).filter(|value| !value.is_empty()) {
                    option(name, value);
                }
            }
            Becomes::Each(name) => section.all(key).into_iter().for_each(|value| option(name, value)),
            Becomes::Words(name) => {
                for value in section.all(key) {
                    making.words(key, value)?.iter().for_each(|word| option(name, word));
                }
            }
            Becomes::Switch(_) | Becomes::Arguments | Becomes::Own | Becomes::Refused(_) => {}
        }
    }
    for (key, becomes) in table.iter().filter(|(key, _)| section.has(key)) {
        match becomes {
            Becomes::Switch(name) if switch(key, section.last(key).unwrap_or_default())? => {
                all.push((*name).to_owned())
            }
            Becomes::Arguments => {
                for value in section.all(key) {
                    all.extend(making.words(key, value)?);
                }
            }
            _ => {}
        }
    }
    Ok(all)
}
