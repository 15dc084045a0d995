//! The command of RUN, CMD, ENTRYPOINT, HEALTHCHECK: for a shell, or exact.

use super::Request;
use crate::diagnostic::Diagnostic;
use crate::lower::StageBuild;
use crate::word::Word;

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandLine {
    /// Text that SHELL runs.
    Shell(Word),
    /// Program and arguments: the JSON form.
    Exec(Vec<Word>),
}

impl CommandLine {
    /// Reads the arguments.
    pub(crate) fn parse(request: &mut Request<'_>) -> Option<CommandLine> {
        match Json::read(request.text()) {
            Json::Strings(strings) => {
                let span = request.span();
                Some(CommandLine::Exec(strings.into_iter().map(|text| Word { text, span }).collect()))
            }
            Json::Mixed => request.fail("a JSON array here is made of strings only"),
            Json::No => {
                // `RUN ["a", 'b']` is no JSON; it runs as text, surely not as meant.
                if looks_like_json(request.text()) {
                    let warning = Diagnostic::warning("NotJSON", "not a JSON array, so a shell runs it")
                        .at(request.span())
                        .help("JSON strings stand in double quotes");
                    request.findings.push(warning);
                }
                Some(CommandLine::Shell(request.whole()))
            }
        }
    }

    /// The words to execute, in the stage's shell where it is text.
    pub(crate) fn words(&self, stage: &StageBuild<'_>) -> Vec<String> {
        match self {
            CommandLine::Exec(words) => words.iter().map(|word| word.text.clone()).collect(),
            CommandLine::Shell(word) => stage.in_shell(&word.text),
        }
    }
}

fn looks_like_json(text: &str) -> bool {
    text.starts_with("['") && text.ends_with("']") || text.starts_with("[\"") && text.ends_with("\"]")
}

/// A text that may be a JSON array.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Json {
    /// It is not.
    No,
    /// It is, of strings.
    Strings(Vec<String>),
    /// It is, of other things too.
    Mixed,
}

impl Json {
    pub(crate) fn read(text: &str) -> Json {
        let text = text.trim();
        if !text.starts_with('[') {
            return Json::No;
        }
        let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(text) else { return Json::No };
        let strings: Option<Vec<String>> = values
            .into_iter()
            .map(|value| match value {
                serde_json::Value::String(text) => Some(text),
                _ => None,
            })
            .collect();
        strings.map_or(Json::Mixed, Json::Strings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_or_not() {
        assert_eq!(Json::read(" [\"a\", \"b\\n\"] "), Json::Strings(vec!["a".into(), "b\n".into()]));
        assert_eq!(Json::read("[]"), Json::Strings(vec![]));
        for text in ["echo", "['a']", "[\"a\"] b", "[ -f x ] && y", "", "[\"a\",]"] {
            assert_eq!(Json::read(text), Json::No, "{text}");
        }
        assert_eq!(Json::read("[\"a\", 1]"), Json::Mixed);
        assert_eq!(Json::read(&"[".repeat(100_000)), Json::No);
    }
}
