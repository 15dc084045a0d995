//! The `--name=value` flags between an instruction's keyword and its arguments.

use crate::diagnostic::{Diagnostic, Findings};
use crate::line::Logical;
use crate::source::Span;
use crate::word::Word;

/// What values a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagKind {
    /// `--name`, `--name=true` or `--name=false`.
    Boolean,
    /// `--name=value`, at most once.
    Text,
    /// `--name=value`, any number of times.
    Repeated,
}

/// A row of an instruction's flags.
#[derive(Clone, Copy, Debug)]
pub struct FlagSpec {
    /// Its name, without the dashes.
    pub name: &'static str,
    /// What it takes.
    pub kind: FlagKind,
}

impl FlagSpec {
    pub(crate) const fn new(name: &'static str, kind: FlagKind) -> FlagSpec {
        FlagSpec { name, kind }
    }
}

/// A flag as written, quotes and escapes resolved.
#[derive(Clone, Debug)]
struct Flag {
    name: String,
    value: Option<String>,
    span: Span,
}

/// The flags of one instruction, taken out one by one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags {
    list: Vec<Flag>,
}

impl Flags {
    /// Reads flags from byte `start` of a line on; also gives the byte at which
    /// the arguments begin.
    pub(crate) fn split(logical: &Logical, start: usize) -> (Flags, usize) {
        let text = logical.text.as_str();
        let mut flags = Flags::default();
        let mut at = start;
        loop {
            let rest = &text[at..];
            at += rest.len() - rest.trim_start().len();
            if !text[at..].starts_with("--") {
                return (flags, at);
            }
            let (word, end) = flag_word(text, at);
            if word == "--" {
                return (flags, end);
            }
            let span = logical.span_of(at..end);
            let word = word.strip_prefix("--").unwrap_or(&word);
            let flag = match word.split_once('=') {
                Some((name, value)) => Flag { name: name.to_owned(), value: Some(value.to_owned()), span },
                None => Flag { name: word.to_owned(), value: None, span },
            };
            flags.list.push(flag);
            at = end;
        }
    }

    /// Reports flags that the instruction does not have, that come twice, or
    /// whose value is missing or wrong, and drops them.
    pub(crate) fn check(&mut self, keyword: &str, specs: &[FlagSpec], findings: &mut Findings) {
        let mut seen: Vec<&str> = Vec::new();
        self.list.retain(|flag| {
            let Some(spec) = specs.iter().find(|spec| spec.name == flag.name) else {
                let full = findings.is_full_of_errors();
                findings.push(unknown(flag, keyword, if full { &[] } else { specs }));
                return false;
            };
            let twice = seen.contains(&spec.name) && spec.kind != FlagKind::Repeated;
            seen.push(spec.name);
            let problem = match (spec.kind, flag.value.as_deref()) {
                _ if twice => format!("`--{}` is given twice", spec.name),
                (FlagKind::Boolean, None) => return true,
                (FlagKind::Boolean, Some(value)) if boolean(value).is_some() => return true,
                (FlagKind::Boolean, Some(value)) => format!("`--{}` is true or false, not `{value}`", spec.name),
                (FlagKind::Text | FlagKind::Repeated, Some(_)) => return true,
                (FlagKind::Text | FlagKind::Repeated, None) => format!("`--{}` needs a value", spec.name),
            };
            findings.push(Diagnostic::error("InvalidFlag", problem).at(flag.span));
            false
        });
    }

    /// The value of a text flag.
    pub(crate) fn text(&self, name: &str) -> Option<Word> {
        self.texts(name).next()
    }

    /// The values of a repeated flag.
    pub(crate) fn texts(&self, name: &str) -> impl Iterator<Item = Word> {
        let matching = self.list.iter().filter(move |flag| flag.name == name);
        matching.filter_map(|flag| flag.value.clone().map(|text| Word { text, span: flag.span }))
    }

    /// The value of a boolean flag, where it is given.
    pub(crate) fn boolean(&self, name: &str) -> Option<bool> {
        let flag = self.list.iter().find(|flag| flag.name == name)?;
        flag.value.as_deref().map_or(Some(true), boolean)
    }
}

fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

fn unknown(flag: &Flag, keyword: &str, specs: &[FlagSpec]) -> Diagnostic {
    let keyword = keyword.to_ascii_uppercase();
    let error = Diagnostic::error("UnknownFlag", format!("{keyword} has no flag `--{}`", flag.name)).at(flag.span);
    let names: Vec<String> = specs.iter().map(|spec| format!("--{}", spec.name)).collect();
    error.suggest(&format!("--{}", flag.name), names.iter().map(String::as_str))
}

/// The flag at byte `start`, without quotes and escapes, and where it ends.
/// The escape is a backslash here whatever the file says, as in BuildKit.
fn flag_word(text: &str, start: usize) -> (String, usize) {
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text[start..].char_indices();
    while let Some((at, c)) = chars.next() {
        match (c, quote) {
            ('\\', _) => word.extend(chars.next().map(|(_, escaped)| escaped)),
            (c, Some(open)) if c == open => quote = None,
            (c, Some(_)) => word.push(c),
            (c, None) if c.is_whitespace() => return (word, start + at),
            ('\'' | '"', None) => quote = Some(c),
            (c, None) => word.push(c),
        }
    }
    (word, text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::Lines;
    use crate::source::SourceText;

    fn split(text: &str) -> (Flags, String) {
        let source = SourceText::new("D", text.as_bytes().to_vec()).unwrap();
        let logical = Lines::new(&source, '\\').next_logical(&mut Findings::default()).unwrap();
        let (flags, at) = Flags::split(&logical, 3);
        (flags, logical.text[at..].to_owned())
    }

    #[test]
    fn flags_and_the_rest() {
        let (flags, rest) = split("RUN --mount=type=bind,src=\"a b\" --net --  --x y");
        assert_eq!(flags.text("mount").unwrap().text, "type=bind,src=a b");
        assert_eq!(flags.boolean("net"), Some(true));
        assert_eq!(rest, "  --x y");
        let (flags, rest) = split("RUN \\\n --a=1 \\\n # c\n -b");
        assert_eq!(flags.text("a").unwrap().text, "1");
        assert_eq!(rest, "-b");
    }

    #[test]
    fn wrong_flags_are_told() {
        let specs = [
            FlagSpec::new("link", FlagKind::Boolean),
            FlagSpec::new("from", FlagKind::Text),
            FlagSpec::new("exclude", FlagKind::Repeated),
        ];
        for (text, message, help) in [
            ("CPY --form=x a b", "CPY has no flag `--form`", Some("did you mean `--from`?")),
            ("CPY --from a", "`--from` needs a value", None),
            ("CPY --from=a --from=b c", "`--from` is given twice", None),
            ("CPY --link=maybe c", "`--link` is true or false, not `maybe`", None),
        ] {
            let mut findings = Findings::default();
            split(text).0.check("cpy", &specs, &mut findings);
            let list = findings.finish();
            assert_eq!(list.len(), 1, "{text}");
            assert_eq!(list[0].message, message);
            assert_eq!(list[0].help.as_deref(), help);
        }
        let mut findings = Findings::default();
        split("CPY --exclude=a --exclude=b --link=FALSE c").0.check("cpy", &specs, &mut findings);
        assert!(findings.finish().is_empty());
    }
}
