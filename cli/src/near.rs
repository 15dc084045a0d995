//! "Did you mean …?"

/// The candidate nearest to `word`, when one is near enough to be meant.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    ranked(word, candidates).into_iter().next()
}

/// The candidates near enough to `word` to be meant, nearest first.
pub(crate) fn ranked<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let lower = word.to_lowercase();
    let mut near: Vec<_> = candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= allowed(word.len().max(candidate.len())))
        .collect();
    near.sort();
    near.into_iter().map(|(_, candidate)| candidate).collect()
}

/// A third of the letters may differ: `buidl` finds `build`, `x` finds nothing.
fn allowed(length: usize) -> usize {
    length / 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        assert_eq!(nearest("buidl", ["build", "run", "images"]), Some("build"));
        assert_eq!(nearest("Dockrfile", ["dockerfile", "src"]), Some("dockerfile"));
        assert_eq!(nearest("x", ["build", "run"]), None);
    }
}
