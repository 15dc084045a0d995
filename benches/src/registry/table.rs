//! The table of the registry's figures: one column a server.

use std::io::{self, Write as _};

/// Prints rows as they are complete.
#[derive(Debug, Default)]
pub(super) struct Table;

impl Table {
    /// The first two lines.
    pub(super) fn head(&self, names: &[&str]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "\n| figure | {} |", names.join(" | "))?;
        writeln!(out, "|---{}|", "|---".repeat(names.len()))?;
        out.flush()
    }

    /// One row: a cell for each server, `None` where it was not tried.
    pub(super) fn row(&self, figure: &str, cells: &[Option<String>]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let cells: Vec<_> = cells.iter().map(|cell| cell.as_deref().unwrap_or("–")).collect();
        writeln!(out, "| {figure} | {} |", cells.join(" | "))?;
        out.flush()
    }
}

/// A number with three digits that matter, and thousands apart.
pub(super) fn number(value: f64) -> String {
    if value < 10.0 {
        return format!("{value:.2}");
    }
    let whole = format!("{value:.0}");
    let mut out = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn thousands_are_apart() {
        assert_eq!(number(2.71234), "2.71");
        assert_eq!(number(999.6), "1,000");
        assert_eq!(number(1_234_567.0), "1,234,567");
        assert_eq!(number(42.0), "42");
    }
}
