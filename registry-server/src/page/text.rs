//! Text of somebody unknown: names of annotations, commands of layers, labels.
//!
//! Markup in it is escaped by the templates. What escaping leaves are characters that are not what they look like
//! (direction overrides, zero-width and control characters), which are shown by their number, and length, which is cut.

use maud::{Markup, Render, html};

/// Characters of a value in a table cell.
pub(crate) const CELL: usize = 200;
/// Characters of a command or a long value.
pub(crate) const BLOCK: usize = 4000;

/// Renders as the text, at most `limit` characters of it, isolated from the direction of what is around it.
pub(crate) struct Foreign<'a> {
    text: &'a str,
    limit: usize,
}

/// Text for a table cell.
pub(crate) fn cell(text: &str) -> Foreign<'_> {
    Foreign { text, limit: CELL }
}

/// Text for a block of its own: line breaks are kept.
pub(crate) fn block(text: &str) -> Foreign<'_> {
    Foreign { text, limit: BLOCK }
}

/// Text cut at `limit` characters.
pub(crate) fn cut(text: &str, limit: usize) -> Foreign<'_> {
    Foreign { text, limit }
}

/// Text for a title, which holds no elements: what does not show is left out.
pub(crate) fn plain(text: &str) -> String {
    text.chars().filter(|c| !is_odd(*c)).take(CELL).collect()
}

impl Render for Foreign<'_> {
    fn render(&self) -> Markup {
        let kept = self.text.char_indices().nth(self.limit).map_or(self.text, |(at, _)| &self.text[..at]);
        html! {
            bdi {
                @for piece in pieces(kept) {
                    @match piece {
                        Piece::Plain(text) => (text),
                        Piece::Odd(odd) => span.odd title="a character that does not show" { (format!("U+{:04X}", u32::from(odd))) },
                    }
                }
            }
            @if kept.len() < self.text.len() {
                span.cut title="cut here: the whole text is longer" { "… (" (self.text.len()) " bytes in all)" }
            }
        }
    }
}

/// A run of a text.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    Plain(&'a str),
    Odd(char),
}

fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let taken = if is_odd(first) { first.len_utf8() } else { rest.find(is_odd).unwrap_or(rest.len()) };
        let (head, tail) = rest.split_at(taken);
        rest = tail;
        Some(if is_odd(first) { Piece::Odd(first) } else { Piece::Plain(head) })
    })
}

/// Whether a character shows as nothing, or changes how others show.
fn is_odd(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        c if c.is_control() => true,
        // Soft hyphen, Arabic letter mark, Hangul fillers, Mongolian vowel separator.
        '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{3164}' | '\u{ffa0}' => true,
        // Zero width and direction marks; line separators, direction embeddings and overrides; invisible operators and isolates.
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => true,
        // Variation selectors, byte order mark, annotation marks, tags.
        '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}' => true,
        // Marks that pile up on the character before and can cover the lines around.
        '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_escaped_and_directions_are_shown() {
        let cases = [
            ("plain", "<bdi>plain</bdi>"),
            ("<script>alert(1)</script>", "<bdi>&lt;script&gt;alert(1)&lt;/script&gt;</bdi>"),
            ("\"'&", "<bdi>&quot;'&amp;</bdi>"),
            ("日本語 ok", "<bdi>日本語 ok</bdi>"),
        ];
        for (text, expected) in cases {
            assert_eq!(cell(text).render().into_string(), expected, "{text}");
        }
        for odd in ['\u{202e}', '\u{2066}', '\u{200b}', '\u{0}', '\u{1b}', '\u{7f}', '\u{85}', '\u{feff}', '\u{301}'] {
            let shown = cell(&format!("a{odd}b")).render().into_string();
            assert!(!shown.contains(odd), "{shown}");
            assert!(shown.contains(&format!(">U+{:04X}</span>b", u32::from(odd))), "{shown}");
        }
    }

    #[test]
    fn length_is_bounded() {
        let shown = cell(&"é".repeat(1 << 20)).render().into_string();
        assert!(shown.len() < 700, "{}", shown.len());
        assert!(shown.contains("2097152 bytes in all"));
        assert!(!cell(&"x".repeat(CELL)).render().into_string().contains("cut"));
    }
}
