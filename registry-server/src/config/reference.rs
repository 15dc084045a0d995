//! The documented configuration: every field with its meaning and its default. What the environment may set is read from it.

use toml::Value;

/// The file, every field commented out.
pub const DEFAULT: &str = include_str!("default.toml");

/// A field as the documented file shows it.
#[derive(Debug, Clone)]
pub(super) struct Field {
    /// Dotted, from the top: `server.limits.rate`. A list of tables is a field, too: `webhook.endpoint`.
    pub(super) path: String,
    /// The value shown.
    pub(super) shown: Value,
}

impl Field {
    /// The variable that sets it: `ESTIBA_REGISTRY_SERVER_LIMITS_RATE`.
    pub(super) fn variable(&self) -> String {
        format!("{PREFIX}{}", self.path.replace('.', "_").to_ascii_uppercase())
    }
}

/// What variables of the configuration begin with.
pub(super) const PREFIX: &str = "ESTIBA_REGISTRY_";

/// The file with every field set: the comment marks before fields and tables taken away.
///
/// Fields begin right after the mark (`#name = …`), words after a space.
pub(super) fn filled() -> String {
    let field = |line: &&str| line.starts_with(|c: char| c.is_ascii_lowercase() || c == '[' || c == ']' || c == '"');
    let lines = DEFAULT.lines().map(|line| line.strip_prefix('#').filter(field).unwrap_or(line));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// Every field.
pub(super) fn fields() -> Vec<Field> {
    let mut fields = Vec::new();
    if let Ok(table) = filled().parse::<toml::Table>() {
        collect("", &table, &mut fields);
    }
    fields
}

/// Tables whose keys are names that people choose: one value, not sections.
const MAPS: &[&str] = &["auth.groups", "tracing.headers"];

fn collect(prefix: &str, table: &toml::Table, fields: &mut Vec<Field>) {
    for (name, value) in table {
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            Value::Table(inner) if !MAPS.contains(&path.as_str()) => collect(&path, inner, fields),
            shown => fields.push(Field { path, shown: shown.clone() }),
        }
    }
}
