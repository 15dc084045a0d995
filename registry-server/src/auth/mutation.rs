//! Texts that are nearly right: what parsers meet between fuzzing runs.

use proptest::prelude::*;

/// A text with a few characters taken out, put in, or doubled, at any place.
pub(super) fn mutated(seeds: &'static [&'static str]) -> impl Strategy<Value = String> {
    let edit = (any::<prop::sample::Index>(), 0..4_u8, any::<char>());
    (prop::sample::select(seeds), prop::collection::vec(edit, 0..6)).prop_map(|(seed, edits)| {
        let mut text: Vec<char> = seed.chars().collect();
        for (at, kind, other) in edits {
            if text.is_empty() {
                text.push(other);
            }
            let at = at.index(text.len());
            match kind {
                0 => drop(text.remove(at)),
                1 => text.insert(at, other),
                2 => text[at] = other,
                _ => {
                    let tail: Vec<char> = text[at..].iter().take(16).copied().collect();
                    text.splice(at..at, tail);
                }
            }
        }
        text.into_iter().collect()
    })
}
