//! From the sources to a [`Config`], or to everything that is wrong with them.

use std::ops::Range;
use std::path::Path;

use serde::Deserialize as _;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problem, Problems, nearest, reworded};
use super::reference::{self, Field, PREFIX};
use super::source::{Place, Sources, insert, moved, remove, span_of};
use super::{Complaints, Config};

/// Variables that begin like settings and are none: they say where things are.
const OTHER_VARIABLES: &[&str] = &["ESTIBA_REGISTRY_ROOT", "ESTIBA_REGISTRY_CONFIG"];
/// The longest file that is read: more is not a configuration.
const LONGEST_FILE: u64 = 4 << 20;
/// More mistakes than anybody mends at once.
const MOST_PROBLEMS: usize = 50;

/// A setting from the command line.
#[derive(Debug, Clone, PartialEq)]
pub struct Override {
    /// The option, for messages: `--addr`.
    pub option: String,
    /// The field, dotted: `server.address`.
    pub field: String,
    /// Its value.
    pub value: toml::Value,
}

impl Config {
    /// Reads the file (if any), then the variables of the environment that begin with `ESTIBA_REGISTRY_`, then what the command
    /// line says; the later win. A variable's value is text where the field takes text, and TOML otherwise: lists and tables as
    /// in the file (`["a", "b"]`, `[{ prefix = "team", limit = "1GiB" }]`).
    ///
    /// # Errors
    /// Everything that is wrong, at once: syntax; else unknown fields and values of the wrong kind; else values that cannot be.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        overrides: &[Override],
    ) -> Result<Self, Problems> {
        let text = file.map(|path| read(path).map(|text| (path, text))).transpose();
        let text = text.map_err(|problem| Problems(vec![problem]))?;
        Self::parse(text.as_ref().map(|(path, text)| (*path, text.as_str())), environment, overrides)
    }

    /// As [`Self::load`], with the text of the file at hand.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn parse(
        file: Option<(&Path, &str)>,
        environment: impl IntoIterator<Item = (String, String)>,
        overrides: &[Override],
    ) -> Result<Self, Problems> {
        let mut sources = Sources::default();
        let mut problems = Vec::new();
        if let Some((path, text)) = file {
            sources.add(Place::File(path.to_path_buf()), None, text.to_owned());
        }
        add_variables(&mut sources, environment, &mut problems);
        for setting in overrides {
            let place = Place::Option(setting.option.clone());
            sources.add(place, Some(setting.field.clone()), setting.value.to_string());
        }
        let tree = tree(&sources, &mut problems);
        let config = deserialized(&sources, tree.clone(), &mut problems);
        if problems.is_empty() {
            validate(&sources, &tree, &config, &mut problems);
        }
        if problems.is_empty() { Ok(config) } else { Err(Problems(problems)) }
    }

    /// The configuration as a file that would give it again. Secrets are hidden.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_else(|error| format!("# {error}\n"))
    }
}

fn read(path: &Path) -> Result<String, Problem> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(path).and_then(|file| file.take(LONGEST_FILE + 1).read_to_end(&mut bytes));
    opened.map_err(|error| Problem::of(path.display(), error.to_string()))?;
    if bytes.len() as u64 > LONGEST_FILE {
        return Err(Problem::of(path.display(), "it is longer than 4 MiB: no configuration"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        Problem::of(format_args!("{}:{}", path.display(), line + 1), "it is not UTF-8")
    })
}

/// Turns the variables that are settings into sources.
fn add_variables(
    sources: &mut Sources,
    environment: impl IntoIterator<Item = (String, String)>,
    problems: &mut Vec<Problem>,
) {
    let ours = |(name, _): &(String, String)| name.starts_with(PREFIX) && !OTHER_VARIABLES.contains(&name.as_str());
    let mut variables: Vec<_> = environment.into_iter().filter(ours).collect();
    if variables.is_empty() {
        return;
    }
    variables.sort();
    let fields = reference::fields();
    for (name, value) in variables {
        match fields.iter().find(|field| field.variable() == name) {
            Some(field) => sources.add(Place::Variable(name), Some(field.path.clone()), as_toml(field, &value)),
            None => problems.push(Problem::of(&name, unknown_variable(&name, &fields))),
        }
    }
}

fn unknown_variable(name: &str, fields: &[Field]) -> String {
    let known: Vec<_> = fields.iter().map(Field::variable).collect();
    match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("the configuration has no such field; did you mean `{near}`?"),
        None => "the configuration has no such field; variables are called ESTIBA_REGISTRY_SECTION_FIELD".to_owned(),
    }
}

/// A variable's value: text where the field is shown with text, unless it looks like a list or a quoted text.
fn as_toml(field: &Field, value: &str) -> String {
    let looks = value.trim_start().starts_with(['[', '{', '"', '\'']);
    let text = toml::Value::String(value.to_owned()).to_string();
    match &field.shown {
        toml::Value::String(_) if !looks => text,
        // One item of a list of words needs no brackets.
        toml::Value::Array(items) if !looks && items.iter().all(toml::Value::is_str) => format!("[{text}]"),
        // What is no value at all is text: the field then says what it expects.
        _ if !looks && DeValue::parse(value).is_err() => text,
        _ => value.to_owned(),
    }
}

/// Parses all sources into one tree, the later over the earlier: all errors of syntax at once.
fn tree<'a>(sources: &'a Sources, problems: &mut Vec<Problem>) -> DeTable<'a> {
    let mut tree = DeTable::new();
    for source in sources.iter() {
        let errors = match &source.field {
            None => {
                let (table, errors) = DeTable::parse_recoverable(&source.text);
                tree = table.into_inner();
                errors
            }
            Some(field) => {
                let (value, errors) = DeValue::parse_recoverable(&source.text);
                if errors.is_empty() {
                    let path: Vec<_> = field.split('.').collect();
                    insert(&mut tree, &path, moved(value, source.start));
                }
                errors
            }
        };
        for error in errors.iter().take(MOST_PROBLEMS - problems.len().min(MOST_PROBLEMS)) {
            let span = error.span().map(|span| span.start + source.start..span.end + source.start);
            problems.push(problem(sources, span, one_line(error.message())));
        }
    }
    tree
}

fn one_line(message: &str) -> String {
    message.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(", ")
}

fn problem(sources: &Sources, span: Option<Range<usize>>, message: String) -> Problem {
    match span.and_then(|span| sources.spot(&span)) {
        Some(spot) => Problem::at(&spot, message),
        None => Problem::of("", message),
    }
}

/// Fits the tree into the structs. What does not fit is taken out, and the rest is tried again, so that one mistake does not
/// hide the next.
fn deserialized(sources: &Sources, mut tree: DeTable<'_>, problems: &mut Vec<Problem>) -> Config {
    let mut removed = Vec::new();
    loop {
        let document = Spanned::new(0..sources.end(), tree.clone());
        let error = match Config::deserialize(toml::de::Deserializer::from(document)) {
            Ok(config) => return config,
            Err(error) => error,
        };
        let missing = error.message().strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
        // A field that was wrong is missing now: that is no second mistake.
        if !missing.is_some_and(|name| removed.iter().any(|other| other == name)) {
            problems.push(problem(sources, error.span(), reworded(error.message())));
        }
        if problems.len() >= MOST_PROBLEMS {
            return Config::default();
        }
        match error.span().and_then(|span| remove(&mut tree, &span)) {
            Some(key) => removed.extend(key),
            None => return Config::default(),
        }
    }
}

fn validate(sources: &Sources, tree: &DeTable<'_>, config: &Config, problems: &mut Vec<Problem>) {
    let mut wrong = Complaints::default();
    config.validate(&mut wrong);
    problems.extend(wrong.into_vec().into_iter().map(|complaint| {
        match span_of(tree, &complaint.field).and_then(|span| sources.spot(&span)) {
            Some(spot) => Problem::at(&spot, format!("{}: {}", complaint.field, complaint.message)),
            None => Problem::of(&complaint.field, complaint.message),
        }
    }));
}
