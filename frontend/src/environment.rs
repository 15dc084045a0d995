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
        if let Some(&place) = self.places.get(name) {
            let old = std::mem::replace(&mut self.pairs[place].1, value.to_owned());
            self.bytes = self.bytes + value.len() - old.len();
            return;
        }
        self.bytes += name.len() + value.len();
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

/// Where each variable of an image configuration's list stands; of a name in
/// use twice the first counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListIndex {
    places: HashMap<String, usize>,
}

impl ListIndex {
    pub(crate) fn new(list: &[String]) -> ListIndex {
        let mut index = ListIndex::default();
        for (place, pair) in list.iter().enumerate() {
            index.places.entry(split_pair(pair).0.to_owned()).or_insert(place);
        }
        index
    }

    /// Sets a variable in the list, keeping its place.
    pub(crate) fn set(&mut self, list: &mut Vec<String>, name: &str, value: &str) {
        let pair = format!("{name}={value}");
        match self.places.get(name) {
            Some(&place) => list[place] = pair,
            None => {
                self.places.insert(name.to_owned(), list.len());
                list.push(pair);
            }
        }
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
        let mut index = ListIndex::new(&list);
        for (name, value) in [("A", "3"), ("K", "v"), ("N", "1"), ("N", "")] {
            index.set(&mut list, name, value);
        }
        assert_eq!(list, ["K=v", "A=3", "A=2", "N="]);
    }
}
