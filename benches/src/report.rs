//! The table: one row a figure, one column a tool, medians, and the ratio to ours.

use std::io::{self, Write};

use crate::measure::{Sample, median};
use crate::tool::Tool;

/// Collects samples and prints rows as they are complete.
#[derive(Debug, Default)]
pub struct Report {
    header_printed: bool,
}

impl Report {
    /// Prints one row of medians. `samples` are one tool's each, in column order.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn row(&mut self, name: &str, samples: &[(Tool, Vec<Sample>)]) -> io::Result<()> {
        let mut out = self.head()?;
        let time = |samples: &[Sample]| median(samples.iter().map(|sample| sample.seconds));
        let peak = |samples: &[Sample]| median(samples.iter().map(|sample| sample.peak));
        let Some((_, ours)) = samples.iter().find(|(tool, _)| *tool == Tool::Estiba) else { return Ok(()) };
        let others: Vec<_> = samples.iter().filter(|(tool, _)| *tool != Tool::Estiba).collect();
        let beside: Vec<_> =
            others.iter().map(|(tool, them)| format!("{} {}", tool.name(), seconds(time(them)))).collect();
        let ratios: Vec<_> = others.iter().map(|(_, them)| format!("{:.2}", time(ours) / time(them))).collect();
        let peaks: Vec<_> = others.iter().map(|(_, them)| format!("{:.0}", peak(them))).collect();
        writeln!(
            out,
            "| {name} | {} | {} | {} | {} | {:.0} / {} |",
            seconds(time(ours)),
            or_dash(&beside),
            or_dash(&ratios),
            ours.len(),
            peak(ours),
            or_dash(&peaks),
        )?;
        out.flush()
    }

    /// Prints one row of sizes in bytes.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn sizes(&mut self, name: &str, sizes: &[(Tool, u64)]) -> io::Result<()> {
        let mut out = self.head()?;
        let Some((_, ours)) = sizes.iter().find(|(tool, _)| *tool == Tool::Estiba) else { return Ok(()) };
        let others: Vec<_> = sizes.iter().filter(|(tool, _)| *tool != Tool::Estiba).collect();
        let megabytes = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
        let beside: Vec<_> =
            others.iter().map(|(tool, them)| format!("{} {}", tool.name(), megabytes(*them))).collect();
        let ratios: Vec<_> = others.iter().map(|(_, them)| format!("{:.3}", *ours as f64 / *them as f64)).collect();
        writeln!(out, "| {name} | {} | {} | {} | 1 | – |", megabytes(*ours), or_dash(&beside), or_dash(&ratios))?;
        out.flush()
    }

    /// Prints one row of a count.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn count(&mut self, name: &str, count: f64, runs: usize) -> io::Result<()> {
        let mut out = self.head()?;
        writeln!(out, "| {name} | {count} | – | – | {runs} | – |")?;
        out.flush()
    }

    /// Standard output, with the table's head printed.
    fn head(&mut self) -> io::Result<io::StdoutLock<'static>> {
        let mut out = io::stdout().lock();
        if !self.header_printed {
            writeln!(out, "| figure | estiba | beside it | ratio | runs | peak MiB (estiba / beside) |")?;
            writeln!(out, "|---|---|---|---|---|---|")?;
            self.header_printed = true;
        }
        Ok(out)
    }
}

fn or_dash(words: &[String]) -> String {
    if words.is_empty() { "–".to_owned() } else { words.join(", ") }
}

/// Three significant digits at the scale of what is shown.
fn seconds(value: f64) -> String {
    if value < 0.1 { format!("{:.1} ms", value * 1000.0) } else { format!("{value:.2} s") }
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn small_times_are_in_milliseconds() {
        assert_eq!(seconds(0.00412), "4.1 ms");
        assert_eq!(seconds(2.5), "2.50 s");
    }
}
