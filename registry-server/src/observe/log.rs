//! The log: a line an event, as text or JSON.
//!
//! Whatever a client sends stays within its field: control characters are escaped, text with spaces is quoted,
//! and a quote within it is escaped. So no request can write a line, or a field, of its own.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry};

use crate::config::{Format, Log};

/// Takes whole lines, each with its newline.
pub type Sink = Box<dyn Fn(&str) + Send + Sync>;

/// The target of the line that each answered request gets.
pub const ACCESS: &str = "access";

/// The installed log.
#[derive(Debug)]
pub struct Handle(reload::Handle<EnvFilter, Registry>);

/// Makes `sink` take what this process logs from here on.
///
/// # Errors
/// When the level cannot be read, or a log is installed already.
pub fn install(config: &Log, sink: Sink) -> Result<Handle, String> {
    let (filter, handle) = reload::Layer::new(filter(config)?);
    let lines = Lines { format: config.format, sink };
    tracing_subscriber::registry().with(filter).with(lines).try_init().map_err(|error| error.to_string())?;
    Ok(Handle(handle))
}

impl Handle {
    /// Takes another level over.
    ///
    /// # Errors
    /// When the level cannot be read.
    pub fn reload(&self, config: &Log) -> Result<(), String> {
        self.0.reload(filter(config)?).map_err(|error| error.to_string())
    }
}

fn filter(config: &Log) -> Result<EnvFilter, String> {
    let requests = if config.requests { "info" } else { "off" };
    let access =
        if config.level.contains(&format!("{ACCESS}=")) { String::new() } else { format!(",{ACCESS}={requests}") };
    EnvFilter::try_new(format!("{}{access}", config.level)).map_err(|error| error.to_string())
}

struct Lines {
    format: Format,
    sink: Sink,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut record = Record::default();
        event.record(&mut record);
        let time = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
        let (level, target) = (event.metadata().level().as_str(), event.metadata().target());
        (self.sink)(&match self.format {
            Format::Text => record.text(&time, level, target),
            Format::Json => record.json(&time, level, target),
        });
    }
}

/// What an event says.
#[derive(Debug, Default)]
struct Record {
    message: String,
    fields: Vec<(&'static str, Value)>,
}

#[derive(Debug)]
enum Value {
    /// A number or a truth value, as it is written.
    Bare(String),
    Text(String),
}

impl Record {
    fn add(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::Bare(text) | Value::Text(text)) => self.message = text,
            (name, value) => self.fields.push((name, value)),
        }
    }

    /// `2026-11-22T10:00:00.000Z INFO answered method=GET path="/v2/" status=200`.
    fn text(&self, time: &str, level: &str, target: &str) -> String {
        let mut line = format!("{time} {level:<5} ");
        if target == ACCESS {
            line.push_str("access: ");
        }
        line.push_str(&escaped(&self.message));
        for (name, value) in &self.fields {
            let (Value::Bare(text) | Value::Text(text)) = value;
            line.push(' ');
            line.push_str(name);
            line.push('=');
            let escaped = escaped(text);
            if escaped.is_empty() || escaped.contains([' ', '"', '=', '\\']) {
                let _ = write!(line, "\"{}\"", escaped.replace('"', "\\\""));
            } else {
                line.push_str(&escaped);
            }
        }
        line.push('\n');
        line
    }

    fn json(&self, time: &str, level: &str, target: &str) -> String {
        let mut object = serde_json::Map::new();
        object.insert("time".to_owned(), time.into());
        object.insert("level".to_owned(), level.to_ascii_lowercase().into());
        object.insert("target".to_owned(), target.into());
        object.insert("message".to_owned(), self.message.as_str().into());
        for (name, value) in &self.fields {
            let value = match value {
                Value::Bare(text) => serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into()),
                Value::Text(text) => text.as_str().into(),
            };
            // Ours stay ours.
            object.entry(*name).or_insert(value);
        }
        let mut line = serde_json::Value::Object(object).to_string();
        line.push('\n');
        line
    }
}

impl Visit for Record {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, Value::Text(value.to_owned()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, Value::Bare(value.to_string()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, Value::Bare(value.to_string()));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, Value::Bare(value.to_string()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, Value::Bare(value.to_string()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let shown = format!("{value:?}");
        let inner = shown.strip_prefix("Some(").and_then(|rest| rest.strip_suffix(')')).unwrap_or(&shown);
        let text = unquoted(inner).unwrap_or_else(|| inner.to_owned());
        self.add(field, Value::Text(text));
    }
}

/// The text of a Rust literal, as `Debug` writes text; `None` for anything else.
fn unquoted(literal: &str) -> Option<String> {
    let inner = literal.strip_prefix('"')?.strip_suffix('"')?;
    let mut text = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return None,
            '\\' => match chars.next()? {
                'n' => text.push('\n'),
                'r' => text.push('\r'),
                't' => text.push('\t'),
                '0' => text.push('\0'),
                'u' => {
                    let code: String = chars.by_ref().skip(1).take_while(|c| *c != '}').collect();
                    text.push(char::from_u32(u32::from_str_radix(&code, 16).ok()?)?);
                }
                plain => text.push(plain),
            },
            plain => text.push(plain),
        }
    }
    Some(text)
}

/// Text in which nothing moves the cursor, ends the line or turns the direction of reading; backslashes doubled.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => {
                out.extend(c.escape_unicode());
            }
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn logged(format: Format, log: impl FnOnce()) -> String {
        let lines = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&lines);
        let layer = Lines { format, sink: Box::new(move |line| sink.lock().unwrap().push_str(line)) };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        lines.lock().unwrap().clone()
    }

    #[test]
    fn lines_of_text() {
        let line = logged(Format::Text, || {
            tracing::info!(target: ACCESS, path = ?"/v2/", status = 200, name = %"ann", "answered");
        });
        let (time, rest) = line.split_once(' ').unwrap();
        assert!(time.parse::<jiff::Timestamp>().is_ok(), "{line}");
        assert_eq!(rest, "INFO  access: answered path=/v2/ status=200 name=ann\n");
    }

    #[test]
    fn nobody_writes_a_line_or_a_field_of_their_own() {
        let evil = "x\" admin=true\n2026 ERROR \u{1b}[31m\u{202e}\\";
        let line = logged(Format::Text, || tracing::warn!(display = %evil, debug = ?evil, text = evil, "m\nn"));
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        assert!(!line.contains('\u{1b}') && !line.contains('\u{202e}'), "{line}");
        let quoted = "\"x\\\" admin=true\\n2026 ERROR \\u{1b}[31m\\u{202e}\\\\\"";
        let (_, said) = line.split_once("WARN  ").unwrap();
        assert_eq!(said, format!("m\\nn display={quoted} debug={quoted} text={quoted}\n"));

        let line = logged(Format::Json, || tracing::warn!(display = %evil, debug = ?evil, level = evil, n = 1, "m"));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&value["display"], &value["debug"]), (&evil.into(), &evil.into()));
        assert_eq!((value["level"].as_str(), value["n"].as_u64()), (Some("warn"), Some(1)));
    }
}
