//! Variables in the order they were set.

use std::collections::HashMap;

use crate::word::Variables;

/// An ordered set of variables; setting one again keeps its place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    pairs: Vec<(String, String)>,
    places: HashMap<String, usize>,
    bytes: usize,
}

impl Environment {
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.bytes += name.len() + value.len();
        if let Some(&place) = self.places.get(name) {
            self.pairs[place].1 = value.to_owned();
            return;
        }
        self.places.insert(name.to_owned(), self.pairs.len());
        self.pairs.push((name.to_owned(), value.to_owned()));
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.places.get(name).map(|&place| self.pairs[place].1.as_str())
    }

    pub(crate) fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }

    /// About how much memory a copy takes.
    pub(crate) fn weight(&self) -> usize {
        self.bytes + self.pairs.len() * 64
    }
}

impl Variables for Environment {
    fn value(&self, name: &str) -> Option<&str> {
        self.get(name)
    }
}

/// Splits `NAME=value`; a text without `=` is a name with an empty value.
pub(crate) fn split_pair(text: &str) -> (&str, &str) {
    text.split_once('=').unwrap_or((text, ""))
}

/// Sets a variable in an image configuration's list, keeping its place.
pub(crate) fn set_in_list(list: &mut Vec<String>, name: &str, value: &str) {
    let pair = format!("{name}={value}");
    match list.iter_mut().find(|entry| split_pair(entry).0 == name) {
        Some(entry) => *entry = pair,
        None => list.push(pair),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_again_keeps_the_place() {
        let mut environment = Environment::default();
        for (name, value) in [("A", "1"), ("B", "2"), ("A", "3")] {
            environment.set(name, value);
        }
        assert_eq!(environment.pairs(), [("A".into(), "3".into()), ("B".into(), "2".into())]);
    }

    #[test]
    fn lists_replace_the_first_of_a_name() {
        let mut list = vec!["K".to_owned(), "A=1".to_owned(), "A=2".to_owned()];
        set_in_list(&mut list, "A", "3");
        set_in_list(&mut list, "K", "v");
        set_in_list(&mut list, "N", "");
        assert_eq!(list, ["K=v", "A=3", "A=2", "N="]);
    }
}
