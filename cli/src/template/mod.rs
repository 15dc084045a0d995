//! Go's `text/template`, as far as `--format` needs it.
//!
//! Scripts written for docker say `--format '{{.ID}}'`, `{{json .Config}}`,
//! `{{range .RepoTags}}{{println .}}{{end}}`. The language is small and its
//! evaluation over JSON smaller still, so it is evaluated here: a lexer, a
//! parser, an evaluator, and one table of functions ([`function`]).
//!
//! Data is JSON. What Go knows from a struct's type and JSON does not (whether
//! a missing key is an error or a map's absent entry, how an empty value
//! prints) is told from the field's name; see [`value`].

mod eval;
mod function;
mod lex;
mod parse;
mod printf;
mod value;

use serde_json::Value;

/// Why a template could not be read or evaluated.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("template, at offset {at}: {message}")]
pub(crate) struct TemplateError {
    /// Byte offset into the template.
    pub(crate) at: usize,
    /// What is wrong there.
    pub(crate) message: String,
}

impl TemplateError {
    fn new(at: usize, message: impl Into<String>) -> Self {
        Self { at, message: message.into() }
    }
}

/// A template that has been parsed.
#[derive(Debug)]
pub(crate) struct Template {
    program: parse::Program,
}

impl Template {
    /// Parses `text`.
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        Ok(Self { program: parse::parse(lex::lex(text)?)? })
    }

    /// Evaluates the template with `data` as its dot.
    pub(crate) fn render(&self, data: &Value) -> Result<String, TemplateError> {
        eval::render(&self.program, data)
    }

    /// The fields of the top-level dot that the template prints, in order:
    /// what a `table` heading is made of.
    pub(crate) fn heading_fields(&self) -> Vec<String> {
        self.program.top_fields()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn render(text: &str) -> String {
        try_render(text).unwrap()
    }

    fn try_render(text: &str) -> Result<String, TemplateError> {
        let data = json!({
            "ID": "sha256:abcdef0123456789",
            "RepoTags": ["app:1", "app:latest"],
            "Size": 1234,
            "Empty": [],
            "Nothing": null,
            "Config": {
                "Env": ["A=1", "B=2"],
                "Labels": {"b.c": "two", "a": "one"},
                "Cmd": null,
                "Healthcheck": null,
            },
            "Flag": true,
        });
        Template::parse(text)?.render(&data)
    }

    #[test]
    fn what_scripts_say() {
        let cases = [
            ("{{.ID}}", "sha256:abcdef0123456789"),
            ("{{json .RepoTags}}", r#"["app:1","app:latest"]"#),
            ("{{.RepoTags}}", "[app:1 app:latest]"),
            ("{{range .RepoTags}}{{.}};{{end}}", "app:1;app:latest;"),
            ("{{range $i, $t := .RepoTags}}{{if $i}},{{end}}{{$t}}{{end}}", "app:1,app:latest"),
            ("{{range .Empty}}x{{else}}none{{end}}", "none"),
            ("{{index .RepoTags 1}}", "app:latest"),
            ("{{index .Config.Labels \"b.c\"}}", "two"),
            ("{{index .Config.Labels \"absent\"}}", ""),
            ("{{.Config.Labels.a}} {{.Config.Labels.absent}}", "one <no value>"),
            ("{{join .RepoTags \", \"}}", "app:1, app:latest"),
            ("{{len .RepoTags}}", "2"),
            (
                "{{printf \"%s is %d bytes, %-5s|%5.1f|%q|%v\" \"it\" .Size \"ab\" 2.25 \"q\" .Flag}}",
                "it is 1234 bytes, ab   |  2.2|\"q\"|true",
            ),
            ("{{upper \"abc\"}}{{lower \"ABC\"}}{{title \"abc\"}}", "ABCabcAbc"),
            ("{{.ID | printf \"%.10s\"}}", "sha256:abc"),
            ("{{slice .ID 7 13}}", "abcdef"),
            ("{{(index (split .ID \":\") 1) | len}}", "16"),
            ("{{if and .Flag (gt .Size 1000)}}big{{else if .Flag}}small{{else}}no{{end}}", "big"),
            ("{{if eq .Size 1 2 1234}}yes{{end}}{{if ne .ID \"x\"}}!{{end}}", "yes!"),
            ("{{with .Config}}{{.Env}}{{end}}", "[A=1 B=2]"),
            ("{{with $x := 5}}{{$x}}{{end}}", "5"),
            ("a {{- /* gone */ -}} b", "ab"),
            ("a {{- 1 -}} b", "a1b"),
            ("{{.Config.Labels}}", "map[a:one b.c:two]"),
            ("{{.Config.Cmd}} {{.Config.Healthcheck}}", "[] <nil>"),
            ("{{if .Config.Health}}{{.Config.Health.Status}}{{else}}none{{end}}", "none"),
            ("{{`raw \"x\"`}}", "raw \"x\""),
            ("{{$s := .Size}}{{$s = 3}}{{$s}}", "3"),
            ("{{define \"t\"}}<{{.}}>{{end}}{{template \"t\" .Size}}", "<1234>"),
            ("{{range .RepoTags}}{{if eq . \"app:latest\"}}{{break}}{{end}}{{.}}{{end}}", "app:1"),
            ("{{range .RepoTags}}{{$.Size}} {{end}}", "1234 1234 "),
            ("{{not .Flag}} {{or .Nothing .ID}}", "false sha256:abcdef0123456789"),
            ("{{println .Size}}", "1234\n"),
            ("{{pad \"x\" 1 2}}|{{truncate \"abcdef\" 3}}", " x  |abc"),
            ("{{range 3}}{{.}}{{end}}", "012"),
        ];
        for (text, expected) in cases {
            assert_eq!(try_render(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        let cases = [
            ("{{.Sizee}}", "did you mean `.Size`"),
            ("{{.Config.Envv}}", "did you mean `.Env`"),
            ("{{nope .}}", "function \"nope\" is not defined"),
            ("{{if .ID}}", "`if` has no `{{end}}`"),
            ("{{.ID", "`{{` is not closed"),
            ("{{end}}", "`end` without"),
            ("{{index .RepoTags 9}}", "index 9 is out of range"),
            ("{{$x}}", "undefined variable"),
            ("{{\"abc}}", "string is not closed"),
        ];
        for (text, expected) in cases {
            let message = try_render(text).unwrap_err().message;
            assert!(message.contains(expected), "{text}: {message}");
        }
    }

    #[test]
    fn deep_nesting_is_an_error_and_not_a_crash() {
        let deep = "{{if 1}}".repeat(100_000);
        assert!(Template::parse(&deep).is_err());
        let parens = format!("{{{{{}1}}}}", "(".repeat(100_000));
        assert!(Template::parse(&parens).is_err());
        assert!(try_render("{{define \"t\"}}{{template \"t\"}}{{end}}{{template \"t\"}}").is_err());
    }

    #[test]
    fn a_table_heading_lists_the_fields() {
        let template = Template::parse("{{.ID}}\t{{upper .Tag}}\t{{range .X}}{{.Y}}{{end}}").unwrap();
        assert_eq!(template.heading_fields(), ["ID", "Tag"]);
        assert_eq!(render("x"), "x");
    }
}
