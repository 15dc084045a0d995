//! Secrets in what a RUN prints: each line of one, where it is long enough to be told from other words, is shown as `***`.
//!
//! This is a net below the rope: a program that prints a secret piece by piece, or encoded, is not caught.

use aho_corasick::AhoCorasick;

use crate::Secret;

/// Shorter lines would mask half of what is printed.
const MIN: usize = 8;
/// Longer lines are looked for in pieces of this size.
const PIECE: usize = 1 << 10;
/// What is shown instead.
const STARS: &[u8] = b"***";

/// Finds secrets in lines of output.
pub(super) struct Mask(AhoCorasick);

impl Mask {
    /// `None` where there is nothing to hide.
    pub(super) fn new(secrets: &[Secret]) -> Option<Self> {
        let mut pieces: Vec<&[u8]> = Vec::new();
        for line in secrets.iter().flat_map(|secret| secret.split(|byte| *byte == b'\n')) {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.len() < MIN {
                continue;
            }
            if line.len() <= PIECE {
                pieces.push(line);
                continue;
            }
            pieces.extend(line.chunks_exact(PIECE));
            // The last one reaches back, so that every byte is in a piece.
            pieces.push(&line[line.len() - PIECE..]);
        }
        pieces.sort_unstable();
        pieces.dedup();
        if pieces.is_empty() {
            return None;
        }
        // So many bytes fit into any automaton.
        AhoCorasick::new(pieces).ok().map(Self)
    }

    /// How many bytes before the end of an unfinished line may be the beginning of a piece.
    pub(super) fn reach(&self) -> usize {
        self.0.max_pattern_len().saturating_sub(1)
    }

    /// The first `upto` bytes with every secret masked. Gives also how many bytes that covers: a secret that crosses
    /// `upto` is taken whole.
    pub(super) fn apply(&self, text: &[u8], upto: usize) -> (Vec<u8>, usize) {
        let mut out = Vec::with_capacity(upto);
        let mut done = 0;
        // Overlapping and adjoining ones count as one.
        let mut covered: Option<(usize, usize)> = None;
        let mut flush = |covered: (usize, usize), done: &mut usize| {
            if covered.0 < upto {
                out.extend_from_slice(&text[*done..covered.0]);
                out.extend_from_slice(STARS);
                *done = covered.1;
            }
        };
        for found in self.0.find_overlapping_iter(text) {
            covered = Some(match covered {
                Some((start, end)) if found.start() <= end => (start.min(found.start()), end.max(found.end())),
                Some(before) => {
                    flush(before, &mut done);
                    (found.start(), found.end())
                }
                None => (found.start(), found.end()),
            });
        }
        if let Some(last) = covered {
            flush(last, &mut done);
        }
        if done < upto {
            out.extend_from_slice(&text[done..upto]);
            done = upto;
        }
        (out, done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SecretPlace, SecretSource, Secrets};

    fn mask(secret: &[u8]) -> Option<Mask> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        std::fs::write(&path, secret).unwrap();
        let secrets = Secrets::new(vec![SecretSource { id: "s".to_owned(), place: SecretPlace::File(path) }]);
        Mask::new(&[secrets.get("s").unwrap().unwrap()])
    }

    fn whole(mask: &Mask, text: &[u8]) -> String {
        String::from_utf8_lossy(&mask.apply(text, text.len()).0).into_owned()
    }

    #[test]
    fn lines_of_a_secret_are_masked_wherever_they_are() {
        let found = mask(b"hunter2-hunter2\nshort\nsecond line of it\r\n").unwrap();
        assert_eq!(whole(&found, b"a hunter2-hunter2 b\nshort\nsecond line of it\n"), "a *** b\nshort\n***\n");
        assert_eq!(whole(&found, b"hunter2-hunter2hunter2-hunter2"), "***", "side by side they are one");
        assert_eq!(whole(&found, b"nothing of it\n"), "nothing of it\n");
        assert!(mask(b"short\n").is_none() && mask(b"").is_none());
    }

    #[test]
    fn long_and_binary_ones_too() {
        let long: Vec<u8> = (0..5000u32).map(|n| (n * 7 % 251) as u8 | 0x80).collect();
        let found = mask(&long).unwrap();
        let text = [b"<", long.as_slice(), b">"].concat();
        assert_eq!(whole(&found, &text), "<***>");
    }

    #[test]
    fn a_secret_across_the_cut_is_taken_whole() {
        let found = mask(b"hunter2-hunter2").unwrap();
        let text = b"before hunter2-hunter2 after";
        assert_eq!(found.apply(text, 10), (b"before ***".to_vec(), 22));
        assert_eq!(found.apply(text, 7), (b"before ".to_vec(), 7));
        assert_eq!(found.reach(), 14);
    }
}
