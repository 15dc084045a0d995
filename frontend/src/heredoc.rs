//! Heredocs: `<<EOF`, `<<-EOF`, `<<"EOF"`, `3<<EOF`; several on a line.

use crate::diagnostic::{Diagnostic, Findings};
use crate::line::{Lines, Logical};
use crate::word::{Expander, NoVariables};

/// A heredoc: its delimiter and its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heredoc {
    /// The delimiter without quotes; in COPY and ADD also the file's name.
    pub name: String,
    /// Whether variables in the body expand: the delimiter was not quoted.
    pub expand: bool,
    /// Whether leading tabs are dropped: `<<-`.
    pub strip_tabs: bool,
    /// The file descriptor before `<<`; 0 where there is none.
    pub descriptor: u64,
    /// The body as written, each line with its ending.
    pub content: String,
}

impl Heredoc {
    /// Reads a word such as `<<-"EOF"`.
    pub(crate) fn from_word(word: &str) -> Option<Heredoc> {
        let (descriptor, rest) = word.split_once("<<")?;
        if !descriptor.bytes().all(|b| b.is_ascii_digit()) || rest.contains('<') {
            return None;
        }
        let (strip_tabs, rest) = match rest.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let bare = Expander::delimiter().expand(rest.trim_start(), &NoVariables).ok()?.words;
        let [name] = bare.as_slice() else { return None };
        let quotes = |text: &str| text.bytes().filter(|b| matches!(b, b'\'' | b'"')).count();
        Some(Heredoc {
            name: name.clone(),
            // Quotes that vanished from the name quoted it.
            expand: quotes(name) == quotes(rest),
            strip_tabs,
            descriptor: descriptor.parse().unwrap_or(0),
            content: String::new(),
        })
    }

    /// The body, without leading tabs where `<<-` asks for that.
    pub fn text(&self) -> String {
        if !self.strip_tabs {
            return self.content.clone();
        }
        self.content.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
    }

    fn ends_at(&self, line: &str) -> bool {
        let line = line.trim_end_matches(['\r', '\n']);
        let line = if self.strip_tabs { line.trim_start_matches('\t') } else { line };
        line == self.name
    }
}

/// Reads the bodies of the heredocs that a line announces, and moves its end
/// over them.
pub(crate) fn read_bodies(logical: &mut Logical, lines: &mut Lines<'_>, findings: &mut Findings) -> Vec<Heredoc> {
    if !logical.text.contains("<<") {
        return Vec::new();
    }
    // A line whose quotes do not close announces none, as in BuildKit.
    let Ok(split) = Expander::splitter().expand(&logical.text, &NoVariables) else { return Vec::new() };
    let mut heredocs: Vec<Heredoc> = split.words.iter().filter_map(|word| Heredoc::from_word(word)).collect();
    for heredoc in &mut heredocs {
        let mut ended = false;
        while let Some(line) = lines.next_raw() {
            if heredoc.ends_at(line) {
                ended = true;
                break;
            }
            heredoc.content.push_str(line);
        }
        if !ended {
            let error =
                Diagnostic::error("UnterminatedHeredoc", format!("the heredoc `{}` does not end", heredoc.name));
            let help = format!("a line with nothing but `{}` ends it", heredoc.name);
            findings.push(error.at(logical.span).help(help));
        }
    }
    if !heredocs.is_empty() {
        logical.lines.1 = lines.line_number();
    }
    heredocs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::SourceText;

    #[test]
    fn delimiters() {
        for (word, name, expand, strip_tabs, descriptor) in [
            ("<<EOF", "EOF", true, false, 0),
            ("<<-EOF", "EOF", true, true, 0),
            ("<<\"EOF\"", "EOF", false, false, 0),
            ("<<-'E O'", "E O", false, true, 0),
            ("3<<EOF", "EOF", true, false, 3),
            ("<<E'O'F", "EOF", false, false, 0),
            ("<<$X", "$X", true, false, 0),
            ("<<\\'E", "'E", true, false, 0),
        ] {
            let found = Heredoc::from_word(word).unwrap_or_else(|| panic!("{word}"));
            assert_eq!((found.name.as_str(), found.expand), (name, expand), "{word}");
            assert_eq!((found.strip_tabs, found.descriptor), (strip_tabs, descriptor), "{word}");
        }
        for word in ["<<", "<<-", "<<<EOF", "a<<EOF", "EOF", "<EOF", "<<a b", "<<'"] {
            assert_eq!(Heredoc::from_word(word), None, "{word}");
        }
    }

    fn read(text: &str) -> (Vec<Heredoc>, Vec<Diagnostic>, Option<String>) {
        let source = SourceText::new("D", text.as_bytes().to_vec()).unwrap();
        let mut findings = Findings::default();
        let mut lines = Lines::new(&source, '\\');
        let mut logical = lines.next_logical(&mut findings).unwrap();
        let heredocs = read_bodies(&mut logical, &mut lines, &mut findings);
        let next = lines.next_logical(&mut findings).map(|line| line.text);
        (heredocs, findings.finish(), next)
    }

    #[test]
    fn bodies() {
        let (found, errors, next) = read("COPY <<a <<-\"b\" /x/\n1 \\\n# 2\na\n\t3\n\tb\nRUN y\n");
        assert!(errors.is_empty());
        assert_eq!(found[0].content, "1 \\\n# 2\n");
        assert_eq!(found[1].text(), "3\n");
        assert_eq!(next.as_deref(), Some("RUN y"));
        let (found, _, _) = read("RUN <<EOF\r\nx\r\nEOF\r\n");
        assert_eq!(found[0].content, "x\r\n");
    }

    #[test]
    fn what_does_not_end_is_an_error() {
        let (_, errors, _) = read("RUN <<EOF\necho");
        assert_eq!(errors[0].rule, "UnterminatedHeredoc");
    }

    #[test]
    fn quoted_arrows_are_no_heredoc() {
        assert!(read("RUN echo '<<EOF'\n").0.is_empty());
        assert!(read("RUN echo \"x <<EOF y\"\n").0.is_empty());
        assert!(read("RUN cat <<<EOF\n").0.is_empty());
    }
}
