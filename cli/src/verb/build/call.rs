//! `--check` and `--call`: answers about a Dockerfile in the shapes and with the exit codes that buildx gives.

use frontend::outline::{self, Parameter};
use frontend::{Diagnostic, How, Options, Plan, lint, parse_how};
use serde_json::{Map, Value, json};

use super::dockerfile::Source;
use crate::error::{Error, Result};
use crate::resolve::Resolver;
use crate::ui;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// The checks.
    Check,
    /// What the target takes.
    Outline,
    /// The targets.
    Targets,
    /// The methods there are.
    Describe,
}

/// A call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Call {
    method: Method,
    json: bool,
    /// The exit code says nothing about findings.
    ignore_status: bool,
}

/// The methods by name, with a line about each.
const METHODS: [(&str, Method, &str); 3] = [
    ("outline", Method::Outline, "List all parameters current build takes"),
    ("targets", Method::Targets, "List all targets current build supports"),
    ("lint", Method::Check, "Lint a Dockerfile"),
];

impl Call {
    /// Reads `METHOD[,format=json|text][,ignorestatus]`; `None` for `build`, which is no call.
    pub(super) fn parse(written: &str) -> Result<Option<Call>> {
        let wrong = |what: &str| Error::usage(format!("--call {written}: {what}"));
        let mut fields = written.split(',');
        let method = match fields.next().unwrap_or_default() {
            "" | "build" => return Ok(None),
            "check" => Method::Check,
            "subrequests.describe" => Method::Describe,
            name => match METHODS.iter().find(|(known, ..)| *known == name) {
                Some((_, method, _)) => *method,
                None => return Err(wrong("expected check, outline or targets")),
            },
        };
        let mut call = Call { method, json: false, ignore_status: false };
        for field in fields {
            match field.split_once('=') {
                None if field == "ignorestatus" => call.ignore_status = true,
                Some(("ignorestatus", value)) => call.ignore_status = matches!(value, "true" | "1"),
                Some(("format", "json")) => call.json = true,
                Some(("format", "text")) => call.json = false,
                _ => return Err(wrong(&format!("`{field}` is not known: format=json, format=text, ignorestatus"))),
            }
        }
        Ok(Some(call))
    }

    /// `--check`.
    pub(super) const CHECK: Call = Call { method: Method::Check, json: false, ignore_status: false };

    /// Answers it. Gives the exit code: that of the findings.
    pub(super) fn answer(self, resolver: &mut Resolver<'_>, source: &Source, options: Options) -> Result<u8> {
        match self.method {
            Method::Check => self.check(&diagnose(resolver, source, options), source),
            Method::Outline => self.outline(source, options),
            Method::Targets => self.targets(source),
            Method::Describe => self.describe(),
        }
    }

    fn check(self, found: &[Diagnostic], source: &Source) -> Result<u8> {
        let (mut warnings, errors): (Vec<_>, Vec<_>) = found.iter().partition(|one| lint::find(one.rule).is_some());
        warnings.sort_by_key(|one| one.span.map(|span| source.text.position(span.start).line));
        let error = errors.iter().find(|one| one.is_error());
        if self.json {
            let mut all = json!({
                "warnings": warnings.iter().map(|one| warning(one, source)).collect::<Vec<_>>(),
                "sources": [{"filename": source.text.name(), "language": "Dockerfile", "data": base64(source.text.text().as_bytes())}],
            });
            if let Some(error) = error {
                all["buildError"] = json!({"message": error.message, "location": location(error, source)});
            }
            ui::out(&pretty(&all)?)?;
        } else {
            ui::out(&in_words(&warnings, error.copied(), source))?;
        }
        let failed = !warnings.is_empty() || error.is_some();
        if let (Some(error), false) = (error, self.json) {
            let failed = Error::failed(error.message.clone()).excerpt(excerpt(error, source));
            return Err(match &error.help {
                Some(help) => failed.hint(help.clone()),
                None => failed,
            });
        }
        Ok(u8::from(failed && !self.ignore_status))
    }

    fn targets(self, source: &Source) -> Result<u8> {
        let parsed = frontend::parse(&source.text);
        refuse_broken(source, &parsed.diagnostics)?;
        let list = outline::targets(&parsed.dockerfile, &source.text);
        if !self.json {
            let rows = list.iter().map(|target| {
                let name = match (target.name.as_str(), target.default) {
                    ("", _) => "(default)".to_owned(),
                    (name, true) => format!("{name} (default)"),
                    (name, false) => name.to_owned(),
                };
                vec![name, target.description.clone()]
            });
            ui::out(&columns(&["TARGET", "DESCRIPTION"], rows.collect(), 1))?;
            return Ok(0);
        }
        let targets = list.iter().map(|target| {
            let mut all = Map::new();
            let words = [
                ("name", &target.name),
                ("description", &target.description),
                ("base", &target.base),
                ("platform", &target.platform),
            ];
            for (field, value) in words.into_iter().filter(|(_, value)| !value.is_empty()) {
                all.insert(field.to_owned(), json!(value));
            }
            if target.default {
                all.insert("default".to_owned(), json!(true));
            }
            all.insert("location".to_owned(), lines(target.lines));
            Value::Object(all)
        });
        let targets: Vec<_> = targets.collect();
        ui::out(&pretty(&json!({"targets": targets, "sources": [base64(source.text.text().as_bytes())]}))?)?;
        Ok(0)
    }

    fn outline(self, source: &Source, options: Options) -> Result<u8> {
        let parsed = frontend::parse(&source.text);
        refuse_broken(source, &parsed.diagnostics)?;
        let plan = Plan::new(parsed.dockerfile, &source.text, options)
            .map_err(|found| super::report::refuse(source, &found))?;
        let outline = plan.outline(&source.text);
        if !self.json {
            ui::out(&outline_in_words(&outline))?;
            return Ok(0);
        }
        let mut all = Map::new();
        for (field, value) in [("name", &outline.name), ("description", &outline.description)] {
            if !value.is_empty() {
                all.insert(field.to_owned(), json!(value));
            }
        }
        let lists = [
            ("args", "name", &outline.args),
            ("secrets", "name", &outline.secrets),
            ("ssh", "name", &outline.ssh),
            ("cache", "ID", &outline.caches),
        ];
        for (field, key, list) in lists {
            if !list.is_empty() {
                all.insert(field.to_owned(), list.iter().map(|one| parameter(one, key)).collect());
            }
        }
        all.insert("sources".to_owned(), json!([base64(source.text.text().as_bytes())]));
        ui::out(&pretty(&Value::Object(all))?)?;
        Ok(0)
    }

    fn describe(self) -> Result<u8> {
        if self.json {
            let all: Vec<_> = METHODS
                .iter()
                .map(|(name, _, about)| json!({"name": format!("frontend.{name}"), "version": "1.0.0", "type": "rpc", "description": about}))
                .collect();
            ui::out(&pretty(&json!(all))?)?;
        } else {
            let rows = METHODS
                .iter()
                .map(|(name, _, about)| vec![(*name).to_owned(), "1.0.0".to_owned(), (*about).to_owned()]);
            ui::out(&columns(&["NAME", "VERSION", "DESCRIPTION"], rows.collect(), 1))?;
        }
        Ok(0)
    }
}

fn refuse_broken(source: &Source, found: &[Diagnostic]) -> Result {
    let is_broken = |one: &Diagnostic| one.is_error() && lint::find(one.rule).is_none();
    if found.iter().any(is_broken) { Err(super::report::refuse(source, found)) } else { Ok(()) }
}

/// Everything that a build would say before it begins.
fn diagnose(resolver: &mut Resolver<'_>, source: &Source, options: Options) -> Vec<Diagnostic> {
    let how = How { check: super::options::check(&options), warnings_only: true, ..How::default() };
    let parsed = parse_how(&source.text, &how);
    let mut found = parsed.diagnostics;
    let is_broken = |one: &Diagnostic| one.is_error() && lint::find(one.rule).is_none();
    if found.iter().any(is_broken) {
        return found;
    }
    let mut plan = match Plan::new(parsed.dockerfile, &source.text, options) {
        Ok(plan) => plan,
        Err(errors) => {
            found.extend(errors);
            return found;
        }
    };
    while let Some(wanted) = plan.wanted() {
        let answer = resolver.answer(&wanted).map_err(|error| vec![super::report::unanswered(&wanted, &error)]);
        if let Err(errors) = answer.and_then(|provided| plan.provide(wanted, provided)) {
            found.extend(errors);
            return found;
        }
    }
    match plan.lower() {
        Ok(lowered) => found.extend(lowered.warnings),
        Err(errors) => found.extend(errors),
    }
    found
}

/// The lines of a finding, from 1.
fn lines_of(found: &Diagnostic, source: &Source) -> Option<(u32, u32)> {
    let span = found.span?;
    let last = span.end.max(span.start + 1) - 1;
    Some((source.text.position(span.start).line, source.text.position(last).line))
}

fn lines((first, last): (u32, u32)) -> Value {
    json!({"ranges": [{"start": {"line": first}, "end": {"line": last}}]})
}

fn location(found: &Diagnostic, source: &Source) -> Value {
    let Some(span) = found.span else { return json!({}) };
    let place = |at: u32| {
        let position = source.text.position(at);
        // Protocol buffers leave zeros out.
        if position.column == 1 {
            json!({"line": position.line})
        } else {
            json!({"line": position.line, "character": position.column - 1})
        }
    };
    json!({"ranges": [{"start": place(span.start), "end": place(span.end)}]})
}

fn warning(found: &Diagnostic, source: &Source) -> Value {
    let rule = lint::find(found.rule);
    let mut all = Map::new();
    all.insert("ruleName".to_owned(), json!(found.rule));
    all.insert("description".to_owned(), json!(rule.map_or("", |rule| rule.description)));
    if let Some(url) = rule.and_then(lint::Rule::url) {
        all.insert("url".to_owned(), json!(url));
    }
    all.insert("detail".to_owned(), json!(found.to_string()));
    all.insert("location".to_owned(), location(found, source));
    Value::Object(all)
}

fn in_words(warnings: &[&Diagnostic], error: Option<&Diagnostic>, source: &Source) -> String {
    let mut out = match (warnings.len(), error) {
        (0, Some(_)) => return String::new(),
        (0, None) => return "Check complete, no warnings found.\n".to_owned(),
        (1, _) => "Check complete, 1 warning has been found!\n".to_owned(),
        (count, _) => format!("Check complete, {count} warnings have been found!\n"),
    };
    for found in warnings {
        let url = lint::find(found.rule).and_then(lint::Rule::url);
        let url = url.map(|url| format!(" - {url}")).unwrap_or_default();
        out.push_str(&format!("\nWARNING: {}{url}\n{found}\n{}", found.rule, excerpt(found, source)));
    }
    out
}

/// The lines of a finding among their neighbours, as BuildKit draws them.
fn excerpt(found: &Diagnostic, source: &Source) -> String {
    /// Lines around the place: four around one, two around several.
    const AROUND: (usize, usize) = (4, 2);
    let Some((first, last)) = lines_of(found, source) else { return String::new() };
    let all: Vec<&str> = source.text.text().split('\n').collect();
    let (mut start, mut end) = (first as usize, (last as usize).min(all.len()));
    let wanted = if start == end { AROUND.0 } else { AROUND.1 };
    let mut added = 0;
    while added < wanted {
        if start > 1 {
            start -= 1;
            added += 1;
        }
        if end != all.len() {
            end += 1;
            added += 1;
        }
        added += 1;
    }
    let rule = "--------------------\n";
    let mut out = format!("{}:{first}\n{rule}", source.text.name());
    for number in start..=end {
        let mark = if (first as usize..=last as usize).contains(&number) { ">>>" } else { "   " };
        out.push_str(&format!(
            " {number:3} | {mark} {}\n",
            ui::style::harmless(all[number - 1].trim_end_matches('\r'))
        ));
    }
    out + rule
}

fn parameter(one: &Parameter, key: &str) -> Value {
    let mut all = Map::new();
    all.insert(key.to_owned(), json!(one.name));
    for (field, value) in [("description", &one.description), ("value", &one.value)] {
        if !value.is_empty() {
            all.insert(field.to_owned(), json!(value));
        }
    }
    if one.required {
        all.insert("required".to_owned(), json!(true));
    }
    all.insert("location".to_owned(), lines(one.lines));
    Value::Object(all)
}

fn outline_in_words(outline: &outline::Outline) -> String {
    let mut out = String::new();
    if !outline.name.is_empty() || !outline.description.is_empty() {
        let name = if outline.name.is_empty() { "(default)" } else { &outline.name };
        let mut rows = vec![vec!["TARGET:".to_owned(), name.to_owned()]];
        if !outline.description.is_empty() {
            rows.push(vec!["DESCRIPTION:".to_owned(), outline.description.clone()]);
        }
        out.push_str(&columns(&[], rows, 1));
        out.push('\n');
    }
    let required = |one: &Parameter| if one.required { "true".to_owned() } else { String::new() };
    let parts: [(&[&str], Vec<Vec<String>>); 4] = [
        (
            &["BUILD ARG", "VALUE", "DESCRIPTION"],
            outline.args.iter().map(|one| vec![one.name.clone(), one.value.clone(), one.description.clone()]).collect(),
        ),
        (&["SECRET", "REQUIRED"], outline.secrets.iter().map(|one| vec![one.name.clone(), required(one)]).collect()),
        (&["SSH", "REQUIRED"], outline.ssh.iter().map(|one| vec![one.name.clone(), required(one)]).collect()),
        (&["CACHE MOUNT"], outline.caches.iter().map(|one| vec![one.name.clone()]).collect()),
    ];
    for (heads, rows) in parts.into_iter().filter(|(_, rows)| !rows.is_empty()) {
        out.push_str(&columns(heads, rows, 3));
        out.push('\n');
    }
    out
}

/// Columns so far apart; the last one is not padded.
fn columns(heads: &[&str], rows: Vec<Vec<String>>, apart: usize) -> String {
    let head: Vec<String> = heads.iter().map(|head| (*head).to_owned()).collect();
    let all: Vec<Vec<String>> = std::iter::once(head).filter(|head| !head.is_empty()).chain(rows).collect();
    let width = |at: usize| all.iter().map(|row| row[at].chars().count()).max().unwrap_or(0) + apart;
    let mut out = String::new();
    for row in &all {
        for (at, cell) in row.iter().enumerate() {
            let last = at + 1 == row.len();
            out.push_str(&if last { cell.clone() } else { format!("{cell:0$}", width(at)) });
        }
        out.push('\n');
    }
    out
}

fn pretty(value: &Value) -> Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// Base 64 with padding: how Go writes bytes into JSON.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = LETTERS[(word >> (18 - 6 * place)) as usize & 63];
            out.push(if place <= chunk.len() { letter as char } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_read() {
        let check = |json, ignore_status| Some(Call { method: Method::Check, json, ignore_status });
        for (written, expected) in [
            ("check", check(false, false)),
            ("lint,format=json", check(true, false)),
            ("check,ignorestatus", check(false, true)),
            ("build", None),
            ("targets", Some(Call { method: Method::Targets, json: false, ignore_status: false })),
        ] {
            assert_eq!(Call::parse(written).unwrap(), expected, "{written}");
        }
        assert!(Call::parse("chek").is_err());
        assert!(Call::parse("check,format=xml").is_err());
    }

    #[test]
    fn bytes_as_go_writes_them() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
