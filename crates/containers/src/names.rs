//! Names for containers that were given none.

use crate::Containers;
use crate::error::Result;
use crate::id::NameError;

/// How people are.
const ADJECTIVES: [&str; 80] = [
    "able", "amber", "bold", "brave", "breezy", "bright", "brisk", "calm", "candid", "cheery", "clever", "cosmic",
    "crisp", "curious", "daring", "deft", "eager", "early", "earnest", "easy", "fair", "fearless", "fluent", "fond",
    "frank", "gentle", "glad", "golden", "grand", "happy", "hardy", "hearty", "honest", "hopeful", "humble", "jolly",
    "jovial", "keen", "kind", "lively", "loyal", "lucid", "lucky", "mellow", "merry", "mighty", "modest", "neat",
    "nimble", "noble", "patient", "placid", "plucky", "polite", "prompt", "proud", "quick", "quiet", "rapid", "ready",
    "robust", "rosy", "sage", "serene", "sharp", "silent", "sincere", "smart", "spry", "stable", "steady", "sunny",
    "swift", "tidy", "tranquil", "upbeat", "vivid", "warm", "witty", "zesty",
];

/// People who moved goods, measured the earth, or taught machines: sailors, engineers, mathematicians.
const SURNAMES: [&str; 80] = [
    "abel",
    "agnesi",
    "amundsen",
    "archimedes",
    "banach",
    "barbosa",
    "battuta",
    "bernoulli",
    "boole",
    "borlaug",
    "brunel",
    "cabot",
    "cantor",
    "carnot",
    "carson",
    "cauchy",
    "cerf",
    "chandra",
    "church",
    "cook",
    "coulomb",
    "curie",
    "dijkstra",
    "drake",
    "eiffel",
    "elcano",
    "erdos",
    "euler",
    "faraday",
    "fermat",
    "fourier",
    "franklin",
    "fulton",
    "galois",
    "gauss",
    "germain",
    "goddard",
    "godel",
    "hamilton",
    "harrison",
    "hertz",
    "hilbert",
    "hopper",
    "humboldt",
    "hypatia",
    "jemison",
    "kahn",
    "kepler",
    "knuth",
    "kovalevskaya",
    "lamarr",
    "laplace",
    "leibniz",
    "lovelace",
    "magellan",
    "maxwell",
    "mclean",
    "mercator",
    "mirzakhani",
    "napier",
    "nightingale",
    "noether",
    "ohm",
    "pascal",
    "poincare",
    "ramanujan",
    "ride",
    "riemann",
    "ritchie",
    "shannon",
    "stephenson",
    "telford",
    "tereshkova",
    "tesla",
    "thompson",
    "turing",
    "volta",
    "watt",
    "wiles",
    "zheng",
];

/// How often names of two words are tried before a number is put behind them.
const TRIES: u32 = 8;

impl Containers {
    /// A name that nobody has yet.
    ///
    /// # Errors
    /// When the folder of names cannot be read, or the kernel gives no random bytes.
    pub fn new_name(&self) -> Result<String> {
        let mut name = String::new();
        for attempt in 0..2 * TRIES {
            let [first, second, number] = random()?;
            let adjective = ADJECTIVES[usize::from(first) % ADJECTIVES.len()];
            name = format!("{adjective}_{}", SURNAMES[usize::from(second) % SURNAMES.len()]);
            if attempt >= TRIES {
                name.push_str(&number.to_string());
            }
            if self.is_free(&name)? {
                break;
            }
        }
        Ok(name)
    }
}

fn random() -> Result<[u16; 3], NameError> {
    let mut bytes = [0; 6];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).map_err(NameError::Random)?;
    let [a, b, c, d, e, f] = bytes;
    Ok([u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d]), u16::from_ne_bytes([e, f])])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_names_and_each_is_once() {
        for words in [ADJECTIVES, SURNAMES] {
            let unique: std::collections::BTreeSet<_> = words.iter().collect();
            assert_eq!(unique.len(), words.len());
            assert!(words.iter().all(|word| crate::id::check_name(word).is_ok()));
        }
    }
}
