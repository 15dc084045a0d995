//! Rows for people and for scripts: one list, printed as a table, by a Go template, or as JSON.

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::template::Template;

/// A column: the field's name in templates, and the table's heading for it.
pub(crate) type Column = (&'static str, &'static str);

/// A list of objects that share their fields.
#[derive(Debug)]
pub(crate) struct Table {
    /// What the plain table shows.
    pub(crate) columns: Vec<Column>,
    /// Headings of fields that only `table …` templates ask for.
    pub(crate) extra_headings: Vec<Column>,
    /// The rows; every field is there for templates.
    pub(crate) rows: Vec<Map<String, Value>>,
}

impl Table {
    /// Prints the rows as `format` asks: nothing or `table` for a table, `json`, a Go template, or
    /// `table TEMPLATE`.
    pub(crate) fn render(&self, format: Option<&str>) -> Result<String> {
        match format {
            None | Some("" | "table") => Ok(self.plain()),
            Some("json" | "{{json .}}") => self.json(),
            Some(format) => match format.strip_prefix("table ") {
                Some(template) => self.templated_table(&unescape(template)),
                None => self.templated(&unescape(format)),
            },
        }
    }

    fn plain(&self) -> String {
        let head = self.columns.iter().map(|(_, heading)| (*heading).to_owned()).collect();
        let cell = |row: &Map<String, Value>, field: &str| row.get(field).map_or_else(String::new, text);
        let rows = self.rows.iter().map(|row| self.columns.iter().map(|(field, _)| cell(row, field)).collect());
        align(std::iter::once(head).chain(rows).collect())
    }

    fn json(&self) -> Result<String> {
        let mut out = String::new();
        for row in &self.rows {
            out.push_str(&serde_json::to_string(row)?);
            out.push('\n');
        }
        Ok(out)
    }

    fn templated(&self, template: &str) -> Result<String> {
        let template = parse(template)?;
        let mut out = String::new();
        for row in &self.rows {
            out.push_str(&template.render(&Value::Object(row.clone())).map_err(bad_template)?);
            out.push('\n');
        }
        Ok(out)
    }

    fn templated_table(&self, text: &str) -> Result<String> {
        let template = parse(text)?;
        let mut lines = vec![template.heading_fields().iter().map(|field| self.heading(field)).collect()];
        for row in &self.rows {
            let line = template.render(&Value::Object(row.clone())).map_err(bad_template)?;
            lines.push(line.split('\t').map(str::to_owned).collect());
        }
        Ok(align(lines))
    }

    fn heading(&self, field: &str) -> String {
        let known = self.columns.iter().chain(&self.extra_headings).find(|(name, _)| *name == field);
        known.map_or_else(|| field.to_uppercase(), |(_, heading)| (*heading).to_owned())
    }
}

/// Parses a template that came from the command line.
pub(crate) fn parse(text: &str) -> Result<Template> {
    Template::parse(text).map_err(bad_template)
}

/// The error of a template that came from the command line.
pub(crate) fn bad_template(error: crate::template::TemplateError) -> Error {
    Error::usage(format!("--format: {error}"))
}

/// `\t` and `\n` are written as two characters on command lines.
pub(crate) fn unescape(text: &str) -> String {
    text.replace("\\t", "\t").replace("\\n", "\n")
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Lines of cells as columns, three spaces apart, as docker's tables are.
pub(crate) fn align(lines: Vec<Vec<String>>) -> String {
    const GAP: usize = 3;
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut out = String::new();
    for line in &lines {
        let mut row = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            row.push_str(&format!("{cell:<pad$}", pad = width + GAP));
        }
        out.push_str(row.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn table() -> Table {
        let row = |id: &str, size: u64| json!({"ID": id, "Size": size, "Tag": "latest"}).as_object().unwrap().clone();
        Table {
            columns: vec![("ID", "IMAGE ID"), ("Size", "SIZE")],
            extra_headings: vec![("Tag", "TAG")],
            rows: vec![row("abc", 1), row("de", 22)],
        }
    }

    #[test]
    fn the_forms_scripts_use() {
        assert_eq!(table().render(None).unwrap(), "IMAGE ID   SIZE\nabc        1\nde         22\n");
        assert_eq!(table().render(Some("{{.ID}}:{{.Tag}}")).unwrap(), "abc:latest\nde:latest\n");
        assert_eq!(
            table().render(Some("table {{.Tag}}\\t{{.ID}}")).unwrap(),
            "TAG      IMAGE ID\nlatest   abc\nlatest   de\n"
        );
        assert_eq!(
            table().render(Some("json")).unwrap().lines().next(),
            Some(r#"{"ID":"abc","Size":1,"Tag":"latest"}"#)
        );
        assert!(table().render(Some("{{.Idd}}")).is_err());
    }
}
