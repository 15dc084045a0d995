//! Where the words of a configuration come from, and what to show of them when they are wrong.
//!
//! All sources are laid one behind the other, so that a span says both the source and the place in it.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// A source of settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A file.
    File(PathBuf),
    /// A variable of the environment.
    Variable(String),
    /// An option of the command line.
    Option(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Variable(name) | Self::Option(name) => f.write_str(name),
        }
    }
}

/// The sources, in their order.
#[derive(Debug, Default)]
pub(super) struct Sources {
    all: Vec<Source>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) place: Place,
    /// The field that it sets; `None` for a whole file.
    pub(super) field: Option<String>,
    /// Where its spans begin.
    pub(super) start: usize,
    pub(super) text: String,
}

/// Something in a source.
#[derive(Debug)]
pub(super) struct Spot<'a> {
    pub(super) place: &'a Place,
    /// From 1.
    pub(super) line: usize,
    /// From 1, in characters.
    pub(super) column: usize,
    /// The whole line.
    pub(super) text: &'a str,
    /// How many characters of the line are meant; at least one.
    pub(super) width: usize,
}

impl Sources {
    /// Adds a source.
    pub(super) fn add(&mut self, place: Place, field: Option<String>, text: String) {
        // One apart, so that the end of one is not the start of the next.
        let start = self.all.last().map_or(0, |last| last.start + last.text.len() + 1);
        self.all.push(Source { place, field, start, text });
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Source> {
        self.all.iter()
    }

    /// The end of all.
    pub(super) fn end(&self) -> usize {
        self.all.last().map_or(0, |last| last.start + last.text.len())
    }

    /// What a span means.
    pub(super) fn spot(&self, span: &Range<usize>) -> Option<Spot<'_>> {
        let source = self.all.iter().rev().find(|source| source.start <= span.start)?;
        let mut at = (span.start - source.start).min(source.text.len());
        while !source.text.is_char_boundary(at) {
            at -= 1;
        }
        let first = source.text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let last = source.text[at..].find('\n').map_or(source.text.len(), |newline| at + newline);
        let end = (span.end - source.start).clamp(at, last);
        let text = source.text[first..last].trim_end_matches('\r');
        let meant = source.text.get(at..end).unwrap_or_default();
        Some(Spot {
            place: &source.place,
            line: source.text[..first].matches('\n').count() + 1,
            column: source.text[first..at].chars().count() + 1,
            text,
            width: meant.chars().count().max(1),
        })
    }
}

/// Moves the spans of a value that was parsed by itself.
pub(super) fn moved<'a>(value: Spanned<DeValue<'a>>, by: usize) -> Spanned<DeValue<'a>> {
    let span = value.span();
    let value = match value.into_inner() {
        DeValue::Array(items) => DeValue::Array(items.into_iter().map(|item| moved(item, by)).collect::<DeArray<'_>>()),
        DeValue::Table(table) => {
            let mut fields = DeTable::new();
            for (key, value) in table {
                let at = key.span();
                fields.insert(Spanned::new(at.start + by..at.end + by, key.into_inner()), moved(value, by));
            }
            DeValue::Table(fields)
        }
        other => other,
    };
    Spanned::new(span.start + by..span.end + by, value)
}

/// Sets the value at a dotted path; what is in its way goes.
pub(super) fn insert<'a>(table: &mut DeTable<'a>, path: &[&str], value: Spanned<DeValue<'a>>) {
    let span = value.span();
    match path {
        [] => {}
        [last] => {
            // A key keeps its first span when its value is replaced: the new one has its own.
            table.remove(*last);
            table.insert(Spanned::new(span, (*last).to_owned().into()), value);
        }
        [first, rest @ ..] => {
            if !table.get(*first).is_some_and(|value| value.get_ref().is_table()) {
                table.remove(*first);
                let empty = Spanned::new(span.clone(), DeValue::Table(DeTable::new()));
                table.insert(Spanned::new(span, (*first).to_owned().into()), empty);
            }
            if let Some(DeValue::Table(inner)) = table.get_mut(*first).map(Spanned::get_mut) {
                insert(inner, rest, value);
            }
        }
    }
}

/// The span of the value at a dotted path, items of lists by number; of what is nearest above it where it is not set.
pub(super) fn span_of(table: &DeTable<'_>, field: &str) -> Option<Range<usize>> {
    let (first, rest) = field.split_once('.').map_or((field, None), |(first, rest)| (first, Some(rest)));
    let (key, value) = table.get_key_value(first)?;
    match rest {
        Some(rest) => Some(span_within(value, rest).unwrap_or_else(|| key.span())),
        None if value.get_ref().is_table() || value.get_ref().is_array() => Some(key.span()),
        None => Some(value.span()),
    }
}

fn span_within(value: &Spanned<DeValue<'_>>, field: &str) -> Option<Range<usize>> {
    match value.get_ref() {
        DeValue::Table(table) => span_of(table, field),
        DeValue::Array(items) => {
            let (first, rest) = field.split_once('.').map_or((field, None), |(first, rest)| (first, Some(rest)));
            let item = items.get(first.parse::<usize>().ok()?)?;
            Some(rest.and_then(|rest| span_within(item, rest)).unwrap_or_else(|| item.span()))
        }
        _ => None,
    }
}

/// Takes the innermost thing around a span out of the tree; gives its key, or nothing for an item of a list.
/// `None` where there is no such thing.
pub(super) fn remove(table: &mut DeTable<'_>, span: &Range<usize>) -> Option<Option<String>> {
    let around = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    let mut doomed = None;
    for (key, value) in table.iter_mut() {
        if around(key.span()) && !deeper(value.get_ref(), span) {
            doomed = Some(key.get_ref().to_string());
            break;
        }
        if let Some(removed) = remove_within(value.get_mut(), span) {
            return Some(removed);
        }
        if around(value.span()) {
            doomed = Some(key.get_ref().to_string());
            break;
        }
    }
    let key = doomed?;
    table.remove(key.as_str());
    Some(Some(key))
}

fn remove_within(value: &mut DeValue<'_>, span: &Range<usize>) -> Option<Option<String>> {
    match value {
        DeValue::Table(table) => remove(table, span),
        DeValue::Array(items) => {
            for item in items.iter_mut() {
                if let Some(removed) = remove_within(item.get_mut(), span) {
                    return Some(removed);
                }
            }
            let around = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
            let at = items.iter().position(|item| around(item.span()))?;
            let kept =
                std::mem::replace(items, DeArray::new()).into_iter().enumerate().filter(|(index, _)| *index != at);
            *items = kept.map(|(_, item)| item).collect();
            Some(None)
        }
        _ => None,
    }
}

/// Whether something within a value has exactly this span, as where a path was inserted from one source.
fn deeper(value: &DeValue<'_>, span: &Range<usize>) -> bool {
    match value {
        DeValue::Table(table) => table
            .iter()
            .any(|(key, value)| key.span() == *span || value.span() == *span || deeper(value.get_ref(), span)),
        DeValue::Array(items) => items.iter().any(|item| item.span() == *span || deeper(item.get_ref(), span)),
        _ => false,
    }
}
