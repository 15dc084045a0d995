//! What a container says, on our terminal: colours are shown; what would move the cursor, name the window, fill the clipboard or
//! make the terminal answer is left out.

/// The longest sequence that is a colour's.
const MAX_SEQUENCE: usize = 64;

/// Where in a control sequence a stream is.
#[derive(Debug, Default)]
pub(super) struct Screen {
    within: Within,
}

#[derive(Debug, Default)]
enum Within {
    #[default]
    Text,
    /// After ESC.
    Escape,
    /// After ESC and bytes that announce one more.
    Intermediate,
    /// After ESC [; its parameters so far.
    Control(Vec<u8>),
    /// After ESC [ and what no colour has.
    Other,
    /// A string for the terminal, until BEL or ESC \.
    Message { escape: bool },
    /// After the first byte of what may be a control character of two.
    Two,
}

impl Screen {
    /// What is shown of these bytes.
    pub(super) fn show(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            self.within = match (std::mem::take(&mut self.within), byte) {
                (Within::Text, 0x1b) | (Within::Control(_), 0x1b) => Within::Escape,
                (Within::Text, 0xc2) => Within::Two,
                (Within::Two, 0x80..=0x9f) => match byte {
                    0x9b => Within::Control(Vec::new()),
                    0x90 | 0x98 | 0x9d..=0x9f => Within::Message { escape: false },
                    _ => Within::Text,
                },
                (Within::Two, byte) => {
                    out.push(0xc2);
                    if byte == 0x1b {
                        Within::Escape
                    } else {
                        plain(byte, &mut out);
                        Within::Text
                    }
                }
                (Within::Text, byte) => {
                    plain(byte, &mut out);
                    Within::Text
                }
                (Within::Escape, b'[') => Within::Control(Vec::new()),
                (Within::Escape, b']' | b'P' | b'X' | b'^' | b'_') => Within::Message { escape: false },
                (Within::Escape | Within::Intermediate, 0x20..=0x2f) => Within::Intermediate,
                (Within::Escape, 0x1b) => Within::Escape,
                (Within::Escape | Within::Intermediate, _) => Within::Text,
                (Within::Control(sequence), b'm') => {
                    out.extend_from_slice(b"\x1b[");
                    out.extend_from_slice(&sequence);
                    out.push(b'm');
                    Within::Text
                }
                (Within::Control(mut sequence), b'0'..=b'9' | b';' | b':') if sequence.len() < MAX_SEQUENCE => {
                    sequence.push(byte);
                    Within::Control(sequence)
                }
                // Of what is no colour, the rest is only waited for.
                (Within::Control(_), 0x20..=0x3f) => Within::Other,
                (Within::Other, 0x20..=0x3f) => Within::Other,
                (Within::Other, 0x1b) => Within::Escape,
                (Within::Control(_) | Within::Other, _) => Within::Text,
                (Within::Message { .. }, 0x07) | (Within::Message { escape: true }, b'\\') => Within::Text,
                (Within::Message { .. }, byte) => Within::Message { escape: byte == 0x1b },
            };
        }
        out
    }
}

fn plain(byte: u8, out: &mut Vec<u8>) {
    if byte >= 0x20 && byte != 0x7f || matches!(byte, b'\n' | b'\t' | b'\r') {
        out.push(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_stay_and_the_rest_goes() {
        for (said, shown) in [
            ("plain ä\t\r\n", "plain ä\t\r\n"),
            ("\x1b[1;31mred\x1b[0m", "\x1b[1;31mred\x1b[0m"),
            ("\x1b[2J\x1b[Hgone", "gone"),
            ("\x1b]0;title\x07after", "after"),
            ("\x1b]52;c;ZXZpbA==\x1b\\after", "after"),
            ("\x1bP$q\x1b\\x", "x"),
            ("\x1b[?1049hx\x1b[6nx\x1b[>cx", "xxx"),
            ("\x1b(0x\x1bcx", "xx"),
            ("a\x08\x07\x00\x7fb", "ab"),
            ("\u{9b}2Jx\u{9d}0;t\x07y\u{85}z", "xyz"),
            ("£ ©", "£ ©"),
        ] {
            assert_eq!(String::from_utf8(Screen::default().show(said.as_bytes())).unwrap(), shown, "{said:?}");
            let mut screen = Screen::default();
            let pieces: Vec<u8> = said.bytes().flat_map(|byte| screen.show(&[byte])).collect();
            assert_eq!(pieces, shown.as_bytes(), "{said:?} in pieces");
        }
    }
}
