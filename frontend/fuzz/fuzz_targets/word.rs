//! Any word expands, or says why not; the first line is the variable's value.
#![no_main]

use std::collections::BTreeMap;

use estiba_frontend::Expander;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (value, word) = text.split_once('\n').unwrap_or(("", text));
    let variables = BTreeMap::from([("A".to_owned(), value.to_owned())]);
    for expander in [Expander::new('\\'), Expander::new('`'), Expander::body(), Expander::shown('\\')] {
        drop(expander.expand(word, &variables));
    }
});
